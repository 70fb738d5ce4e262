/** A turn of the event loop counts for so many milliseconds at most. */
const TURN_MS = 10;

/** The time of this process so far, and the clock at its last turn. */
let passed = 0;
let last: number | undefined;

function turn(): number {
  const now = performance.now();
  passed += Math.min(TURN_MS, now - (last ?? now));
  last = now;
  return passed;
}

/**
 * Measures time in turns of the event loop of this process, each of which counts 10 ms at most. This time hardly advances while
 * the process waits for a processor, so an upper bound in it does not depend on the load of the machine.
 *
 * @returns A function that returns the milliseconds since the call.
 */
export function startTurnClock(): () => number {
  if (last === undefined) setInterval(turn, TURN_MS / 2).unref();
  const began = turn();
  return () => turn() - began;
}
