/**
 * A function that makes a value at the first call with a key, and returns the same value at each later one.
 *
 * @param made Holds the values; a WeakMap drops those of keys that are not used any more.
 */
export function memoized<K, V>(
  make: (key: K) => V,
  made: { get(key: K): V | undefined; set(key: K, value: V): unknown } = new Map<K, V>(),
): (key: K) => V {
  return (key) => {
    const known = made.get(key);
    if (known !== undefined) return known;
    const value = make(key);
    made.set(key, value);
    return value;
  };
}
