import type { LimitFunction } from "p-limit";
import { messageOf } from "../errors.js";
import type { Endpoint, TermStart } from "../model/cluster-state.js";
import type { LaneFailure, OnEvent, StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import { isMutating, type Lane, type Step } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import { evidenceOf, isForgetting } from "./evidence.js";
import type { Memory } from "./memory.js";
import { type Learned, NOTHING_LEARNED, type Planner } from "./plan-learned.js";
import { recoverFollowers } from "./recover-follower.js";
import { observePartition, type StepContext } from "./step-context.js";
import { runStep } from "./steps.js";

/** How often a partition is looked at afresh and planned again before the run leaves it. */
const ROUNDS_MAX = 6;

const NO_SNAPSHOTS: ReadonlyMap<Endpoint, TermStart> = new Map();

/** What is needed beside the context of the steps. */
export interface RoundOptions {
  readonly planner: Planner;
  readonly onEvent: OnEvent;
  readonly memory: Memory;
}

/**
 * How many partitions may be at work side by side before their first loads, at their leaders, and at
 * their followers. Loads have places of their own, on each tablet: while they run, nothing is held. A
 * follower that is recovered through the nameserver holds its place only while it is recovered by itself.
 */
export interface Places {
  readonly beginning: LimitFunction;
  readonly leaders: LimitFunction;
  readonly followers: LimitFunction;
}

/**
 * Brings one partition back in rounds: plan what its problems ask for, do the steps in order, look
 * again. It is through when nothing is left to plan, when a step fails for good, or after
 * {@link ROUNDS_MAX} rounds. A failed load or feed is not for good: the planner learns of it and
 * takes another way.
 *
 * The first plan does not know the snapshots of replicas that are not loaded. A follower is loaded
 * whatever they say; where the leader is loaded as such, or nothing may be done, they count, and it is
 * planned once more.
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
  const begun = await withSnapshots(context, first, options, places);
  if (begun === undefined || "failure" in begun) return begun?.failure;
  let { lane } = begun;
  let learned = NOTHING_LEARNED;
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    options.onEvent({ kind: "lane", lane, round });
    if (lane.blocked !== undefined) return leave(lane, lane.blocked, options.memory);
    const { failures, snapshots, isThrough } = await runLane(context, lane, options, {
      places,
      round,
    });
    const isDone = isThrough && (failures.length === 0 || !lane.givesUp);
    if (isDone) await conclude(lane, options);
    if (lane.steps.length === 0) return undefined;
    const final = failures.find((one) => !isLesson(one.step));
    if (final !== undefined) return final;
    learned = learn(learned, failures, lane);
    const next = await planAgain(context, lane, options, {
      snapshots: isDone && lane.givesUp ? undefined : snapshots,
      learned,
    });
    if (next === undefined || "failure" in next) return next?.failure;
    lane = next.lane;
  }
  return unfinished(lane);
}

/** Why a partition is left after the last round; undefined if nothing is planned for it any more. */
function unfinished(lane: Lane): LaneFailure | undefined {
  if (lane.steps.length === 0 && lane.blocked === undefined) return undefined;
  return {
    endpoint: undefined,
    step: "plan",
    detail: `still not healthy after ${ROUNDS_MAX} rounds; somebody else may be changing it`,
  };
}

/**
 * The first plan, made once more on the snapshots of replicas that are not loaded where the leader is
 * to be loaded as such, or somebody has to decide; undefined if the partition is gone.
 */
async function withSnapshots(
  context: StepContext,
  lane: Lane,
  options: RoundOptions,
  places: Places,
): Promise<{ readonly lane: Lane } | { readonly failure: LaneFailure } | undefined> {
  const isToDecide = lane.blocked !== undefined;
  if (!isToDecide && !lane.steps.some((step) => step.kind === "load-leader")) return { lane };
  return places.beginning(() =>
    planAgain(context, lane, options, { snapshots: NO_SNAPSHOTS, learned: NOTHING_LEARNED }),
  );
}

/** The next round of a partition, planned on a fresh look; undefined if the partition is gone. */
async function planAgain(
  context: StepContext,
  lane: Lane,
  { planner, memory }: RoundOptions,
  known: {
    readonly snapshots: ReadonlyMap<Endpoint, TermStart> | undefined;
    readonly learned: Learned;
  },
): Promise<{ readonly lane: Lane } | { readonly failure: LaneFailure } | undefined> {
  const view = await lookAgain(context, lane, known.snapshots);
  if (view === undefined || "failure" in view) return view;
  // The nameserver forgets within seconds what it saw of a replica before it was loaded.
  if (isForgetting(view)) await memory.remember(lane.id, evidenceOf(view).bounds);
  return { lane: planner(view, known.learned) };
}

/** Leaves a partition as it is. What speaks against the obvious choice is kept for later runs. */
async function leave(lane: Lane, blocked: Problem, memory: Memory): Promise<LaneFailure> {
  const { endpoint, text: detail, candidate, code } = blocked;
  if (code === "ahead" || code === "rows-missing") {
    await memory.remember(lane.id, lane.evidence.bounds);
  }
  if (candidate === undefined) return { endpoint, step: "plan", detail };
  return { endpoint, step: "plan", detail, decision: blocked, evidence: lane.evidence };
}

/** Tells what a lane that is through has saved or given up. */
async function conclude(lane: Lane, { memory, onEvent }: RoundOptions): Promise<void> {
  if (lane.notes.length > 0) onEvent({ kind: "partition-note", id: lane.id, notes: lane.notes });
  if (lane.givesUp) await memory.forget(lane.id);
}

function isLesson(step: LaneFailure["step"]): boolean {
  return step === "load-follower" || step === "feed" || step === "wait-sync";
}

function learn(learned: Learned, failures: readonly LaneFailure[], lane: Lane): Learned {
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
  const tried = lane.steps.flatMap((step) => (step.why === "forced" ? [step.endpoint ?? ""] : []));
  const forced = new Set([...learned.forced, ...tried]);
  return { ...learned, cannotLoad, failedOnce, cannotSync, forced };
}

/**
 * The partition now, with all that was known before.
 *
 * @param snapshots What was on disk before the loads of this round; undefined if the operator has
 *   just decided the partition, so that nothing from before counts.
 */
async function lookAgain(
  context: StepContext,
  { id, evidence }: Lane,
  snapshots: ReadonlyMap<Endpoint, TermStart> | undefined,
): Promise<PartitionView | { readonly failure: LaneFailure } | undefined> {
  try {
    const view = await observePartition(context, id);
    if (view === undefined || snapshots === undefined) return view && { ...view, known: undefined };
    const replicas = view.replicas.map((one) => ({
      ...one,
      snapshot: one.snapshot ?? snapshots.get(one.endpoint),
    }));
    return { ...view, replicas, known: evidence };
  } catch (thrown) {
    context.signal.throwIfAborted();
    return { failure: { endpoint: undefined, step: "plan", detail: messageOf(thrown) } };
  }
}

/** What came of one round. */
interface Round {
  readonly failures: LaneFailure[];
  /** Snapshots that were on disk before a load, by endpoint. */
  readonly snapshots: Map<Endpoint, TermStart>;
}

/**
 * Runs a lane's steps. A stale step ends the round; a failed one ends the steps of its replica, and
 * the round if it was the leader's.
 *
 * @returns What failed and was found, and whether the round came to its end.
 */
async function runLane(
  context: StepContext,
  lane: Lane,
  options: RoundOptions,
  { places, round }: { readonly places: Places; readonly round: number },
): Promise<Round & { readonly isThrough: boolean }> {
  const found: Round = { failures: [], snapshots: new Map() };
  for (const { place, steps } of stretches(lane.steps, round === 1)) {
    const run = () => runSteps(context, lane, steps, { options, found, places });
    const goesOn = await (place === undefined ? run() : places[place](run));
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
    const isLoad = LOADS.includes(step.kind);
    if (isLoad && current === "beginning") current = "leaders";
    if (FOLLOWER_STEPS.includes(step.kind)) current = "followers";
    const place = isLoad || step.kind === "recover-table" ? undefined : current;
    const last = made.at(-1);
    if (last !== undefined && last.place === place) last.steps.push(step);
    else made.push({ place, steps: [step] });
  }
  return made;
}

/** Each waits for its tablet, which has places of its own; see `recoverFollowers` for recover-table. */
const LOADS: readonly Step["kind"][] = ["load-follower", "load-leader", "wait-load"];
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
  {
    options,
    found,
    places,
  }: { readonly options: RoundOptions; readonly found: Round; readonly places: Places },
): Promise<boolean> {
  for (const group of sideBySide(steps)) {
    const failed = new Set(found.failures.map((one) => one.endpoint));
    const open = group.filter((step) => step.endpoint === undefined || !failed.has(step.endpoint));
    const isRecovery = group[0]?.kind === "recover-table";
    const act = isRecovery
      ? recoverFollowers(context, lane, open, places.followers)
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
