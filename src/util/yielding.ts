import { each, mapped, type Work } from "../model/work.js";

/** Milliseconds that work may run before it yields to other work. */
const TURN_MS = 15;

/**
 * Yields to other work: a ZooKeeper session without heartbeats for seconds expires, and a signal that is handled
 * seconds late seems ignored.
 *
 * @param leastItems The least number of items between two yields. With 64, work of the size of a
 *   simulation never yields, so that runs on a virtual clock are repeatable on any machine.
 * @returns Called before each item: a promise to await, or undefined to continue.
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

/** Time at which the first yielding work of this turn of the event loop started; undefined if none did. */
let turnBegan: number | undefined;

/** Duration of this turn of the event loop so far, for all yielding work together. */
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

/**
 * Runs work to its end, yielding between items if it has computed for long, see {@link takeTurns}.
 */
export async function inTurns<T>(work: Work<T>, leastItems?: number): Promise<T> {
  const turn = takeTurns(leastItems);
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    const rest = turn();
    if (rest !== undefined) await rest;
  }
}

/** Processes many items, yielding in between, see {@link takeTurns}. */
export function eachInTurns<T>(
  items: Iterable<T>,
  work: (item: T) => void,
  leastItems?: number,
): Promise<void> {
  return inTurns(each(items, work), leastItems);
}

/**
 * Maps many items, yielding in between, see {@link takeTurns}.
 *
 * @returns The results, in the order of the items.
 */
export function mapInTurns<T, R>(
  items: Iterable<T>,
  map: (item: T) => R,
  leastItems?: number,
): Promise<R[]> {
  return inTurns(mapped(items, map), leastItems);
}
