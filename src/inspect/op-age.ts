import type { Op } from "../model/cluster-state.js";
import { durationText } from "../model/duration.js";
import type { InspectFacts } from "./facts.js";

/** An op in the same task for longer than this stands still (the default of `--op_timeout`). */
const STUCK_MS = 600_000;
/** How far two clocks may be apart before an op that began in the future is odd. */
const AHEAD_MS = 5_000;
/** Tasks that can take long while nothing about them shows. */
const LONG_TASKS: readonly string[] = [
  "kSendSnapshot",
  "kLoadTable",
  "kMakeSnapshot",
  "kCheckBinlogSyncProgress",
];

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
 * Whether an op that runs should be looked at twice: it seems to be old, or to begin in the future. The
 * nameserver's clock is compared with this machine's here, and may be hours apart from it, so this proves
 * nothing.
 *
 * @param nowMs This machine's clock, milliseconds since the epoch.
 */
export function isWorthWatching(op: Op, nowMs: number): boolean {
  if (op.status !== "doing" || op.startTime === 0n) return false;
  const ageMs = nowMs - Number(op.startTime) * 1000;
  return ageMs > STUCK_MS || ageMs < -AHEAD_MS;
}

/**
 * Why an op is taken to stand still, in words that follow the op's name; undefined if it is not. Proven on
 * one clock: the nameserver's own, or that of this process, which has seen the op twice.
 */
export function standsStill(
  op: Op,
  { state, watched }: Pick<InspectFacts, "state" | "watched">,
): string | undefined {
  const leastMs = leastAgeMs(op, state.ops);
  if (leastMs === undefined) return undefined;
  if (leastMs > STUCK_MS) {
    return `has been doing ${op.task} for at least ${leastMs / 60_000n} min by the nameserver's clock`;
  }
  if (!watched.still.has(op.id) || LONG_TASKS.includes(op.task)) return undefined;
  return `was doing ${op.task} and nothing else for the ${durationText(watched.forMs)} that it was watched; it ${startText(op)}`;
}

/** When an op began, as the nameserver's clock has it. */
export function startText({ startTime }: Op): string {
  // A year beyond what dates can hold is as good as none.
  const ms = Number(startTime) * 1000;
  const time = Number.isNaN(new Date(ms).getTime()) ? `${startTime} s` : new Date(ms).toISOString();
  return `began at ${time} by the nameserver's clock`;
}
