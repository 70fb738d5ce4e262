import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import { effectOf } from "../steps/run-step.js";
import { type AttemptHistory, NO_ATTEMPTS, type Planner } from "./attempt-history.js";

/** A run makes no more rounds than this, so no more are predicted. */
const ROUNDS_MAX = 6;

/** One round of a partition's recovery, and the partition as it is expected at its start. */
export interface PredictedRound {
  readonly lane: Lane;
  readonly view: PartitionView;
}

/**
 * Predicts the rounds of a partition's recovery. The first is planned on the observed state; the later
 * ones assume that every step works and that every replica holds what was last seen there.
 *
 * @returns Ends with a round without steps only if that round is blocked or is the first.
 */
export function predictRounds(view: PartitionView, planner: Planner): PredictedRound[] {
  const rounds: PredictedRound[] = [];
  let current = view;
  while (rounds.length < ROUNDS_MAX) {
    const lane = planner(current, NO_ATTEMPTS);
    if (rounds.length > 0 && lane.steps.length === 0 && lane.blocked === undefined) break;
    rounds.push({ lane, view: current });
    if (lane.steps.length === 0) break;
    current = afterLane(current, lane);
  }
  return rounds;
}

/**
 * True if nothing is left to plan for a partition once every step of a lane has worked. The final
 * observation of the whole cluster then verifies the result.
 *
 * @param view The partition for which the lane was planned.
 */
export function isLastRound(
  { view, lane }: PredictedRound,
  planner: Planner,
  attempts: AttemptHistory,
): boolean {
  if (lane.steps.length === 0) return true;
  const next = planner(afterLane(view, lane), attempts);
  return next.steps.length === 0 && next.blocked === undefined;
}

function afterLane(view: PartitionView, lane: Lane): PartitionView {
  const after = lane.steps.reduce((seen, step) => effectOf(seen, step, lane), view);
  return { ...after, known: lane.givesUp ? undefined : lane.evidence };
}
