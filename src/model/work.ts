/**
 * Work on many items that can be suspended between two of them. Pure code marks the points (`yield`) and needs
 * neither a clock nor an event loop. The caller lets other work run at these points (`inTurns` in
 * `src/util/yielding.ts`), or runs the work to its end at once ({@link finish}).
 */
export type Work<T> = Generator<undefined, T, undefined>;

/** Applies a function to items one after another. Yields before each item. */
export function* each<T>(items: Iterable<T>, work: (item: T) => void): Work<void> {
  for (const item of items) {
    yield undefined;
    work(item);
  }
}

/** Maps items. Yields before each item. @returns The results, in the order of the items. */
export function* mapped<T, R>(items: Iterable<T>, map: (item: T) => R): Work<R[]> {
  const results: R[] = [];
  yield* each(items, (item) => results.push(map(item)));
  return results;
}

/** Maps each item to any number of results. Yields before each item. */
export function* flatMapped<T, R>(items: Iterable<T>, map: (item: T) => readonly R[]): Work<R[]> {
  const results: R[] = [];
  yield* each(items, (item) => {
    for (const result of map(item)) results.push(result);
  });
  return results;
}

/** Groups items by their keys, in the order of first occurrence. Yields before each item. */
export function* grouping<K, T>(items: Iterable<T>, keyOf: (item: T) => K): Work<Map<K, T[]>> {
  const groups = new Map<K, T[]>();
  yield* each(items, (item) => {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  });
  return groups;
}

/** Lines of text without line ends, generated one by one; undefined marks a yield point, as in {@link Work}. */
export type Lines = Generator<string | undefined, void, undefined>;

/** Runs work to its end without suspending it. */
export function finish<T>(work: Work<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}
