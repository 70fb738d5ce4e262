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

/** Works on many items in turns, see {@link takeTurns}. */
export async function eachInTurns<T>(
  items: Iterable<T>,
  work: (item: T) => void,
  leastItems?: number,
): Promise<void> {
  const turn = takeTurns(leastItems);
  for (const item of items) {
    const rest = turn();
    if (rest !== undefined) await rest;
    work(item);
  }
}

/** Maps many items in turns, see {@link takeTurns}. @returns The results, in the order of the items. */
export async function mapInTurns<T, R>(
  items: Iterable<T>,
  map: (item: T) => R,
  leastItems?: number,
): Promise<R[]> {
  const results: R[] = [];
  await eachInTurns(items, (item) => results.push(map(item)), leastItems);
  return results;
}

/** Maps many items to any number of results each, in turns, see {@link takeTurns}. */
export async function flatMapInTurns<T, R>(
  items: Iterable<T>,
  map: (item: T) => readonly R[],
): Promise<R[]> {
  const results: R[] = [];
  await eachInTurns(items, (item) => {
    for (const result of map(item)) results.push(result);
  });
  return results;
}
