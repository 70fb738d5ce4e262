import { create, isFieldSet } from "@bufbuild/protobuf";
import {
  type TraverseRequest,
  TraverseRequestSchema,
  type TraverseResponse,
  TraverseResponseSchema,
} from "../../gen/openmldb/api_pb.js";
import { comparePositions, segmentOf } from "../../model/row-order.js";
import { indexOf, type StoredIndex } from "../model/indexes.js";
import {
  isInMemory,
  isServing,
  type LoadedReplica,
  NO_TABLE,
  type StoredRow,
} from "../model/replica.js";
import { lastOffset, slice } from "../model/runs.js";
import { RowWalk } from "./row-walk.js";

/** The number of keys in a table's first index, and in each other one. */
const KEYS = [16n, 5n] as const;
/** Rows of one key of a memory table that share a timestamp. A row on disk replaces one with its key and timestamp. */
const ROWS_PER_TS = 2n;
/** Timestamp of the first rows: milliseconds since the epoch. */
const FIRST_TS = 1_700_000_000_000n;
/** The distance of the timestamps of one key, if rows do not expire, and if they do. */
const STEP_MS = { lasting: 1n, expiring: 60_000n } as const;
/**
 * max_traverse_cnt in OpenMLDB's shipped configuration: rows that a call passes, returned or not.
 */
const ROWS_MAX = 50_000;

const LOADING = { code: 104, msg: "table is loading" };
const NO_INDEX = { code: 108, msg: "idx name not found" };

/**
 * The rows of an index of a loaded replica, in Traverse order: by segment (memory tables), key and
 * descending timestamp. A row's bytes contain its number, term and writer, so that entries with one
 * number from two leaders differ. Rows that are in memory twice are returned twice; they are the first
 * ones of the log, which a leader sends before a load. Collected rows are left out.
 */
function rowsOf(replica: LoadedReplica, index: StoredIndex): readonly StoredRow[] {
  const known = replica.rows.get(index.position);
  if (known !== undefined) return known;
  const { dir, expiredTo } = replica;
  const isMemory = isInMemory(replica);
  const segCount = isMemory ? dir.meta.segCount : 1;
  const keys = index.position === 0 ? KEYS[0] : KEYS[1];
  const rows: StoredRow[] = [];
  let doubled = isMemory ? replica.extraRows : 0;
  for (const run of slice(dir.runs, expiredTo, lastOffset(dir.runs))) {
    for (let number = run.from; number <= run.to; number += 1n) {
      const pk = Buffer.from(`${index.position === 0 ? "k" : `${index.name}-`}${number % keys}`);
      const row: StoredRow = {
        segment: segmentOf(pk, segCount),
        pk,
        ts: timestampOf(number, index, isMemory),
        row: Buffer.from(`row ${number} of term ${run.term} by ${run.writer}`),
      };
      rows.push(row);
      if (doubled > 0) rows.push(row);
      doubled -= 1;
    }
  }
  // Stable: rows with one key and timestamp stay in the order in which they were written.
  rows.sort(comparePositions);
  replica.rows.set(index.position, rows);
  return rows;
}

/** The timestamp of the row with that number in an index. */
export function timestampOf(number: bigint, index: StoredIndex, isMemory: boolean): bigint {
  const keys = index.position === 0 ? KEYS[0] : KEYS[1];
  const perTs = isMemory ? ROWS_PER_TS : 1n;
  const step = index.ttl === undefined ? STEP_MS.lasting : STEP_MS.expiring;
  return FIRST_TS + (number / (keys * perTs)) * step;
}

/**
 * Answers Traverse. Expired rows are left out by the current time, collected or not.
 *
 * @see OpenMLDB 0.9 tablet: Traverse, MemTableTraverseIterator, DiskTableTraverseIterator;
 *   `rows-1-healthy` of the recordings
 */
export function traverse(
  replica: LoadedReplica | undefined,
  request: TraverseRequest,
  nowMs: number,
): TraverseResponse {
  if (replica === undefined) return create(TraverseResponseSchema, NO_TABLE);
  if (!isServing(replica)) return create(TraverseResponseSchema, LOADING);
  const index = indexOf(replica.dir.meta.schema, request.idxName);
  if (index === undefined) return create(TraverseResponseSchema, NO_INDEX);
  const { limit } = request;
  const walk = new RowWalk(rowsOf(replica, index), {
    ttl: index.ttl,
    nowMs,
    segCount: isInMemory(replica) ? replica.dir.meta.segCount : undefined,
  });
  const isPlaced = isFieldSet(request, TraverseRequestSchema.field.tsPos);
  walk.seek(request, isPlaced ? request.tsPos : 1);
  const page: StoredRow[] = [];
  const last = { pk: request.pk, ts: request.ts, tsPos: request.tsPos };
  for (let row = walk.row; row !== undefined; row = walk.next()) {
    if ((limit > 0 && page.length === limit) || walk.count >= ROWS_MAX) break;
    const isSame = row.pk.equals(last.pk) && row.ts === last.ts;
    last.tsPos = isSame ? last.tsPos + 1 : 1;
    last.pk = row.pk;
    last.ts = row.ts;
    if (!isSame || !request.enableRemoveDuplicatedRecord) page.push(row);
  }
  const isCut = walk.count >= ROWS_MAX;
  // The row where the walk stopped may not have been returned.
  const stop = isCut ? (walk.row ?? { pk: Buffer.alloc(0), ts: 0n }) : last;
  return create(TraverseResponseSchema, {
    code: 0,
    pairs: Buffer.concat(page.map(recordOf)),
    count: page.length,
    pk: stop.pk,
    ts: stop.ts,
    tsPos: last.tsPos,
    isFinish: isCut ? stop.pk.length === 0 : page.length < limit,
  });
}

/** Length of what follows the two length fields, length of the key, timestamp, key, row. */
function recordOf({ pk, ts, row }: StoredRow): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(8 + pk.length + row.length, 0);
  head.writeUInt32LE(pk.length, 4);
  head.writeBigUInt64LE(ts, 8);
  return Buffer.concat([head, pk, row]);
}
