import type { LimitFunction } from "p-limit";
import { messageOf } from "../errors.js";
import type { Endpoint, TermStart } from "../model/cluster-state.js";
import type { LaneFailure, OnEvent, StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import { isMutating, type Lane, type Step } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import { evidenceOf, isForgetting } from "./evidence.js";
import type { Memory } from "./memory.js";
import { type ForeseenRound, isLastRound } from "./plan-foresee.js";
import { type Learned, NOTHING_LEARNED, type Planner } from "./plan-learned.js";
import { observePartition, type StepContext } from "./step-context.js";
import { runStep } from "./steps.js";

/** How often a partition is looked at afresh and planned again before the run leaves it. */
const ROUNDS_MAX = 6;

/**
 * How old the look may be on which a partition is planned right after its replicas were loaded. The
 * tablets' answers that showed them loaded will do, for loading changes nothing else; every step that
 * is planned on it looks again before it acts.
 */
const LOADED_AGE_MS = 200;

const NO_SNAPSHOTS: ReadonlyMap<Endpoint, TermStart> = new Map();

/** What is needed beside the context of the steps. */
export interface RoundOptions {
  readonly planner: Planner;
  readonly onEvent: OnEvent;
  readonly memory: Memory;
}

/**
 * How many partitions may be at work side by side before their first loads, at their leaders, and at
 * their followers. Loads have places of their own, on each tablet: while they run, and while followers
 * are fed, nothing is held.
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
 * takes another way. Where all steps worked, each with its effect seen, and nothing can follow, it is
 * not looked at again: the look at the whole cluster at the end is one more anyway.
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
  first: ForeseenRound,
  options: RoundOptions,
  places: Places,
): Promise<LaneFailure | undefined> {
  let next = await withSnapshots(context, first, options, places);
  let learned = NOTHING_LEARNED;
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    if (next === undefined || "failure" in next) return next?.failure;
    const { lane }: ForeseenRound = next;
    options.onEvent({ kind: "lane", lane, round });
    if (lane.blocked !== undefined) return leave(lane, lane.blocked, options.memory);
    const ran = await runLane(context, lane, options, { places, round });
    await conclude(lane, ran, options);
    const final = ran.failures.find((one) => !isLesson(one.step));
    if (final !== undefined) return final;
    if (isClean(ran) && isLastRound(next, options.planner, learned)) return undefined;
    learned = learn(learned, ran.failures, lane);
    next = await planAgain(context, lane, options, { learned, ...afterRound(lane, ran) });
  }
  return unfinished(next);
}

/** Whether all steps of a round were done, or what they wanted was true already. */
function isClean({ isThrough, failures }: Ran): boolean {
  return isThrough && failures.length === 0;
}

/** What the look after a round goes on with. */
function afterRound(lane: Lane, ran: Ran): Omit<Known, "learned"> {
  return {
    snapshots: isClean(ran) && lane.givesUp ? undefined : ran.snapshots,
    ageMs: isClean(ran) && lane.steps.every(isLoad) ? LOADED_AGE_MS : 0,
  };
}

/** The next round, or why there is none; undefined if the partition is gone. */
type NextRound = ForeseenRound | { readonly failure: LaneFailure } | undefined;

/** Why a partition is left after the last round; undefined if nothing is planned for it any more. */
function unfinished(next: NextRound): LaneFailure | undefined {
  if (next === undefined || "failure" in next) return next?.failure;
  const { steps, blocked } = next.lane;
  if (steps.length === 0 && blocked === undefined) return undefined;
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
  first: ForeseenRound,
  options: RoundOptions,
  places: Places,
): Promise<NextRound> {
  const { lane } = first;
  const isToDecide = lane.blocked !== undefined;
  if (!isToDecide && !lane.steps.some((step) => step.kind === "load-leader")) return first;
  return places.beginning(() =>
    planAgain(context, lane, options, {
      snapshots: NO_SNAPSHOTS,
      learned: NOTHING_LEARNED,
      ageMs: 0,
    }),
  );
}

/** What is known when a partition is looked at again. */
interface Known {
  readonly learned: Learned;
  /**
   * What was on disk before the loads of the last round, by endpoint; undefined if the operator has
   * just decided the partition, so that nothing from before counts.
   */
  readonly snapshots: ReadonlyMap<Endpoint, TermStart> | undefined;
  /** How old the look may be, in milliseconds. */
  readonly ageMs: number;
}

/** The next round of a partition, planned on a fresh look; undefined if the partition is gone. */
async function planAgain(
  context: StepContext,
  lane: Lane,
  { planner, memory }: RoundOptions,
  known: Known,
): Promise<NextRound> {
  const view = await lookAgain(context, lane, known);
  if (view === undefined || "failure" in view) return view;
  // The nameserver forgets within seconds what it saw of a replica before it was loaded.
  if (isForgetting(view)) await memory.remember(lane.id, evidenceOf(view).bounds);
  return { view, lane: planner(view, known.learned) };
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
async function conclude(lane: Lane, ran: Ran, { memory, onEvent }: RoundOptions): Promise<void> {
  if (!ran.isThrough || (lane.givesUp && !isClean(ran))) return;
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

/** The partition now, with all that was known before. */
async function lookAgain(
  context: StepContext,
  { id, evidence }: Lane,
  { snapshots, ageMs }: Known,
): Promise<PartitionView | { readonly failure: LaneFailure } | undefined> {
  try {
    const view = await observePartition(context, id, ageMs);
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

/** What steps have found so far in a round. */
interface Found {
  readonly failures: LaneFailure[];
  /** Snapshots that were on disk before a load, by endpoint. */
  readonly snapshots: Map<Endpoint, TermStart>;
}

/** What came of one round, and whether it came to its end. */
type Ran = Found & { readonly isThrough: boolean };

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
): Promise<Ran> {
  const found: Found = { failures: [], snapshots: new Map() };
  for (const { place, steps } of stretches(lane.steps, round === 1)) {
    const run = () => runSteps(context, lane, steps, { options, found });
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
    if (isLoad(step) && current === "beginning") current = "leaders";
    if (FOLLOWER_STEPS.includes(step.kind)) current = "followers";
    const place = WAITS.includes(step.kind) ? undefined : current;
    const last = made.at(-1);
    if (last !== undefined && last.place === place) last.steps.push(step);
    else made.push({ place, steps: [step] });
  }
  return made;
}

function isLoad({ kind }: Step): boolean {
  return LOADS.includes(kind);
}

/** Each waits for its tablet, which has places of its own. */
const LOADS: readonly Step["kind"][] = ["load-follower", "load-leader", "wait-load"];
/** What mostly waits for tablets: meanwhile no place is held. */
const WAITS: readonly Step["kind"][] = [...LOADS, "feed", "wait-sync"];
/** The leader leads by now: what comes from here on can be slow, and nobody else's leader waits for it. */
const FOLLOWER_STEPS: readonly Step["kind"][] = ["feed", "recover-table", "wait-sync"];
/** Steps of different replicas that go side by side. */
const SIDE_BY_SIDE: readonly Step["kind"][] = ["load-follower", "wait-load", "feed"];

/** @returns Whether the round goes on. */
async function runSteps(
  context: StepContext,
  lane: Lane,
  steps: readonly Step[],
  { options, found }: { readonly options: RoundOptions; readonly found: Found },
): Promise<boolean> {
  for (const group of sideBySide(steps)) {
    const failed = new Set(found.failures.map((one) => one.endpoint));
    const open = group.filter((step) => step.endpoint === undefined || !failed.has(step.endpoint));
    const outcomes = await Promise.all(
      open.map(async (step) => ({
        step,
        outcome: await runAndTell(context, lane, step, options.onEvent),
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

/** Loads and feeds of different replicas go side by side, everything else one after another. */
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
