import type { LimitFunction } from "p-limit";
import { messageOf } from "../errors.js";
import type { PartitionId } from "../model/cluster-state.js";
import type { LaneFailure, OnEvent, StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import { isMutating, type Lane, type Step } from "../model/plan.js";
import { type Learned, NOTHING_LEARNED, type Planner } from "./plan-learned.js";
import { observePartition, type StepContext } from "./step-context.js";
import { runStep } from "./steps.js";

/** How often a partition is looked at afresh and planned again before the run leaves it. */
const ROUNDS_MAX = 6;

/** What is needed beside the context of the steps. */
export interface RoundOptions {
  readonly planner: Planner;
  readonly onEvent: OnEvent;
}

/** How many partitions may be at their leaders, and how many at their followers. */
export interface Places {
  readonly leaders: LimitFunction;
  readonly followers: LimitFunction;
}

/**
 * Brings one partition back in rounds: plan what its problems ask for, do the steps in order, look
 * again. It is through when nothing is left to plan, when a step fails for good, or after
 * {@link ROUNDS_MAX} rounds. A failed load or feed is not for good: the planner learns of it and
 * takes another way.
 *
 * @returns What could not be done; undefined if nothing is left. Where a replica could not be
 *   loaded or fed and another way worked, nothing is left.
 */
export async function recoverPartition(
  context: StepContext,
  first: Lane,
  options: RoundOptions,
  places: Places,
): Promise<LaneFailure | undefined> {
  let lane = first;
  let learned: Learned = { ...NOTHING_LEARNED, lastSeen: first.lastSeen };
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    options.onEvent({ kind: "lane", lane, round });
    if (lane.blocked !== undefined) {
      const { endpoint, text, candidate } = lane.blocked;
      const decision = candidate === undefined ? undefined : lane.blocked;
      return { endpoint, step: "plan", detail: text, decision };
    }
    if (lane.steps.length === 0) return undefined;
    const failures = await runLane(context, lane, options, places);
    const final = failures.find((one) => !isLesson(one.step));
    if (final !== undefined) return final;
    if (failures.length === 0 && lane.notes.length > 0) {
      options.onEvent({ kind: "partition-note", id: lane.id, notes: lane.notes });
    }
    learned = learn(learned, failures);
    const view = await observePartitionSafely(context, lane.id);
    if (view === undefined) return undefined;
    if ("failure" in view) return view.failure;
    lane = options.planner(view, learned);
  }
  if (lane.steps.length === 0 && lane.blocked === undefined) return undefined;
  return {
    endpoint: undefined,
    step: "plan",
    detail: `still not healthy after ${ROUNDS_MAX} rounds; somebody else may be changing it`,
  };
}

function isLesson(step: LaneFailure["step"]): boolean {
  return step === "load-follower" || step === "feed" || step === "wait-sync";
}

function learn(learned: Learned, failures: readonly LaneFailure[]): Learned {
  const cannotLoad = new Map(learned.cannotLoad);
  const failedOnce = new Set(learned.failedOnce);
  const cannotSync = new Set(learned.cannotSync);
  for (const { step, endpoint, isEmpty } of failures) {
    if (endpoint === undefined) continue;
    if (step === "load-follower") {
      if (isEmpty === true) cannotLoad.set(endpoint, "empty");
      else if (failedOnce.has(endpoint)) cannotLoad.set(endpoint, "failed");
      failedOnce.add(endpoint);
    }
    if (step === "feed" || step === "wait-sync") cannotSync.add(endpoint);
  }
  return { ...learned, cannotLoad, failedOnce, cannotSync };
}

async function observePartitionSafely(
  context: StepContext,
  id: PartitionId,
): Promise<PartitionView | { readonly failure: LaneFailure } | undefined> {
  try {
    return await observePartition(context, id);
  } catch (thrown) {
    context.signal.throwIfAborted();
    return { failure: { endpoint: undefined, step: "plan", detail: messageOf(thrown) } };
  }
}

/**
 * Runs a lane's steps. A stale step ends the round; a failed one ends the steps of its replica, and
 * the round if it was the leader's.
 */
async function runLane(
  context: StepContext,
  lane: Lane,
  options: RoundOptions,
  places: Places,
): Promise<LaneFailure[]> {
  const isFollowerStep = (step: Step) => step.kind === "recover-table" || step.kind === "wait-sync";
  const split = lane.steps.findIndex(isFollowerStep);
  const first = split < 0 ? lane.steps : lane.steps.slice(0, split);
  const failures: LaneFailure[] = [];
  const run = (steps: readonly Step[]) => runSteps(context, lane, steps, { options, failures });
  const isThrough = await places.leaders(() => run(first));
  if (isThrough && split >= 0) await places.followers(() => run(lane.steps.slice(split)));
  return failures;
}

/** @returns Whether the round goes on. */
async function runSteps(
  context: StepContext,
  lane: Lane,
  steps: readonly Step[],
  round: { readonly options: RoundOptions; readonly failures: LaneFailure[] },
): Promise<boolean> {
  for (const group of sideBySide(steps)) {
    const failed = new Set(round.failures.map((one) => one.endpoint));
    const open = group.filter((step) => step.endpoint === undefined || !failed.has(step.endpoint));
    const outcomes = await Promise.all(
      open.map(async (step) => ({
        step,
        outcome: await runAndTell(context, lane, step, round.options.onEvent),
      })),
    );
    for (const { step, outcome } of outcomes) {
      if (outcome.result !== "failed") continue;
      const { detail, isEmpty } = outcome;
      round.failures.push({ endpoint: step.endpoint, step: step.kind, detail, isEmpty });
    }
    const isOver = ({ step, outcome }: { step: Step; outcome: StepOutcome }) =>
      outcome.result === "stale" || (outcome.result === "failed" && isVital(lane, step));
    if (outcomes.some(isOver)) return false;
  }
  return true;
}

/** Whether nothing else of the lane makes sense without this step. */
function isVital(lane: Lane, step: Step): boolean {
  if (step.kind === "load-follower") return false;
  const isOfAll = step.kind === "mark-dead" || step.kind === "set-flags" || step.kind === "demote";
  return isOfAll || step.endpoint === undefined || step.endpoint === lane.leader;
}

/** Loads of different replicas go side by side, everything else one after another. */
function sideBySide(steps: readonly Step[]): Step[][] {
  const groups: Step[][] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    const joins = step.kind === "load-follower" || step.kind === "wait-load";
    if (joins && last?.every((one) => one.kind === step.kind)) last.push(step);
    else groups.push([step]);
  }
  return groups;
}

async function runAndTell(
  context: StepContext,
  lane: Lane,
  step: Step,
  onEvent: OnEvent,
): Promise<StepOutcome> {
  const { clock } = context.cluster;
  context.signal.throwIfAborted();
  const began = clock.now();
  onEvent({ kind: "step-started", id: lane.id, step });
  if (isMutating(step)) await context.engageGuard();
  const outcome = await runStep(context, lane, step);
  onEvent({ kind: "step-ended", id: lane.id, step, outcome, tookMs: clock.now() - began });
  return outcome;
}
