import type { RowPage, RowPosition } from "../model/rows.js";

/** One row of an answer to Traverse. The object is reused for the next row, so values that are kept must be copied. */
export interface RowRecord {
  /** Two independent hashes of key, timestamp and row, 32 bits each, unsigned. */
  low: number;
  high: number;
  /** The bytes that contain the key, from `pkFrom` up to `pkTo`, exclusive. */
  bytes: Buffer;
  pkFrom: number;
  pkTo: number;
  /** Milliseconds since the epoch, unless the table's time column has another unit. */
  ts: bigint;
  /** True if the preceding row of the same answer has another key; true for the first row. */
  isNewKey: boolean;
  /** True if the preceding row of the same answer has another key or timestamp; true for the first row. */
  isNewPosition: boolean;
}

/** Key and timestamp of a row, as a copy. */
export function positionOf({ bytes, pkFrom, pkTo, ts }: RowRecord): RowPosition {
  return { pk: Uint8Array.prototype.slice.call(bytes, pkFrom, pkTo), ts };
}

/** Length of the two length fields of a record. */
const LENGTHS = 8;
const TS = 8;

/**
 * Iterates over the records of an answer: total uint32, length of pk uint32, ts uint64 (all
 * little-endian), pk, row; `total` counts ts, pk and row (OpenMLDB 0.9: codec::EncodeFull; recording
 * rows-1-healthy).
 *
 * @param take Receives each row in turn; returns false to end.
 * @returns The fault of the answer, in words; undefined if there is none.
 */
export function eachRow(
  { pairs, count }: Pick<RowPage, "pairs" | "count">,
  take: (row: RowRecord) => boolean,
): string | undefined {
  const bytes = Buffer.from(pairs.buffer, pairs.byteOffset, pairs.byteLength);
  const row: RowRecord = {
    low: 0,
    high: 0,
    bytes,
    pkFrom: 0,
    pkTo: 0,
    ts: 0n,
    isNewKey: true,
    isNewPosition: true,
  };
  let at = 0;
  let rows = 0;
  while (at < bytes.length) {
    if (bytes.length - at < LENGTHS + TS) return `a record is cut off after byte ${at}`;
    const total = bytes.readUInt32LE(at);
    const keyLength = bytes.readUInt32LE(at + 4);
    const end = at + LENGTHS + total;
    if (total < TS + keyLength || end > bytes.length) {
      return `the record at byte ${at} has lengths that do not fit (${total} and ${keyLength})`;
    }
    const key = at + LENGTHS + TS;
    const ts = bytes.readBigUInt64LE(at + LENGTHS);
    row.isNewKey =
      rows === 0 || bytes.compare(bytes, row.pkFrom, row.pkTo, key, key + keyLength) !== 0;
    row.isNewPosition = row.isNewKey || ts !== row.ts;
    row.pkFrom = key;
    row.pkTo = key + keyLength;
    row.ts = ts;
    // The length of the key is hashed too, so that no byte can move from the key to the row.
    hash(bytes, at + 4, end, row);
    rows += 1;
    if (!take(row)) return undefined;
    at = end;
  }
  return rows === count ? undefined : `it has ${rows} records and says ${count}`;
}

/**
 * MurmurHash3 of 32 bits (public domain), twice with different constants in one pass: fast in plain
 * JavaScript and well distributed. Not secure against attackers.
 */
function hash(bytes: Buffer, from: number, to: number, into: RowRecord): void {
  let low = 0x9747b28c;
  let high = 0x3c6ef372;
  let at = from;
  for (; at + 4 <= to; at += 4) {
    const word =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    low ^= scrambled(word, 0xcc9e2d51, 0x1b873593);
    low = (Math.imul((low << 13) | (low >>> 19), 5) + 0xe6546b64) | 0;
    high ^= scrambled(word, 0x239b961b, 0xab0e9789);
    high = (Math.imul((high << 15) | (high >>> 17), 9) + 0x561ccd1b) | 0;
  }
  let rest = 0;
  for (let last = to - 1; last >= at; last -= 1) rest = (rest << 8) | (bytes[last] as number);
  const length = to - from;
  into.low = finished(low ^ scrambled(rest, 0xcc9e2d51, 0x1b873593) ^ length);
  into.high = finished(high ^ scrambled(rest, 0x239b961b, 0xab0e9789) ^ length);
}

function scrambled(word: number, first: number, second: number): number {
  const k = Math.imul(word, first);
  return Math.imul((k << 15) | (k >>> 17), second);
}

function finished(mixed: number): number {
  let h = mixed;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Sums of the hashes of rows, independent of their order. */
export interface RowSums {
  rows: number;
  low: number;
  high: number;
}

/** The sums of zero rows. */
export function emptySums(): RowSums {
  return { rows: 0, low: 0, high: 0 };
}

/** Adds a row, or the sums of other rows. */
export function addTo(sums: RowSums, { low, high }: { low: number; high: number }, rows = 1): void {
  sums.rows += rows;
  sums.low = (sums.low + low) >>> 0;
  sums.high = (sums.high + high) >>> 0;
}

/**
 * True if both are sums of the same rows; two different sets are equal with a probability of 1 in 2^64.
 */
export function isSameSums(a: RowSums, b: RowSums): boolean {
  return a.rows === b.rows && a.low === b.low && a.high === b.high;
}
