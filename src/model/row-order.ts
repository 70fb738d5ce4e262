import type { RowPosition } from "./rows.js";

/** Seed of the hash that spreads keys over the segments of a memory table (OpenMLDB 0.9: mem_table.cc). */
const SEED = 0xe17a1465;

/**
 * The segment of a memory table that holds a key (OpenMLDB 0.9: base::hash, MurmurHash2 of 32 bits; verified
 * against the keys of a real table in the recording rows-1-healthy).
 *
 * @param segCount Segments of the table; with 1, and for tables on disk, there is one segment.
 */
export function segmentOf(key: Uint8Array, segCount: number): number {
  if (segCount <= 1) return 0;
  const m = 0x5bd1e995;
  const { length } = key;
  let h = (SEED ^ length) | 0;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    const word =
      (key[at] as number) |
      ((key[at + 1] as number) << 8) |
      ((key[at + 2] as number) << 16) |
      ((key[at + 3] as number) << 24);
    const k = Math.imul(word, m);
    h = Math.imul(h, m) ^ Math.imul(k ^ (k >>> 24), m);
  }
  const rest = length - at;
  if (rest === 3) h ^= (key[at + 2] as number) << 16;
  if (rest >= 2) h ^= (key[at + 1] as number) << 8;
  if (rest >= 1) h = Math.imul(h ^ (key[at] as number), m);
  h = Math.imul(h ^ (h >>> 13), m);
  return ((h ^ (h >>> 15)) >>> 0) % segCount;
}

/** A row position with the segment of its key, as Traverse orders rows. */
export interface OrderedPosition extends RowPosition {
  readonly segment: number;
}

/**
 * Compares positions in the order of Traverse: by segment, then by the bytes of the key, then by timestamp, the
 * newest first (OpenMLDB 0.9: MemTableTraverseIterator; KeyTSComparator for tables on disk).
 *
 * @returns Negative if `a` comes first, 0 if the positions are equal.
 */
export function comparePositions(a: OrderedPosition, b: OrderedPosition): number {
  if (a.segment !== b.segment) return a.segment - b.segment;
  const order = compareBytes(a.pk, b.pk);
  if (order !== 0) return order;
  if (a.ts === b.ts) return 0;
  return a.ts > b.ts ? -1 : 1;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let at = 0; at < shared; at += 1) {
    const order = (a[at] as number) - (b[at] as number);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}
