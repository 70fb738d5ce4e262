import { OpsError } from "../errors.js";
import type { Clock } from "../model/clock.js";

/**
 * Bounds a call whose own retries may take longer than there is time. The call itself goes on; what
 * becomes of it later is nobody's business any more.
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
  const late = () => new OpsError({ code: "deadline", message: `${what} did not answer in time` });
  const over = new AbortController();
  const limit = clock
    .sleep(
      Math.max(0, ms),
      hurry === undefined ? over.signal : AbortSignal.any([over.signal, hurry]),
    )
    .then(
      () => Promise.reject(late()),
      () => Promise.reject(late()),
    );
  try {
    return await Promise.race([call, limit]);
  } finally {
    over.abort();
    limit.catch(() => undefined);
    call.catch(() => undefined);
  }
}
