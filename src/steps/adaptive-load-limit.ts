import type { Clock } from "../model/clock.js";

/** Limit of concurrent loads on a tablet that loads quickly. */
const LIMIT_MAX = 64;
/** The factor by which the limit grows. */
const GROWTH = 4;
/** If no load ended for this long, loads are slow, and queueing more of them gains nothing. */
const SLOW_MS = 1_000;

/** Limits the concurrent loads of one tablet. */
export interface AdaptiveLoadLimit {
  /**
   * Runs one load when the limit allows it, in the order of the calls.
   *
   * @param mayQueue True if it may wait behind others on the tablet itself. A disk table must not, because the tablet
   *   does not list it before a thread has taken it (OpenMLDB 0.9 tablet: LoadTable).
   */
  run<T>(work: () => Promise<T>, mayQueue: boolean): Promise<T>;
  /**
   * Adapts the limit.
   *
   * @param loading Number of the requested replicas that the tablet has not loaded yet.
   */
  tick(loading: number): void;
}

/**
 * Creates a limit that starts at `least`. It grows while the tablet has finished nearly all loads at
 * each tick, so that its threads are never idle, and returns to `least` when loads are slow.
 *
 * A tablet loads with three threads (OpenMLDB: task_pool_size): further loads queue there, which costs nothing except
 * that their order can no longer change.
 *
 * @param least Concurrent loads on a tablet whose loads are slow.
 */
export function adaptiveLoadLimit(clock: Clock, least: number): AdaptiveLoadLimit {
  const most = Math.max(least, LIMIT_MAX);
  let waiting: { readonly mayQueue: boolean; readonly begin: () => void }[] = [];
  /** Index of the first load that waits; those before it have started. */
  let head = 0;
  let limit = least;
  let running = 0;
  /** Number of the running loads that must not queue. */
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
      const allowed = first.mayQueue && strict === 0 ? limit : least;
      if (running >= allowed) return;
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
