import type { RowPosition } from "../model/rows.js";

const NEWEST_TS = 2n ** 64n - 1n;

/** Letters and digits among themselves, so that a chance key lies among the keys of the table. */
const CLASSES = ["0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"].map(
  (text) => [...text].map((char) => char.charCodeAt(0)),
);

/**
 * A place by chance among the rows of an index: in front of a key made from two known ones, whose common beginning it
 * keeps. No row needs to have that key: reading begins with the next one.
 *
 * @param first A place known before; undefined for the first row.
 * @param last Another one.
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
