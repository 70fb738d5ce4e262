import type { Op } from "./cluster-state.js";

/**
 * How long an op may stay in one task before it counts as standing still. The nameserver takes the next
 * step of an op within 4 s (OpenMLDB 0.9: get_task_status_interval, 2 s).
 */
export const STANDSTILL_MS = 10_000;

/**
 * Tasks that copy, load or build something, or wait for that: they can take long while nothing about them
 * shows (OpenMLDB 0.9: api::TaskType).
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

/** Whether an op is in a task that takes a moment only, so that standing still there means something. */
export function isInShortTask(op: Op): boolean {
  return op.status === "doing" && !LONG_TASKS.has(op.task);
}

/** Whether an op is in a task that can take long. */
export function isInLongTask(op: Op): boolean {
  return op.status === "doing" && LONG_TASKS.has(op.task);
}
