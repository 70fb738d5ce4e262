import { create, isFieldSet } from "@bufbuild/protobuf";
import {
  type TraverseRequest,
  TraverseRequestSchema,
  type TraverseResponse,
  TraverseResponseSchema,
} from "../../gen/openmldb/api_pb.js";
import { StorageMode } from "../../gen/openmldb/common_pb.js";
import { isServing, type LoadedReplica, type StoredRow } from "../model/replica.js";
import { lastOffset, slice } from "../model/runs.js";

/** How many keys the rows of a table have. */
const KEYS = 16n;
/** Rows of one key that share a timestamp. */
const ROWS_PER_TS = 2n;
/** Timestamp of the first rows: milliseconds since the epoch. */
const FIRST_TS = 1_700_000_000_000n;
/** max_traverse_cnt: rows in one answer, whatever the limit. */
const ROWS_MAX = 50_000;

const NOT_LOADED = { code: 100, msg: "table does not exist" };
const LOADING = { code: 104, msg: "table is loading" };

/**
 * The rows that a loaded replica serves, in the order in which Traverse walks them: by segment (memory
 * tables), key and falling timestamp. A row's bytes say its number, term and writer, so that entries
 * with one number from two leaders differ. Rows that are in memory twice come twice; they are the first
 * ones of the log, as those are what a leader sends before a load. Expired rows are left out.
 */
function rowsOf(replica: LoadedReplica): readonly StoredRow[] {
  if (replica.rows !== undefined) return replica.rows;
  const { dir, extraRows, expiredTo } = replica;
  const isInMemory = dir.meta.storageMode === StorageMode.kMemory;
  const rows: StoredRow[] = [];
  let doubled = extraRows;
  for (const run of slice(dir.runs, expiredTo, lastOffset(dir.runs))) {
    for (let number = run.from; number <= run.to; number += 1n) {
      const key = Number(number % KEYS);
      const row: StoredRow = {
        segment: isInMemory ? key % dir.meta.segCount : 0,
        pk: `k${key}`,
        ts: FIRST_TS + number / (KEYS * ROWS_PER_TS),
        row: Buffer.from(`row ${number} of term ${run.term} by ${run.writer}`),
      };
      rows.push(row);
      if (doubled > 0) rows.push(row);
      doubled -= 1;
    }
  }
  // Stable: rows with one key and timestamp stay in the order in which they were written.
  rows.sort(compareRows);
  replica.rows = rows;
  return rows;
}

function compareRows(a: Pick<StoredRow, "segment" | "pk" | "ts">, b: typeof a): number {
  if (a.segment !== b.segment) return a.segment - b.segment;
  if (a.pk !== b.pk) return a.pk < b.pk ? -1 : 1;
  if (a.ts === b.ts) return 0;
  return a.ts > b.ts ? -1 : 1;
}

/**
 * Answers Traverse.
 *
 * @see OpenMLDB 0.9 tablet: Traverse; `rows-1-healthy` of the recordings
 */
export function traverse(
  replica: LoadedReplica | undefined,
  request: TraverseRequest,
): TraverseResponse {
  if (replica === undefined) return create(TraverseResponseSchema, NOT_LOADED);
  if (!isServing(replica)) return create(TraverseResponseSchema, LOADING);
  const rows = rowsOf(replica);
  const { limit } = request;
  const page: StoredRow[] = [];
  const last = { pk: request.pk, ts: request.ts, tsPos: request.tsPos };
  for (let index = startOf(rows, request); index < rows.length; index += 1) {
    if ((limit > 0 && page.length === limit) || page.length === ROWS_MAX) break;
    const row = rows[index] as StoredRow;
    const isSame = row.pk === last.pk && row.ts === last.ts;
    last.tsPos = isSame ? last.tsPos + 1 : 1;
    last.pk = row.pk;
    last.ts = row.ts;
    if (!isSame || !request.enableRemoveDuplicatedRecord) page.push(row);
  }
  return create(TraverseResponseSchema, {
    code: 0,
    pairs: Buffer.concat(page.map(recordOf)),
    count: page.length,
    pk: last.pk,
    ts: last.ts,
    tsPos: last.tsPos,
    isFinish: page.length < ROWS_MAX && page.length < limit,
  });
}

/** Index of the first row to give: behind the rows that earlier answers ended with. */
function startOf(rows: readonly StoredRow[], request: TraverseRequest): number {
  const { pk, ts, skipCurrentPk, tsPos } = request;
  if (pk === "") return 0;
  const segment = rows.find((row) => row.pk === pk)?.segment ?? 0;
  let index = rows.findIndex((row) => compareRows(row, { segment, pk, ts }) >= 0);
  if (index < 0) return rows.length;
  const isHere = () => rows[index]?.pk === pk && (skipCurrentPk || rows[index]?.ts === ts);
  const isGiven = isFieldSet(request, TraverseRequestSchema.field.tsPos);
  let left = isGiven ? tsPos : 1;
  while (isHere() && (skipCurrentPk || left > 0)) {
    index += 1;
    left -= 1;
  }
  return index;
}

/** Length of what follows the two length fields, length of the key, timestamp, key, row. */
function recordOf({ pk, ts, row }: StoredRow): Buffer {
  const key = Buffer.from(pk);
  const head = Buffer.alloc(16);
  head.writeUInt32LE(8 + key.length + row.length, 0);
  head.writeUInt32LE(key.length, 4);
  head.writeBigUInt64LE(ts, 8);
  return Buffer.concat([head, key, row]);
}
