import { OpsError } from "../errors.js";
import type { Clock } from "../model/clock.js";

/** Limit in milliseconds for retrying a write whose connection breaks; each attempt has the client's own limit. */
const WRITE_MS = 5_000;
const PAUSE_MS = 200;

/**
 * Retries a write to ZooKeeper for up to 5 s. Only for writes that are idempotent.
 *
 * @throws The error of the last attempt, or one that a retry cannot resolve.
 */
export async function repeated<T>(clock: Clock, write: () => Promise<T>): Promise<T> {
  const deadline = clock.now() + WRITE_MS;
  for (;;) {
    try {
      return await write();
    } catch (thrown) {
      const mayRepeat = thrown instanceof OpsError && thrown.retryable;
      if (!mayRepeat || clock.now() + PAUSE_MS > deadline) throw thrown;
    }
    await clock.sleep(PAUSE_MS);
  }
}
