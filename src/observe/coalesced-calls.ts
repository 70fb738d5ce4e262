import type { Clock } from "../model/clock.js";

/** The shortest and the longest pause between two polls: short while answers change. */
const TICK_MIN_MS = 50;
const TICK_MAX_MS = 1_000;

/** Makes one call for all callers that need it at the same time. */
export interface SharedRead<T> {
  /** An answer that is requested after this call, so it shows every effect from before it. */
  now(): Promise<T>;
  /** The same, without the wait for more callers. */
  soon(): Promise<T>;
  /**
   * The newest answer if it was requested at most `ms` milliseconds ago, else {@link SharedRead.soon}.
   */
  lately(ms: number): Promise<T>;
}

/** Polls for all callers that wait for a change: one poll serves all of them. */
export interface SharedPoll<T> extends SharedRead<T> {
  /** The answer of the next poll, which is requested after this call; the same for all waiting callers. */
  next(): Promise<T>;
  /**
   * Time at which an answer last differed from the one before, in milliseconds of the clock.
   */
  movedAt(): number;
}

/**
 * Coalesces calls: one call is in flight at a time, and all callers that arrive meanwhile share the next one. Unlike
 * {@link sharedPoll}, it does not wait for a tick.
 *
 * @param gatherMs Milliseconds that a call waits for more callers before it is made.
 */
export function sharedRead<T>(clock: Clock, read: () => Promise<T>, gatherMs = 0): SharedRead<T> {
  /** The newest call, answered or not; a failed one is dropped. */
  let newest: { readonly requestedAt: number; readonly answer: Promise<T> } | undefined;
  let running: Promise<unknown> | undefined;
  let next: Promise<T> | undefined;

  function begin(): Promise<T> {
    next = undefined;
    const made = { requestedAt: clock.now(), answer: read() };
    newest = made;
    const over = () => {
      running = undefined;
    };
    running = made.answer.then(over, () => {
      over();
      if (newest === made) newest = undefined;
    });
    return made.answer;
  }

  async function gather(): Promise<void> {
    await Promise.all([running, gatherMs > 0 ? clock.sleep(gatherMs) : undefined]);
  }

  function now(): Promise<T> {
    if (gatherMs === 0) return soon();
    next ??= gather().then(begin);
    return next;
  }

  function soon(): Promise<T> {
    if (next === undefined && running === undefined) return begin();
    next ??= gather().then(begin);
    return next;
  }

  return {
    now,
    soon,
    lately: (ms) =>
      newest !== undefined && clock.now() - newest.requestedAt <= ms ? newest.answer : soon(),
  };
}

/**
 * Polls once for many waiting callers. It polls only while a caller waits, and at longer intervals while nothing
 * changes.
 *
 * @param read What it throws reaches every caller that waits for that answer.
 * @param fingerprint Text that differs when the answer shows progress.
 * @param options `onTick` receives the answer of each poll before the waiting callers do;
 *   `gatherMs`: see {@link sharedRead}.
 */
export function sharedPoll<T>(
  clock: Clock,
  read: () => Promise<T>,
  fingerprint: (answer: T) => string,
  options: { readonly onTick?: (answer: T) => void; readonly gatherMs?: number } = {},
): SharedPoll<T> {
  let scheduled: Promise<T> | undefined;
  let tickMs = TICK_MIN_MS;
  let last = "";
  let movedAt = clock.now();
  let hasMoved = false;
  const shared = sharedRead(
    clock,
    async () => {
      const answer = await read();
      const now = fingerprint(answer);
      if (now !== last) {
        movedAt = clock.now();
        hasMoved = true;
      }
      last = now;
      return answer;
    },
    options.gatherMs,
  );

  async function readAfterTick(): Promise<T> {
    await clock.sleep(tickMs);
    scheduled = undefined;
    const answer = await shared.soon();
    tickMs = hasMoved ? TICK_MIN_MS : Math.min(tickMs * 2, TICK_MAX_MS);
    hasMoved = false;
    options.onTick?.(answer);
    return answer;
  }

  return {
    ...shared,
    next() {
      scheduled ??= readAfterTick();
      return scheduled;
    },
    movedAt: () => movedAt,
  };
}
