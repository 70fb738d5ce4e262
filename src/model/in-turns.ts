/** How long a turn of work may take before other work gets its chance, in milliseconds. */
const TURN_MS = 15;

/**
 * Maps many items, and lets other work run in between: a ZooKeeper session that is not heard of for
 * seconds ends, and a signal that waits that long looks ignored.
 *
 * @param leastItems Items between two rests, at least; some milliseconds of work. With 64, what is
 *   small enough for a simulation never rests, so that runs on a virtual clock stay repeatable
 *   whatever the machine does.
 * @returns The results, in the order of the items.
 */
export async function mapInTurns<T, R>(
  items: readonly T[],
  map: (item: T) => R,
  leastItems = 64,
): Promise<R[]> {
  const results: R[] = [];
  let began = performance.now();
  let done = 0;
  for (const item of items) {
    if (done >= leastItems && performance.now() - began > TURN_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      began = performance.now();
      done = 0;
    }
    results.push(map(item));
    done += 1;
  }
  return results;
}
