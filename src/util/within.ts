import { OpsError } from "../errors.js";
import type { Clock } from "../model/clock.js";

/**
 * The one time limit around a promise: bounds a call whose own retries may take longer than there is
 * time. The call itself goes on, and its later result is ignored.
 *
 * @param ms How long to wait, milliseconds of `clock`.
 * @param what What is waited for, for the message.
 * @param hurry Aborted: ends the wait at once.
 * @throws OpsError `deadline` when the time is up or `hurry` came; what the call throws.
 */
export async function within<T>(
  clock: Clock,
  ms: number,
  what: string,
  call: Promise<T>,
  hurry?: AbortSignal,
): Promise<T> {
  const over = new AbortController();
  let isOver = false;
  const end = () => over.abort(ENDED);
  if (hurry?.aborted === true) end();
  hurry?.addEventListener("abort", end, { once: true });
  const late = () => {
    // Errors cost a stack trace, and most calls are in time.
    if (isOver) return undefined as never;
    throw new OpsError({ code: "deadline", message: `${what} did not answer in time` });
  };
  const limit = clock.sleep(Math.max(0, ms), over.signal).then(late, late);
  limit.catch(() => undefined);
  call.catch(() => undefined);
  try {
    return await Promise.race([call, limit]);
  } finally {
    isOver = true;
    hurry?.removeEventListener("abort", end);
    end();
  }
}

/** Made once, for the same reason. */
const ENDED = new OpsError({ code: "interrupted", message: "the wait is over" });
