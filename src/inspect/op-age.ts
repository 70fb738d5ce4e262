import type { Op } from "../model/cluster-state.js";
import { ageText, durationText } from "../model/duration.js";
import { isInLongTask, isInShortTask } from "../model/ops.js";
import type { InspectFacts } from "./facts.js";

/** Milliseconds after which an op in a task that can take long may count as stuck (the default of `--op_timeout`). */
const STUCK_MS = 600_000;

/**
 * A lower bound of an op's running time in milliseconds, by the nameserver's clock alone: from its start to the
 * newest time of any op. Undefined if it is not running.
 */
function leastAgeMs(op: Op, ops: readonly Op[]): bigint | undefined {
  if (op.status !== "doing" || op.startTime === 0n) return undefined;
  let newest = op.startTime;
  for (const { startTime, endTime } of ops) {
    if (startTime > newest) newest = startTime;
    if (endTime > newest) newest = endTime;
  }
  return (newest - op.startTime) * 1000n;
}

/**
 * True if an op has to be watched to find out whether it makes progress: it is in a short task, or in a task that
 * can take long and is old by the nameserver's clock.
 */
export function isWorthWatching(op: Op, ops: readonly Op[]): boolean {
  return isInShortTask(op) || (isInLongTask(op) && (leastAgeMs(op, ops) ?? 0n) > STUCK_MS);
}

/**
 * Why an op counts as stuck, in words that follow the op's name; undefined if it does not. A stuck op stayed in
 * one task while this process watched it. In a task that can take long, it must also be old by the nameserver's
 * clock. Times of the nameserver and of this machine are never compared, because the clocks may differ by hours.
 */
export function stuckReason(
  op: Op,
  { state, watched }: Pick<InspectFacts, "state" | "watched">,
): string | undefined {
  if (!watched.still.has(op.id)) return undefined;
  const seen = `stayed in task ${op.task} during the ${durationText(watched.forMs)} of observation`;
  if (isInShortTask(op)) return `${seen}; it ${startText(op)}`;
  const leastMs = leastAgeMs(op, state.ops);
  if (leastMs === undefined || leastMs <= STUCK_MS) return undefined;
  return `${seen}, and has run for at least ${ageText(leastMs)} by the nameserver's clock`;
}

/** The start time of an op by the nameserver's clock, in words. */
export function startText({ startTime }: Op): string {
  // Show the raw number if it is beyond the range of Date.
  const ms = Number(startTime) * 1000;
  const time = Number.isNaN(new Date(ms).getTime()) ? `${startTime} s` : new Date(ms).toISOString();
  return `began at ${time} by the nameserver's clock`;
}
