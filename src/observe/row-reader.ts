import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type { Endpoint } from "../model/cluster-state.js";
import { comparePositions, type OrderedPosition, segmentOf } from "../model/row-order.js";
import type { RowPosition } from "../model/rows.js";
import { untilAborted } from "../util/within.js";
import { eachRow, positionOf, type RowRecord } from "./row-records.js";

/** Bytes of rows that a call requests, estimated by the size of earlier rows. */
const PAGE_BYTES = 1_000_000;
const PAGE_ROWS_FIRST = 64;
/**
 * Far below max_traverse_cnt, 50,000 in OpenMLDB's shipped configuration: if a page of a disk table
 * ends by that limit, the answer names a row that was not returned, with the ts_pos of the row before
 * (OpenMLDB 0.9: DiskTableTraverseIterator::Next).
 */
const PAGE_ROWS_MAX = 4_000;

/** One index of one replica. */
export interface ReplicaIndex {
  readonly endpoint: Endpoint;
  readonly tid: number;
  readonly pid: number;
  /** Undefined for the first index. */
  readonly index: string | undefined;
  /** Segments over which its keys are spread; 1 for tables on disk. */
  readonly segCount: number;
}

/** How rows are read from tablets. */
export interface ReadStyle {
  readonly cluster: Cluster;
  readonly signal: AbortSignal;
  /** Limit of the rate at which rows are read from each tablet, bytes a second. */
  readonly bytesPerSecond: number;
  /** Limit of rows in one answer; undefined: the default. */
  readonly pageRows?: number | undefined;
  /** Receives the rows and bytes of each answer. */
  readonly onRead: (rows: number, bytes: number) => void;
}

/**
 * Receives a row, which is valid only during the call, and the segment of its key. Returns false to stop reading.
 */
export type TakeRow = (row: RowRecord, segment: number) => boolean;

/** Reads rows of one index of one replica, in its order. */
export interface RowReader {
  readonly endpoint: Endpoint;
  /** The segment of a key. */
  segmentOf(pk: Uint8Array): number;
  /**
   * Reads the rows from a position on, call by call, at the given rate.
   *
   * @param from Undefined to start with the first row.
   * @param goesOn Called after each answer; false stops reading.
   * @returns True if the last row was reached.
   * @throws OpsError if the replica cannot be read, or if its answer is not rows in their order.
   */
  read(from: RowPosition | undefined, take: TakeRow, goesOn?: () => boolean): Promise<boolean>;
}

/** Creates a reader, which keeps the average size of rows and its recent rate. */
export function createRowReader(of: ReplicaIndex, style: ReadStyle): RowReader {
  const { cluster, signal, bytesPerSecond, onRead, pageRows = PAGE_ROWS_MAX } = style;
  const { endpoint, tid, pid, index, segCount } = of;
  let limit = Math.min(pageRows, PAGE_ROWS_FIRST);
  let readyAt = cluster.clock.now();
  const page = async (from: OrderedPosition | undefined, skip: number, take: TakeRow) => {
    const pauseMs = readyAt - cluster.clock.now();
    if (pauseMs > 0) await cluster.clock.sleep(pauseMs, signal);
    signal.throwIfAborted();
    const began = cluster.clock.now();
    const call = cluster.traverse(endpoint, { tid, pid, index, limit, from, skip });
    const answer = await untilAborted(call, signal);
    const { length } = answer.pairs;
    readyAt = began + (length / bytesPerSecond) * 1_000;
    onRead(answer.count, length);
    if (answer.count > 0) {
      const each = Math.max(1, length / answer.count);
      limit = Math.max(1, Math.min(pageRows, Math.floor(PAGE_BYTES / each)));
    }
    const rows = inOrder(from, skip, segCount, take);
    const problem = eachRow(answer, rows.take) ?? rows.problem();
    if (problem !== undefined) throw notRows(of, problem);
    return { ...rows.end(), stoppedAt: answer.stoppedAt };
  };
  return {
    endpoint,
    segmentOf: (pk) => segmentOf(pk, segCount),
    async read(start, take, goesOn = () => true) {
      let from = start && { ...start, segment: segmentOf(start.pk, segCount) };
      let skip = 0;
      for (;;) {
        const { last, given, isEnded, stoppedAt } = await page(from, skip, take);
        if (stoppedAt === undefined && !isEnded) return true;
        if (isEnded || !goesOn()) return false;
        if (last === undefined) {
          // The answer had expired rows only; the tablet names the row where it stopped.
          from = nextPlace(of, from, stoppedAt);
          skip = 0;
        } else {
          from = last;
          skip = given;
        }
      }
    },
  };
}

function nextPlace(
  of: ReplicaIndex,
  from: OrderedPosition | undefined,
  stoppedAt: RowPosition | undefined,
): OrderedPosition {
  const { pk = new Uint8Array(), ts = 0n } = stoppedAt ?? {};
  const place = { pk, ts, segment: segmentOf(pk, of.segCount) };
  if (pk.length === 0 || (from !== undefined && comparePositions(from, place) >= 0)) {
    throw notRows(of, "an answer did not advance the position");
  }
  return place;
}

/** The preceding row of the same answer. */
interface RowBefore {
  pkFrom: number;
  pkTo: number;
  ts: bigint;
  segment: number;
}

/** Passes rows on and checks their order. */
function inOrder(from: OrderedPosition | undefined, skip: number, segCount: number, pass: TakeRow) {
  let before: RowBefore | undefined;
  let last: RowRecord | undefined;
  let given = 0;
  let isEnded = false;
  let problem: string | undefined;
  const begin = (row: RowRecord, segment: number): RowBefore => {
    const order = from === undefined ? -1 : comparePositions(from, { ...positionOf(row), segment });
    if (order > 0) problem = "the first row comes before the requested position";
    given = order === 0 ? skip : 0;
    return { pkFrom: row.pkFrom, pkTo: row.pkTo, ts: row.ts, segment };
  };
  const take = (row: RowRecord): boolean => {
    const segment =
      before !== undefined && !row.isNewKey ? before.segment : segmentOfRow(row, segCount);
    before ??= begin(row, segment);
    if (isBefore(row, segment, before)) problem = "the rows are not in the order of the index";
    if (problem !== undefined) return false;
    given = row.isNewPosition && last !== undefined ? 1 : given + 1;
    before.pkFrom = row.pkFrom;
    before.pkTo = row.pkTo;
    before.ts = row.ts;
    before.segment = segment;
    last = row;
    isEnded = !pass(row, segment);
    return !isEnded;
  };
  return {
    take,
    problem: () => problem,
    end: () => ({
      last: last && { ...positionOf(last), segment: before?.segment ?? 0 },
      given,
      isEnded,
    }),
  };
}

function segmentOfRow({ bytes, pkFrom, pkTo }: RowRecord, segCount: number): number {
  return segCount <= 1 ? 0 : segmentOf(bytes.subarray(pkFrom, pkTo), segCount);
}

function isBefore(row: RowRecord, segment: number, before: RowBefore): boolean {
  if (!row.isNewKey) return row.ts > before.ts;
  if (segment !== before.segment) return segment < before.segment;
  const { bytes } = row;
  return bytes.compare(bytes, before.pkFrom, before.pkTo, row.pkFrom, row.pkTo) < 0;
}

function notRows({ endpoint, tid, pid, index }: ReplicaIndex, problem: string): OpsError {
  const named = index === undefined ? "" : `, index ${index}`;
  return new OpsError({
    code: "bad-answer",
    message: `Traverse at ${endpoint}, tid ${tid} pid ${pid}${named}: ${problem}`,
    endpoint,
  });
}
