import { isOpActive, type Op, type TableClaim } from "../model/cluster-state.js";
import { ageCell } from "../model/duration.js";
import { isInScope, type TableScope } from "../model/partition-name.js";
import { compareDatabases, compareText } from "../model/partition-view.js";
import { unknownName } from "../util/nearest.js";
import type { Cell } from "../util/table.js";
import { databasesOf } from "./known.js";
import { STATUS_WORDS } from "./op-words.js";
import { timeText } from "./readable.js";
import { columns, NOTHING, orNothing, type Shown } from "./shown.js";

/** Selects ops; undefined and empty lists mean any. */
export interface OpOptions extends TableScope {
  readonly pids: readonly number[];
  /**
   * Statuses and types in OpenMLDB's words; an op is selected if its status is among the statuses, if
   * any, and its type among the types, if any.
   */
  readonly words: readonly string[];
  readonly ids: readonly bigint[];
}

/** The pid of an op without a partition (OpenMLDB 0.9: INVALID_PID). */
const NO_PID = 4_294_967_295;

/** The selected ops, in the order of their ids. */
export function selectOps(ops: readonly Op[], options: OpOptions): Op[] {
  const statuses = options.words.filter((word) => STATUSES.includes(word));
  const types = options.words.filter((word) => !STATUSES.includes(word));
  return ops
    .filter(
      (op) =>
        isInScope(options, op) &&
        isAmong(options.pids, op.pid) &&
        isAmong(options.ids, op.id) &&
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

/** The databases, tables and ops that an op can refer to. */
export interface OpPlaces {
  readonly ops: readonly Op[];
  readonly tables: readonly TableClaim[];
  /** As listed by ShowDatabase. */
  readonly databases: readonly string[];
}

/**
 * Refuses names that neither exist nor occur in an op: ops of dropped tables stay listed.
 *
 * @throws OpsError `refused` with the nearest known name.
 */
export function assertOpPlaces({ ops, tables, databases }: OpPlaces, options: OpOptions): void {
  const places = [...tables, ...ops];
  const known = databasesOf([...databases, ...ops.map((op) => op.db)], tables);
  if (options.db !== undefined && !known.includes(options.db)) {
    throw unknownName("database", options.db, known.sort(compareDatabases));
  }
  const names = places.filter((one) => isInScope({ db: options.db }, one));
  if (options.table !== undefined && !names.some((one) => one.table === options.table)) {
    const all = [...new Set(names.map((one) => one.table))].filter((name) => name !== "");
    throw unknownName("table named", options.table, all.sort(compareText));
  }
  const pids = pidsOf(ops, tables, options);
  for (const pid of options.pids) {
    if (!pids.includes(pid)) throw unknownName("partition", String(pid), pids.map(String));
  }
  for (const id of options.ids) {
    if (!ops.some((op) => op.id === id)) {
      throw unknownName(
        "op",
        String(id),
        newestFirst(ops).map((op) => String(op.id)),
      );
    }
  }
}

function pidsOf(ops: readonly Op[], tables: readonly TableClaim[], options: OpOptions): number[] {
  const pids = [
    ...tables
      .filter((one) => isInScope(options, one))
      .flatMap((one) => one.partitions.map(({ pid }) => pid)),
    ...ops.filter((op) => isInScope(options, op)).map((op) => op.pid),
  ];
  return [...new Set(pids)].filter((pid) => pid !== NO_PID).sort((a, b) => a - b);
}

function newestFirst(ops: readonly Op[]): Op[] {
  return [...ops].sort((a, b) => (a.id < b.id ? 1 : Number(a.id > b.id) * -1));
}

/**
 * Ops as listed by the nameserver.
 *
 * @param now Milliseconds since the epoch, for the time that a running op has taken so far.
 */
export function shownOps(ops: readonly Op[], now: number, empty: string): Shown {
  return {
    columns: columns(
      ...[">op_id", "op_type", "db", "name", ">pid", "status"],
      ...["?start_time", ">execute_time", "?end_time", "cur_task"],
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

/** Undefined for an op that has not started. */
function tookMs(op: Op, now: number): bigint | undefined {
  if (op.startTime === 0n) return undefined;
  const end = op.endTime === 0n ? BigInt(Math.trunc(now)) : op.endTime * 1000n;
  const took = end - op.startTime * 1000n;
  // The nameserver's clock and this machine's may differ.
  return took < 0n ? 0n : took;
}

function tookText(op: Op, now: number): string {
  const took = tookMs(op, now);
  return took === undefined ? NOTHING : ageCell(took);
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
