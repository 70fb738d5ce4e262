import { setMaxListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../model/clock.js";

/** The longest time that a timer of Node can wait; longer ones would fire at once. */
const delayMaxMs = 2 ** 31 - 1;

/** The machine's clock. */
export const realClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    signal?.throwIfAborted();
    if (signal !== undefined) {
      // Many may sleep on the signal of one run: more than ten listeners are no leak here.
      setMaxListeners(0, signal);
    }
    try {
      await delay(Math.min(ms, delayMaxMs), undefined, { signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
