import { each, mapped, type Work } from "../model/work.js";

/** How long a turn of work may take before other work gets its chance, in milliseconds. */
const TURN_MS = 15;

/**
 * Takes turns with other work: a ZooKeeper session that is not heard of for seconds ends, and a
 * signal that waits that long looks ignored.
 *
 * @param leastItems Items between two rests, at least; some milliseconds of work. With 64, what is
 *   small enough for a simulation never rests, so that runs on a virtual clock stay repeatable
 *   whatever the machine does.
 * @returns To be called before each item: a rest to be waited for, or undefined to go on.
 */
export function takeTurns(leastItems = 64): () => Promise<void> | undefined {
  let done = 0;
  return () => {
    done += 1;
    if (done <= leastItems || spentMs() <= TURN_MS) return undefined;
    done = 1;
    return new Promise((resolve) => setImmediate(resolve));
  };
}

/** When the first of all that take turns began since the event loop last turned. */
let turnBegan: number | undefined;

/** How long this turn of the event loop has taken, for all that take turns together. */
function spentMs(): number {
  const now = performance.now();
  if (turnBegan === undefined) {
    turnBegan = now;
    setImmediate(() => {
      turnBegan = undefined;
    });
  }
  return now - turnBegan;
}

/** Runs work to its end, resting between its items where it has computed for long, see {@link takeTurns}. */
export async function inTurns<T>(work: Work<T>, leastItems?: number): Promise<T> {
  const turn = takeTurns(leastItems);
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    const rest = turn();
    if (rest !== undefined) await rest;
  }
}

/** Works on many items in turns, see {@link takeTurns}. */
export function eachInTurns<T>(
  items: Iterable<T>,
  work: (item: T) => void,
  leastItems?: number,
): Promise<void> {
  return inTurns(each(items, work), leastItems);
}

/** Maps many items in turns, see {@link takeTurns}. @returns The results, in the order of the items. */
export function mapInTurns<T, R>(
  items: Iterable<T>,
  map: (item: T) => R,
  leastItems?: number,
): Promise<R[]> {
  return inTurns(mapped(items, map), leastItems);
}
