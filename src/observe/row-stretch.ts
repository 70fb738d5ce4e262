import type { OrderedPosition } from "../model/row-order.js";
import type { RowPosition } from "../model/rows.js";
import type { HeldRow, Reading } from "../policy/differing-rows.js";
import { isExcluded, type LiveRule } from "../policy/rows-to-compare.js";
import type { RowReader } from "./row-reader.js";
import { addTo, emptySums, positionOf, type RowRecord, type RowSums } from "./row-records.js";

/** Greater than the timestamp of every row of a key. */
const NEWEST_TS = 2n ** 64n - 1n;

/** A stretch of an index: the rows from one position up to another one, exclusive. */
export interface Stretch {
  /** Undefined: from the first row on. */
  readonly from: RowPosition | undefined;
  /** Number of rows of the key of `from` that come before it. */
  readonly rank: number;
  /** Undefined: up to the last row. */
  readonly to: RowPosition | undefined;
}

/** The sums of one stretch, as it was read once. */
export interface StretchSums {
  readonly sums: RowSums;
  /** Rows that were excluded. */
  readonly expired: number;
}

/** The next stretch of an index, as read from its leader. */
export interface LeaderStretch extends StretchSums {
  readonly stretch: Stretch;
  /** Where the next stretch starts; undefined after the last row. */
  readonly next: { readonly from: RowPosition; readonly rank: number } | undefined;
}

/**
 * Reads about one answer's worth of rows and decides where the stretch ends: before the last key and
 * timestamp that were read, as more rows with these may follow.
 */
export async function readLeaderStretch(
  reader: RowReader,
  { from, rank: before }: { readonly from: RowPosition | undefined; readonly rank: number },
  rule: LiveRule,
): Promise<LeaderStretch> {
  const sums = emptySums();
  let expired = 0;
  // Rows of the last key and timestamp so far.
  let last = emptySums();
  let lastExpired = 0;
  let lastAt: RowPosition | undefined;
  let lastRank = 0;
  let positions = 0;
  const ranks = createRanks(reader, { from, rank: before }, rule);
  let row: RowRecord | undefined;
  const isAtEnd = await reader.read(
    ranks.start,
    (next, segment) => {
      row = next;
      const rank = ranks.next(next, segment);
      if (rank === undefined) return true;
      if (ranks.isNewPosition) {
        addTo(sums, last, last.rows);
        expired += lastExpired;
        last = emptySums();
        lastExpired = 0;
        lastRank = rank - 1;
        positions += 1;
      }
      if (isExcluded(rule, next.ts, rank)) lastExpired += 1;
      else addTo(last, next);
      return true;
    },
    () => positions <= 1,
  );
  if (isAtEnd) {
    addTo(sums, last, last.rows);
    expired += lastExpired;
  } else if (row !== undefined) {
    lastAt = positionOf(row);
  }
  return {
    stretch: { from, rank: before, to: lastAt },
    sums,
    expired,
    next: lastAt && { from: lastAt, rank: lastRank },
  };
}

/** Reads the rows of a stretch and sums their hashes. */
export async function readSums(
  reader: RowReader,
  stretch: Stretch,
  rule: LiveRule,
): Promise<StretchSums> {
  const sums = emptySums();
  let expired = 0;
  await readWithin(reader, stretch, rule, (row, rank) => {
    if (isExcluded(rule, row.ts, rank)) expired += 1;
    else addTo(sums, row);
    return true;
  });
  return { sums, expired };
}

/**
 * Reads the rows of a stretch and keeps them by their hash.
 *
 * @param rowsMax Limit of the rows that are kept.
 * @returns Undefined if there are more.
 */
export async function readRows(
  reader: RowReader,
  stretch: Stretch,
  rule: LiveRule,
  rowsMax: number,
): Promise<Reading | undefined> {
  const rows = new Map<string, HeldRow>();
  let kept = 0;
  /** Rows of the last key and timestamp. */
  let group: { isLastKept: boolean }[] = [];
  await readWithin(reader, stretch, rule, (row, rank, isNewPosition) => {
    if (isNewPosition) group = [];
    if (isExcluded(rule, row.ts, rank)) return true;
    const hash = `${row.low}/${row.high}`;
    const known = rows.get(hash);
    const held = known ?? { ...positionOf(row), copies: 0, isLastKept: false };
    held.copies += 1;
    if (known === undefined) rows.set(hash, held);
    group.push(held);
    if (rule.latest !== undefined && BigInt(rank) === rule.latest) {
      for (const one of group) one.isLastKept = true;
    }
    kept += 1;
    return kept <= rowsMax;
  });
  return kept > rowsMax ? undefined : rows;
}

async function readWithin(
  reader: RowReader,
  stretch: Stretch,
  rule: LiveRule,
  take: (row: RowRecord, rank: number, isNewPosition: boolean) => boolean,
): Promise<void> {
  const ranks = createRanks(reader, stretch, rule);
  const end = orderedPosition(reader, stretch.to);
  await reader.read(ranks.start, (row, segment) => {
    if (end !== undefined && !isWithin(row, segment, end)) return false;
    const rank = ranks.next(row, segment);
    return rank === undefined || take(row, rank, ranks.isNewPosition);
  });
}

function orderedPosition(
  { segmentOf }: RowReader,
  position: RowPosition | undefined,
): OrderedPosition | undefined {
  return position && { ...position, segment: segmentOf(position.pk) };
}

function isWithin(row: RowRecord, segment: number, end: OrderedPosition): boolean {
  if (segment !== end.segment) return segment < end.segment;
  const order = row.bytes.compare(end.pk, 0, end.pk.length, row.pkFrom, row.pkTo);
  return order === 0 ? row.ts > end.ts : order < 0;
}

/**
 * Ranks the rows of each key. If the TTL limits the number of rows of a key, and the stretch starts among the rows of
 * one key, reading starts with the first row of that key: new rows may have changed the ranks, and a tablet counts
 * from the position at which reading starts.
 */
function createRanks(
  reader: RowReader,
  { from, rank: before }: { readonly from: RowPosition | undefined; readonly rank: number },
  { latest }: LiveRule,
) {
  const isCounted = latest !== undefined && before < latest;
  const first = orderedPosition(reader, from);
  let key: { readonly bytes: Buffer; readonly from: number; readonly to: number } | undefined;
  let rank = isCounted ? 0 : before;
  let ts: bigint | undefined;
  const ranks = {
    start: isCounted && from !== undefined ? { pk: from.pk, ts: NEWEST_TS } : from,
    /** True if the last row has another key or timestamp than the one before it. */
    isNewPosition: true,
    /** The rank of a row; undefined if it comes before the stretch. */
    next(row: RowRecord, segment: number): number | undefined {
      const isSameKey = row.isNewKey ? isKey(row, key ?? first) : true;
      ranks.isNewPosition = key === undefined || !isSameKey || row.ts !== ts;
      rank = isSameKey ? rank + 1 : 1;
      if (row.isNewKey) key = { bytes: row.bytes, from: row.pkFrom, to: row.pkTo };
      ts = row.ts;
      const isAhead = isCounted && first !== undefined && isWithin(row, segment, first);
      return isAhead ? undefined : rank;
    },
  };
  return ranks;
}

function isKey(
  row: RowRecord,
  key:
    | OrderedPosition
    | { readonly bytes: Buffer; readonly from: number; readonly to: number }
    | undefined,
): boolean {
  if (key === undefined) return false;
  return "bytes" in key
    ? row.bytes.compare(key.bytes, key.from, key.to, row.pkFrom, row.pkTo) === 0
    : row.bytes.compare(key.pk, 0, key.pk.length, row.pkFrom, row.pkTo) === 0;
}

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
