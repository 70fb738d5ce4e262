import { isOpActive, type Op, type TableClaim } from "../model/cluster-state.js";
import { compareDatabases, compareText } from "../model/partition-view.js";
import { unknownName } from "../util/nearest.js";
import type { Cell } from "../util/text.js";
import { databasesOf } from "./known.js";
import { STATUS_WORDS } from "./op-words.js";
import { durationText, timeText } from "./readable.js";
import { columns, NOTHING, orNothing, type Shown } from "./shown.js";

/** Which ops are meant; undefined and empty lists mean any. */
export interface OpWish {
  readonly db: string | undefined;
  readonly table: string | undefined;
  readonly pids: readonly number[];
  /** Statuses and types in OpenMLDB's words; an op fits if one of its two words is among them. */
  readonly words: readonly string[];
  readonly ids: readonly bigint[];
}

/** What stands for "no partition" in an op (OpenMLDB 0.9: INVALID_PID). */
const NO_PID = 4_294_967_295;

/** The ops that are meant, in the order of their ids. */
export function selectOps(ops: readonly Op[], wish: OpWish): Op[] {
  const statuses = wish.words.filter((word) => STATUSES.includes(word));
  const types = wish.words.filter((word) => !STATUSES.includes(word));
  return ops
    .filter(
      (op) =>
        (wish.db === undefined || op.db === wish.db) &&
        (wish.table === undefined || op.table === wish.table) &&
        isAmong(wish.pids, op.pid) &&
        isAmong(wish.ids, op.id) &&
        // `kFailed,kMigrateOP` means failed migrations, `kFailed,kDoing` either state.
        isAmong(statuses, STATUS_WORDS[op.status]) &&
        isAmong(types, op.type),
    )
    .sort((a, b) => (a.id < b.id ? -1 : Number(a.id > b.id)));
}

const STATUSES: readonly string[] = Object.values(STATUS_WORDS);

function isAmong<T>(wanted: readonly T[], value: T): boolean {
  return wanted.length === 0 || wanted.includes(value);
}

/** What a cluster has that an op can be about. */
export interface OpPlaces {
  readonly ops: readonly Op[];
  readonly tables: readonly TableClaim[];
  /** As ShowDatabase lists them. */
  readonly databases: readonly string[];
}

/**
 * Refuses names that neither exist nor occur in an op: ops of tables that were dropped stay listed.
 *
 * @throws OpsError `refused` with the nearest known name.
 */
export function assertOpPlaces({ ops, tables, databases }: OpPlaces, wish: OpWish): void {
  const places = [...tables, ...ops];
  const known = databasesOf([...databases, ...ops.map((op) => op.db)], tables);
  if (wish.db !== undefined && !known.includes(wish.db)) {
    throw unknownName("database", wish.db, known.sort(compareDatabases));
  }
  const names = places.filter((one) => wish.db === undefined || one.db === wish.db);
  if (wish.table !== undefined && !names.some((one) => one.table === wish.table)) {
    const all = [...new Set(names.map((one) => one.table))].filter((name) => name !== "");
    throw unknownName("table named", wish.table, all.sort(compareText));
  }
  const pids = pidsOf(ops, tables, wish);
  for (const pid of wish.pids) {
    if (!pids.includes(pid)) throw unknownName("partition", String(pid), pids.map(String));
  }
  for (const id of wish.ids) {
    if (!ops.some((op) => op.id === id)) {
      throw unknownName(
        "op",
        String(id),
        newestFirst(ops).map((op) => String(op.id)),
      );
    }
  }
}

function pidsOf(ops: readonly Op[], tables: readonly TableClaim[], wish: OpWish): number[] {
  const fits = (one: { readonly db: string; readonly table: string }) =>
    (wish.db === undefined || one.db === wish.db) &&
    (wish.table === undefined || one.table === wish.table);
  const pids = [
    ...tables.filter(fits).flatMap((one) => one.partitions.map(({ pid }) => pid)),
    ...ops.filter(fits).map((op) => op.pid),
  ];
  return [...new Set(pids)].filter((pid) => pid !== NO_PID).sort((a, b) => a - b);
}

function newestFirst(ops: readonly Op[]): Op[] {
  return [...ops].sort((a, b) => (a.id < b.id ? 1 : Number(a.id > b.id) * -1));
}

/**
 * Ops as the nameserver lists them.
 *
 * @param now Milliseconds since the epoch, for the time that a running op has taken so far.
 */
export function shownOps(ops: readonly Op[], now: number, empty: string): Shown {
  return {
    columns: columns(
      ...[">op_id", "op_type", "db", "name", ">pid", "status"],
      ...["start_time", ">execute_time", "end_time", "cur_task"],
    ),
    rows: ops.map((op) => [
      String(op.id),
      op.type,
      orNothing(op.db),
      orNothing(op.table),
      op.pid === NO_PID ? NOTHING : String(op.pid),
      statusCell(op),
      orNothing(timeText(op.startTime)),
      tookText(op, now),
      orNothing(timeText(op.endTime)),
      orNothing(op.task),
    ]),
    empty,
    json: { ops: ops.map((op) => opJson(op, now)) },
  };
}

function statusCell(op: Op): Cell {
  const text = STATUS_WORDS[op.status];
  if (op.status === "done") return { text, color: "good" };
  if (op.status === "failed") return { text, color: "bad" };
  return isOpActive(op) ? { text, color: "doubtful" } : text;
}

/** Undefined for an op that has not begun. */
function tookMs(op: Op, now: number): bigint | undefined {
  if (op.startTime === 0n) return undefined;
  const end = op.endTime === 0n ? BigInt(Math.trunc(now)) : op.endTime * 1000n;
  const took = end - op.startTime * 1000n;
  // The nameserver's clock and this machine's may differ.
  return took < 0n ? 0n : took;
}

function tookText(op: Op, now: number): string {
  const took = tookMs(op, now);
  return took === undefined ? NOTHING : durationText(took);
}

function opJson(op: Op, now: number): Record<string, unknown> {
  return {
    opId: op.id,
    opType: op.type,
    db: op.db,
    table: op.table,
    pid: op.pid === NO_PID ? null : op.pid,
    status: STATUS_WORDS[op.status],
    startTime: timeText(op.startTime) ?? null,
    endTime: timeText(op.endTime) ?? null,
    tookMs: tookMs(op, now) ?? null,
    task: op.task === NOTHING || op.task === "" ? null : op.task,
  };
}
