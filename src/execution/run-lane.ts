import type { LimitFunction } from "p-limit";
import type { Endpoint, TermStart } from "../model/cluster-state.js";
import type { LaneFailure, OnEvent, StepOutcome } from "../model/outcome.js";
import { isMutating, type Lane, type Step } from "../model/plan.js";
import { recoverFollowers } from "../steps/recover-table.js";
import { runStep } from "../steps/run-step.js";
import type { StepContext } from "../steps/step-context.js";

/**
 * How many partitions may be at work side by side before their first loads, at their leaders, and at
 * their followers. Loads have places of their own, on each tablet: while they run, while followers are
 * fed, and while one waits for RecoverEndpoint, nothing is held.
 */
export interface Places {
  readonly beginning: LimitFunction;
  readonly leaders: LimitFunction;
  readonly followers: LimitFunction;
}

/** What steps have found so far in a round. */
interface Found {
  readonly failures: LaneFailure[];
  /** Snapshots that were on disk before a load, by endpoint. */
  readonly snapshots: Map<Endpoint, TermStart>;
}

/** What came of one round, and whether it came to its end. */
export type Ran = Found & { readonly isThrough: boolean };

/** What is needed beside the context of the steps. */
export interface LaneOptions {
  readonly onEvent: OnEvent;
  readonly places: Places;
  /** Whether steps before the first load take places of their own. */
  readonly isFirstRound: boolean;
}

/**
 * Runs a lane's steps. A stale step ends the round; a failed one ends the steps of its replica, and
 * the round if it was the leader's.
 *
 * @returns What failed and was found, and whether the round came to its end.
 */
export async function runLane(
  context: StepContext,
  lane: Lane,
  options: LaneOptions,
): Promise<Ran> {
  const found: Found = { failures: [], snapshots: new Map() };
  for (const { place, steps } of stretches(lane.steps, options.isFirstRound)) {
    const run = () => runSteps(context, lane, steps, { options, found });
    const goesOn = await (place === undefined ? run() : options.places[place](run));
    if (!goesOn) return { ...found, isThrough: false };
  }
  return { ...found, isThrough: true };
}

/** Steps in a row that run in the same place; undefined where they need none. */
interface Stretch {
  readonly place: keyof Places | undefined;
  readonly steps: Step[];
}

/** Cuts a lane's steps where they change places. */
function stretches(steps: readonly Step[], isFirstRound: boolean): Stretch[] {
  const made: Stretch[] = [];
  let current: keyof Places = isFirstRound ? "beginning" : "leaders";
  for (const step of steps) {
    if (isLoad(step) && current === "beginning") current = "leaders";
    if (FOLLOWER_STEPS.includes(step.kind)) current = "followers";
    const place = WAITS.includes(step.kind) ? undefined : current;
    const last = made.at(-1);
    if (last !== undefined && last.place === place) last.steps.push(step);
    else made.push({ place, steps: [step] });
  }
  return made;
}

/** Whether a step loads a replica, or waits for that, and changes nothing else. */
export function isLoad({ kind }: Step): boolean {
  return LOADS.includes(kind);
}

/** Each waits for its tablet, which has places of its own. */
const LOADS: readonly Step["kind"][] = ["load-follower", "load-leader", "wait-load"];
/** What mostly waits: meanwhile no place is held. `recoverFollowers` takes one when it needs it. */
const WAITS: readonly Step["kind"][] = [...LOADS, "feed", "wait-sync", "recover-table"];
/** The leader leads by now: what comes from here on can be slow, and nobody else's leader waits for it. */
const FOLLOWER_STEPS: readonly Step["kind"][] = ["feed", "recover-table", "wait-sync"];
/** Steps of different replicas that go side by side. */
const SIDE_BY_SIDE: readonly Step["kind"][] = [
  "load-follower",
  "wait-load",
  "feed",
  "recover-table",
];

/** @returns Whether the round goes on. */
async function runSteps(
  context: StepContext,
  lane: Lane,
  steps: readonly Step[],
  { options, found }: { readonly options: LaneOptions; readonly found: Found },
): Promise<boolean> {
  for (const group of sideBySide(steps)) {
    const failed = new Set(found.failures.map((one) => one.endpoint));
    const open = group.filter((step) => step.endpoint === undefined || !failed.has(step.endpoint));
    const isRecovery = group[0]?.kind === "recover-table";
    const act = isRecovery
      ? recoverFollowers(context, lane, open, options.places.followers)
      : (step: Step) => runStep(context, lane, step);
    const outcomes = await Promise.all(
      open.map(async (step) => ({
        step,
        outcome: await runAndTell(context, lane, step, { onEvent: options.onEvent, act }),
      })),
    );
    for (const { step, outcome } of outcomes) {
      const { endpoint, kind } = step;
      if (endpoint !== undefined && outcome.snapshot !== undefined) {
        found.snapshots.set(endpoint, outcome.snapshot);
      }
      if (outcome.result !== "failed") continue;
      const { detail, isEmpty } = outcome;
      found.failures.push({ endpoint, step: kind, detail, isEmpty });
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

/** What different replicas can do side by side is in one group, everything else goes one after another. */
function sideBySide(steps: readonly Step[]): Step[][] {
  const groups: Step[][] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (SIDE_BY_SIDE.includes(step.kind) && last?.every((one) => one.kind === step.kind))
      last.push(step);
    else groups.push([step]);
  }
  return groups;
}

async function runAndTell(
  context: StepContext,
  lane: Lane,
  step: Step,
  {
    onEvent,
    act,
  }: { readonly onEvent: OnEvent; readonly act: (step: Step) => Promise<StepOutcome> },
): Promise<StepOutcome> {
  const { clock } = context.cluster;
  context.signal.throwIfAborted();
  const began = clock.now();
  onEvent({ kind: "step-started", id: lane.id, step });
  if (isMutating(step)) await context.engageGuard();
  const outcome = await act(step);
  onEvent({ kind: "step-ended", id: lane.id, step, outcome, tookMs: clock.now() - began });
  return outcome;
}
