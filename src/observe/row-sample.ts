import type { RowPosition } from "../model/rows.js";

const NEWEST_TS = 2n ** 64n - 1n;

/**
 * Digits and letters by class. A character is replaced by one of its own class, so that a random key
 * lies among the keys of the table.
 */
const CLASSES = ["0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"].map(
  (text) => [...text].map((char) => char.charCodeAt(0)),
);

/**
 * Returns a random position among the rows of an index: before a key that is derived from two known
 * ones and keeps their common prefix. No row needs to have that key: reading starts at the next one.
 *
 * @param first A known position; undefined for the first row.
 * @param last Another known position.
 */
export function jumpFrom(
  first: RowPosition | undefined,
  last: RowPosition,
  random: () => number,
): RowPosition {
  const { pk } = last;
  let shared = 0;
  if (first !== undefined) {
    while (shared < pk.length - 1 && pk[shared] === first.pk[shared]) shared += 1;
  }
  const key = Uint8Array.from(pk, (byte, at) => {
    const alike = CLASSES.find((one) => one.includes(byte));
    if (at < shared || alike === undefined) return byte;
    return alike[Math.floor(random() * alike.length)] ?? byte;
  });
  return { pk: key, ts: NEWEST_TS };
}
