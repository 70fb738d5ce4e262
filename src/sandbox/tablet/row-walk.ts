import { TTLType } from "../../gen/openmldb/type_pb.js";
import { comparePositions, segmentOf } from "../../model/row-order.js";
import { isExpired, type StoredIndex } from "../model/indexes.js";
import type { StoredRow } from "../model/replica.js";

/** Newer than every row of a key. */
const NEWEST_TS = 2n ** 64n - 1n;

/** How rows are iterated. */
interface WalkRules {
  readonly ttl: StoredIndex["ttl"];
  readonly nowMs: number;
  /** Undefined for tables on disk. */
  readonly segCount: number | undefined;
}

/**
 * Iterates over the rows of an index, like the iterators of a tablet.
 *
 * @see OpenMLDB 0.9 tablet: MemTableTraverseIterator, DiskTableTraverseIterator
 */
export class RowWalk {
  /** Rows and keys passed, returned or not. */
  count = 0;
  readonly #rows: readonly StoredRow[];
  readonly #rules: WalkRules;
  #at = 0;
  /** Rank of the current row in its key, as the tablet counts it. */
  #rank = 1;

  constructor(rows: readonly StoredRow[], rules: WalkRules) {
    this.#rows = rows;
    this.#rules = rules;
  }

  /** The current row; undefined after the last one. */
  get row(): StoredRow | undefined {
    return this.#rows[this.#at];
  }

  /**
   * Moves to the first row to return.
   *
   * @param skip Rows of that key and timestamp that earlier answers returned.
   */
  seek(
    to: { readonly pk: Uint8Array; readonly ts: bigint; readonly skipCurrentPk: boolean },
    skip: number,
  ): void {
    const { pk, ts } = to;
    if (pk.length > 0) {
      this.#at = this.#firstAt({ pk, ts });
      if (this.#isAt(pk)) this.#rank = this.#rankAfterSeek(pk);
    }
    this.#skipExpired();
    if (pk.length === 0 || !this.#isAt(pk)) return;
    if (to.skipCurrentPk) {
      this.#nextKey();
      this.#skipExpired();
      return;
    }
    for (let left = skip; left > 0 && this.#isAt(pk) && this.row?.ts === ts; left -= 1) this.next();
  }

  /** Moves to the next row. */
  next(): StoredRow | undefined {
    const key = this.row?.pk;
    this.#at += 1;
    this.count += 1;
    this.#rank = key !== undefined && this.#isAt(key) ? this.#rank + 1 : 1;
    this.#skipExpired();
    return this.row;
  }

  #isAt(pk: Uint8Array): boolean {
    return this.row?.pk.equals(pk) === true;
  }

  /** Index of the first row that is not before a position. */
  #firstAt({ pk, ts }: { readonly pk: Uint8Array; readonly ts: bigint }): number {
    const place = { pk, ts, segment: segmentOf(pk, this.#rules.segCount ?? 1) };
    let [from, to] = [0, this.#rows.length];
    while (from < to) {
      const middle = Math.floor((from + to) / 2);
      if (comparePositions(this.#rows[middle] as StoredRow, place) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /**
   * A tablet counts the rows of a key from the sought position, so it can return more of them than their TTL
   * keeps. Only memory tables whose rows expire by number alone count from the first row.
   */
  #rankAfterSeek(pk: Uint8Array): number {
    if (this.#rules.ttl?.type !== TTLType.kLatestTime) return 0;
    if (this.#rules.segCount === undefined) return 1;
    return this.#at - this.#firstAt({ pk, ts: NEWEST_TS }) + 1;
  }

  #skipExpired(): void {
    const { ttl, nowMs } = this.#rules;
    for (let { row } = this; row !== undefined; row = this.row) {
      if (!isExpired(ttl, row.ts, this.#rank, nowMs)) return;
      this.#nextKey();
    }
  }

  #nextKey(): void {
    const key = this.row?.pk;
    while (key !== undefined && this.#isAt(key)) this.#at += 1;
    this.#rank = 1;
    this.count += 1;
  }
}
