import type { Clock } from "../model/clock.js";

/** How many loads may be asked for at once where a tablet is quick with them. */
const LIMIT_MAX = 64;
/** How much the limit grows when it was too small. */
const GROWTH = 4;
/** Without a load that ended for this long they are slow, and nothing is gained by queueing more. */
const SLOW_MS = 1_000;

/** How many loads one tablet is asked for at a time. */
export interface AdaptiveLoadLimit {
  /**
   * Runs one load when there is room for it; the first to ask is the first to run.
   *
   * @param mayQueue Whether it may wait behind others on the tablet itself. A disk table must not:
   *   the tablet does not show it before a thread has taken it (OpenMLDB 0.9 tablet: LoadTable).
   */
  run<T>(work: () => Promise<T>, mayQueue: boolean): Promise<T>;
  /** Told how many replicas the tablet had not loaded yet, of those it was asked for, at a tick. */
  tick(loading: number): void;
}

/**
 * A limit that begins at `least` and grows while the tablet is done with nearly everything at each
 * tick, so that its threads never stand idle; where loads are slow it is `least` again.
 *
 * A tablet loads with three threads (OpenMLDB: task_pool_size): more loads only queue there, which
 * costs nothing but the order.
 *
 * @param least Loads at a time on a tablet that is slow with them.
 */
export function adaptiveLoadLimit(clock: Clock, least: number): AdaptiveLoadLimit {
  const most = Math.max(least, LIMIT_MAX);
  let waiting: { readonly mayQueue: boolean; readonly begin: () => void }[] = [];
  /** Where the first that waits is; what is before it has begun. */
  let head = 0;
  let limit = least;
  let running = 0;
  /** Those among `running` that must not queue. */
  let strict = 0;
  let endedAt = clock.now();

  function pump(): void {
    for (;;) {
      const first = waiting[head];
      if (first === undefined) {
        waiting = [];
        head = 0;
        return;
      }
      const room = first.mayQueue && strict === 0 ? limit : least;
      if (running >= room) return;
      head += 1;
      if (running === 0) endedAt = clock.now();
      running += 1;
      if (!first.mayQueue) strict += 1;
      first.begin();
    }
  }

  return {
    async run(work, mayQueue) {
      await new Promise<void>((begin) => {
        waiting.push({ mayQueue, begin });
        pump();
      });
      try {
        return await work();
      } finally {
        running -= 1;
        if (!mayQueue) strict -= 1;
        endedAt = clock.now();
        pump();
      }
    },
    tick(loading) {
      const isIdle = loading < least && running >= limit && head < waiting.length;
      if (isIdle) limit = Math.min(limit * GROWTH, most);
      else if (clock.now() - endedAt > SLOW_MS) limit = least;
      if (isIdle) pump();
    },
  };
}
