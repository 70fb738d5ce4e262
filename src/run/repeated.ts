import { OpsError } from "../errors.js";
import type { Clock } from "../model/clock.js";

/** How long writing may go on when connections break; the client's own bound holds for each try. */
const WRITE_MS = 5_000;
const PAUSE_MS = 200;

/**
 * Writes to ZooKeeper until it succeeds, for 5 s at most. Only for what may be repeated: a second time it
 * changes nothing.
 *
 * @throws What the last try threw, or what no further try can mend.
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
