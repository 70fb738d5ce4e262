import { isOpActive, type Op, type PartitionId } from "./cluster-state.js";
import { groupBy } from "./groups.js";
import { partitionKey } from "./partition-name.js";

/** An index of one answer of ShowOPStatus, computed once and shared by all waits. */
interface OpsIndex {
  readonly byPartition: ReadonlyMap<string, readonly Op[]>;
  /** See {@link activityOf}. */
  readonly activity: string;
}

const indexes = new WeakMap<readonly Op[], OpsIndex>();

/** The ops of one partition, in the order of the answer. */
export function opsOfPartition(all: readonly Op[], id: PartitionId): readonly Op[] {
  return indexOf(all).byPartition.get(partitionKey(id)) ?? [];
}

/** A fingerprint of the active ops: it differs once any op begins, ends, or changes its status or task. */
export function activityOf(all: readonly Op[]): string {
  return indexOf(all).activity;
}

/** The id of the newest op; -1 if there is none. */
export function newestOf(ops: readonly Op[]): bigint {
  let newest = -1n;
  for (const op of ops) if (op.id > newest) newest = op.id;
  return newest;
}

function indexOf(all: readonly Op[]): OpsIndex {
  const known = indexes.get(all);
  if (known !== undefined) return known;
  const active = all.filter(isOpActive).map((op) => `${op.id}${op.status}${op.task}`);
  const made = { byPartition: groupBy(all, partitionKey), activity: active.join() };
  indexes.set(all, made);
  return made;
}

/**
 * Milliseconds that an op may stay in one short task before it counts as stuck. The nameserver starts the
 * next task of an op within 4 s (OpenMLDB 0.9: get_task_status_interval, 2 s).
 */
export const STANDSTILL_MS = 10_000;

/**
 * Tasks that copy, load or build data, or wait for that. They can take long without visible progress
 * (OpenMLDB 0.9: api::TaskType).
 */
const LONG_TASKS: ReadonlySet<string> = new Set([
  "kSendSnapshot",
  "kLoadTable",
  "kMakeSnapshot",
  "kCheckBinlogSyncProgress",
  "kDumpIndexData",
  "kSendIndexData",
  "kLoadIndexData",
  "kExtractIndexData",
  "kAddIndexToTablet",
  "kSendIndexRequest",
  "kExtractIndexRequest",
  "kLoadIndexRequest",
  "kAddIndexToTabletRequest",
  "kAddMultiTableIndex",
  "kAddTableIndex",
]);

/** Milliseconds. Above the nameserver's three attempts of 20 s for a call to a tablet (OpenMLDB 0.9: src/flags.cc). */
const ONE_CALL_MS = 180_000;

/**
 * Milliseconds that an op may stay in its task before it counts as stuck.
 *
 * kChangeLeader is one call to one tablet. A nameserver that takes over during this task neither repeats the call nor
 * reads the result from the tablet (OpenMLDB 0.9: SkipDoneTask, Task::SetState), so the op never ends.
 */
export function taskLimitMs({ task }: Op, opTimeoutMs: number): number {
  return task === "kChangeLeader" ? Math.min(ONE_CALL_MS, opTimeoutMs) : opTimeoutMs;
}

/** True if the op runs a task that normally ends within seconds, so that no progress there is a fault. */
export function isInShortTask(op: Op): boolean {
  return op.status === "doing" && !LONG_TASKS.has(op.task);
}

/** True if the op runs a task that can take long. */
export function isInLongTask(op: Op): boolean {
  return op.status === "doing" && LONG_TASKS.has(op.task);
}
