import type { Op } from "./cluster-state.js";

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
