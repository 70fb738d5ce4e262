import type { Op } from "../model/cluster-state.js";
import { ageText, durationText } from "../model/duration.js";
import { isInLongTask, isInShortTask } from "../model/op-standstill.js";
import type { InspectFacts } from "./facts.js";

/** An op in a task that can take long stands still after this time (the default of `--op_timeout`). */
const STUCK_MS = 600_000;

/**
 * How long an op has been under way at least, on the nameserver's clock alone: from its start to the newest
 * time that the nameserver tells of any op. Undefined if it does not run.
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
 * Whether an op has to be watched before it is known whether it moves: it is in a task that takes a moment
 * only, or in one that can take long, and old by the nameserver's clock.
 */
export function isWorthWatching(op: Op, ops: readonly Op[]): boolean {
  return isInShortTask(op) || (isInLongTask(op) && (leastAgeMs(op, ops) ?? 0n) > STUCK_MS);
}

/**
 * Why an op is taken to stand still, in words that follow the op's name; undefined if it is not. It was seen
 * in the same task all the while that this process watched it, by this process's own clock. One in a task
 * that can take long must also be old by the nameserver's clock. No time of the nameserver is compared with
 * one of this machine: their clocks may be hours apart.
 */
export function standsStill(
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

/** When an op began, as the nameserver's clock has it. */
export function startText({ startTime }: Op): string {
  // A year beyond what dates can hold is as good as none.
  const ms = Number(startTime) * 1000;
  const time = Number.isNaN(new Date(ms).getTime()) ? `${startTime} s` : new Date(ms).toISOString();
  return `began at ${time} by the nameserver's clock`;
}
