import { setMaxListeners } from "node:events";
import type { Clock } from "../model/clock.js";

/** The longest time that a timer of Node can wait; longer ones would fire at once. */
const delayMaxMs = 2 ** 31 - 1;

/** The machine's clock. */
export const realClock: Clock = {
  now: () => Date.now(),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(
        () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
        Math.min(ms, delayMaxMs),
      );
      // Many may sleep on the signal of one run: more than ten listeners are no leak here.
      if (signal !== undefined) setMaxListeners(0, signal);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
};
