import { setMaxListeners } from "node:events";
import type { Clock } from "../model/clock.js";

/** The longest time that a timer of Node can wait; longer ones would fire at once. */
const delayMaxMs = 2 ** 31 - 1;

/**
 * Sleeps on any timer.
 *
 * @param setTimer Calls back after a time; returns what cancels that.
 * @throws The signal's reason, as soon as it comes.
 */
export function sleepOn(
  setTimer: (ms: number, fn: () => void) => () => void,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = setTimer(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    // Many may sleep on the signal of one run: more than ten listeners are no leak here.
    if (signal !== undefined) setMaxListeners(0, signal);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** The machine's clock. */
export const realClock: Clock = {
  now: () => Math.floor(performance.now()),
  wallTime: () => Date.now(),
  sleep: (ms, signal) => sleepOn(setTimer, ms, signal),
};

/**
 * The wall clock for times of one run that are subtracted later: what it says now, and from then on what the
 * monotonic clock adds. A clock that is set while the run goes on changes no duration.
 *
 * @returns Milliseconds since the epoch, whole.
 */
export function steadyWallTime(): () => number {
  const beganMs = realClock.wallTime();
  const began = realClock.now();
  return () => beganMs + realClock.now() - began;
}

function setTimer(ms: number, fn: () => void): () => void {
  const timer = setTimeout(fn, Math.min(ms, delayMaxMs));
  return () => clearTimeout(timer);
}
