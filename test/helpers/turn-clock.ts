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
 * Measures time as this process had it: in turns of its event loop, each of which counts 10 ms at most.
 * This time does not advance while the machine keeps the process waiting, so that an upper bound in it
 * does not depend on the load of the machine.
 *
 * @returns A function that returns the milliseconds since the call.
 */
export function startTurnClock(): () => number {
  if (last === undefined) setInterval(turn, TURN_MS / 2).unref();
  const began = turn();
  return () => turn() - began;
}
