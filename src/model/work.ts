/**
 * Work on many items that can rest between two of them. Pure code says where it may rest (`yield`), and knows
 * neither a clock nor an event loop: the caller decides whether and how long it rests (`inTurns` in
 * `src/util/yielding.ts`), or runs it to its end at once ({@link finish}).
 */
export type Work<T> = Generator<undefined, T, undefined>;

/** Works on items one after another, with a place to rest before each. */
export function* each<T>(items: Iterable<T>, work: (item: T) => void): Work<void> {
  for (const item of items) {
    yield undefined;
    work(item);
  }
}

/** Maps items, with a place to rest before each. @returns The results, in the order of the items. */
export function* mapped<T, R>(items: Iterable<T>, map: (item: T) => R): Work<R[]> {
  const results: R[] = [];
  yield* each(items, (item) => results.push(map(item)));
  return results;
}

/** Maps each item to any number of results, with a place to rest before each item. */
export function* flatMapped<T, R>(items: Iterable<T>, map: (item: T) => readonly R[]): Work<R[]> {
  const results: R[] = [];
  yield* each(items, (item) => {
    for (const result of map(item)) results.push(result);
  });
  return results;
}

/** Lines of text without line ends, made one by one; undefined is a place to rest, as in {@link Work}. */
export type Lines = Generator<string | undefined, void, undefined>;

/** Runs work to its end without a rest. */
export function finish<T>(work: Work<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}
