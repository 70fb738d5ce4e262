import type { Clock } from "../model/clock.js";

/** The shortest and the longest pause between two polls: short while things move. */
const TICK_MIN_MS = 50;
const TICK_MAX_MS = 1_000;

/** Asks for the next answer of a question that many wait for: one poll serves them all. */
export interface SharedPoll<T> {
  /** An answer that was asked for after this call, so it shows every effect from before it. */
  next(): Promise<T>;
}

/**
 * Makes one poll out of many waits. It asks only while somebody waits, and less often the longer
 * nothing changes.
 *
 * @param ask The question. What it throws reaches everybody who waits for that answer.
 * @param fingerprint Text that differs when the answer shows progress.
 */
export function sharedPoll<T>(
  clock: Clock,
  ask: () => Promise<T>,
  fingerprint: (answer: T) => string,
): SharedPoll<T> {
  let scheduled: Promise<T> | undefined;
  let tickMs = TICK_MIN_MS;
  let last = "";

  async function askAfterTick(): Promise<T> {
    await clock.sleep(tickMs);
    scheduled = undefined;
    const answer = await ask();
    const now = fingerprint(answer);
    tickMs = now === last ? Math.min(tickMs * 2, TICK_MAX_MS) : TICK_MIN_MS;
    last = now;
    return answer;
  }

  return {
    next() {
      scheduled ??= askAfterTick();
      return scheduled;
    },
  };
}
