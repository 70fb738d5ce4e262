import { OpsError } from "../errors.js";
import type { Clock } from "../model/clock.js";

/**
 * Limits the time of a call whose own retries may take longer. The call itself continues, and its later
 * result is ignored.
 *
 * @param ms Limit in milliseconds of `clock`.
 * @param what The peer that has to answer, for the message.
 * @param hurry Ends the wait at once when aborted.
 * @throws OpsError `deadline` when the time is over or `hurry` is aborted; what the call throws.
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
    // Most calls are in time: no error object, with its stack trace, is created for them.
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

/** A shared error object, for the same reason. */
const ENDED = new OpsError({ code: "interrupted", message: "the wait is over" });

/**
 * Waits for `work`, but returns as soon as the signal is aborted, whatever calls are still in flight.
 *
 * @throws The signal's reason, or what `work` throws.
 */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // After an abort the promise has no other handler: its rejection must not be unhandled.
  work.catch(() => undefined);
  signal.throwIfAborted();
  let leave = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    leave = () => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}
