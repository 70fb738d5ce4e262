import { setMaxListeners } from "node:events";
import { OpsError } from "../errors.js";

/**
 * Lends `work` a signal that ends as the caller's does, with an OpsError `interrupted` as reason, and that
 * many may listen to. Nothing is left on the caller's signal afterwards.
 *
 * @param given Undefined: nothing ends the work early.
 */
export async function withSignal<T>(
  given: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const own = new AbortController();
  setMaxListeners(0, own.signal);
  const abort = () =>
    own.abort(
      new OpsError({ code: "interrupted", message: "ended by its caller", cause: given?.reason }),
    );
  if (given?.aborted === true) abort();
  given?.addEventListener("abort", abort);
  try {
    return await work(own.signal);
  } catch (thrown) {
    // Whatever the signal broke, the signal is the reason.
    own.signal.throwIfAborted();
    throw thrown;
  } finally {
    given?.removeEventListener("abort", abort);
  }
}
