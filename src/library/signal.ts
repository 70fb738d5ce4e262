import { setMaxListeners } from "node:events";
import { OpsError } from "../errors.js";

/**
 * Runs `work` with a signal of its own that follows the caller's signal, has an OpsError `interrupted` as reason,
 * and allows any number of listeners. Afterwards no listener is left on the caller's signal.
 *
 * @param given Undefined: the work is never aborted.
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
    // If the signal was aborted, report that and not the error that it caused.
    own.signal.throwIfAborted();
    throw thrown;
  } finally {
    given?.removeEventListener("abort", abort);
  }
}
