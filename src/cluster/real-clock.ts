import { setMaxListeners } from "node:events";
import type { Clock } from "../model/clock.js";

/** The longest delay of a Node timer in milliseconds; longer ones would fire at once. */
const delayMaxMs = 2 ** 31 - 1;

/**
 * Sleeps with a given timer.
 *
 * @param setTimer Calls `fn` after `ms`; returns a function that cancels the timer.
 * @throws The signal's reason, at once when it is aborted.
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
    // All partitions share the signal of a run, so more than ten listeners are not a leak.
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
 * A wall clock for times of one run that are subtracted later: the current wall time, advanced by the monotonic
 * clock. Setting the machine's clock during the run changes no duration.
 *
 * @returns A function that returns milliseconds since the epoch, as a whole number.
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
