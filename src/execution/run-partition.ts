import { messageOf, OpsError } from "../errors.js";
import type { Endpoint, LowerBounds, PartitionId, TermStart } from "../model/cluster-state.js";
import type { LaneFailure, OnEvent } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import {
  type AttemptHistory,
  failuresOf,
  hasFallback,
  learn,
  NO_ATTEMPTS,
  type Planner,
  snapshotsOf,
  withEarlier,
} from "../planning/attempt-history.js";
import { isLastRound, type PredictedRound } from "../planning/predict-rounds.js";
import { evidenceOf, isLosingEvidence, withBounds } from "../policy/what-it-holds.js";
import { rowOf } from "../steps/run-step.js";
import { observePartition, type StepContext } from "../steps/step-context.js";
import type { KnownOffsets } from "./known-offsets.js";
import { type PartitionLimits, type Ran, runLane } from "./run-lane.js";

/** How often a partition is looked at afresh and planned again before the run leaves it. */
const ROUNDS_MAX = 6;

/**
 * How old the nameserver's record may be by which a partition is planned right after its replicas were
 * loaded: loading does not change it, and every step that is planned looks again before it acts. What the
 * tablets have loaded is asked for once more: a tablet says that a replica is normal an instant before
 * it sets its offset (OpenMLDB 0.9 tablet: LoadTableInternal).
 */
const LOADED_RECORD_AGE_MS = 1_000;

const NO_SNAPSHOTS: ReadonlyMap<Endpoint, TermStart> = new Map();

/** The first pause before what may pass is looked at again. */
const PAUSE_MS = 100;

/** What is needed beside the context of the steps. */
export interface RoundOptions {
  readonly planner: Planner;
  readonly onEvent: OnEvent;
  readonly knownOffsets: KnownOffsets;
}

/**
 * Brings one partition back in rounds: plan what its problems ask for, do the steps in order, look
 * again. It is through when nothing is left to plan, when a step fails for good, or after
 * {@link ROUNDS_MAX} rounds. What may pass, whatever the step, is never for good: it is looked at again
 * after a pause. A failed load or replication is not either: the planner learns of it and
 * takes another way. Where all steps worked, each with its effect seen, and nothing can follow, it is
 * not looked at again: the look at the whole cluster at the end is one more anyway.
 *
 * The first plan does not know the snapshots of replicas that are not loaded. A follower is loaded
 * whatever they say; where the leader is loaded as such, or nothing may be done, they count, and it is
 * planned once more.
 *
 * @returns What could not be done; undefined if nothing is left. Where a replica could not be
 *   loaded or replicated to and another way worked, nothing is left.
 */
export async function recoverPartition(
  context: StepContext,
  first: PredictedRound,
  options: RoundOptions,
  limits: PartitionLimits,
): Promise<LaneFailure | undefined> {
  let next = await withSnapshots(context, first, options, limits);
  let attempts = NO_ATTEMPTS;
  let passing: LaneFailure | undefined;
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    if (next === undefined || "failure" in next) return next?.failure;
    const { lane }: PredictedRound = next;
    options.onEvent({ kind: "lane", lane, round });
    if (lane.blocked !== undefined) return leave(lane, lane.blocked, options.knownOffsets);
    const { knownOffsets } = options;
    if (lane.evidence.bounds.unproven !== undefined && lane.steps.length > 0) {
      await knownOffsets.remember(lane.id, lane.evidence.bounds);
    }
    const isFirstRound = round === 1;
    const { onEvent } = options;
    const of = { mode: "round" as const, onEvent, limits, isFirstRound };
    const ran = await runLane(context, { lane, steps: lane.steps }, of);
    await conclude(lane, ran, options);
    const failures = failuresOf(ran.results);
    const lasting = failures.filter((one) => one.isTransient !== true);
    const final = lasting.find((one) => !hasFallback(one));
    if (final !== undefined) return final;
    const hasShown = hasOnlyLoaded(lane);
    if (isClean(ran) && !hasShown && isLastRound(next, options.planner, attempts)) return undefined;
    attempts = learn(attempts, lasting, lane);
    passing = failures.find((one) => one.isTransient === true);
    const isStale = ran.results.some(({ outcome }) => outcome.result === "stale");
    if (passing !== undefined || isStale) await pause(context, round);
    next = await planAgain(context, lane, options, { attempts, ...afterRound(lane, ran) });
  }
  return unfinished(next, passing);
}

/** Waits before what may pass is looked at again: longer each time, some seconds in all rounds together. */
function pause({ cluster, signal }: StepContext, time: number): Promise<void> {
  return cluster.clock.sleep(PAUSE_MS * 2 ** (time - 1), signal);
}

/** Whether all steps of a round were done, or what they wanted was true already. */
function isClean(ran: Ran): boolean {
  return ran.isThrough && failuresOf(ran.results).length === 0;
}

/** Whether a round only showed what replicas hold: what follows is planned on that, and not predicted. */
function hasOnlyLoaded({ steps }: Lane): boolean {
  return steps.every((step) => rowOf(step).limit === "loads");
}

/** What the look after a round goes on with. */
function afterRound(lane: Lane, ran: Ran): Omit<Known, "attempts"> {
  return {
    snapshots: isClean(ran) && lane.givesUp ? undefined : snapshotsOf(ran.results),
    recordAgeMs: isClean(ran) && hasOnlyLoaded(lane) ? LOADED_RECORD_AGE_MS : 0,
  };
}

/** The next round, or why there is none; undefined if the partition is gone. */
type NextRound = PredictedRound | { readonly failure: LaneFailure } | undefined;

/**
 * Why a partition is left after the last round; undefined if nothing is planned for it any more.
 *
 * @param passing What went wrong in the last round and may pass.
 */
function unfinished(next: NextRound, passing: LaneFailure | undefined): LaneFailure | undefined {
  if (next === undefined || "failure" in next) return next?.failure;
  const { steps, blocked } = next.lane;
  if (steps.length === 0 && blocked === undefined) return undefined;
  if (passing !== undefined) return passing;
  return {
    endpoint: undefined,
    step: "plan",
    detail: `still not healthy after ${ROUNDS_MAX} rounds; another client may be changing it`,
  };
}

/**
 * The first plan, made once more on the snapshots of replicas that are not loaded where the leader is
 * to be loaded as such, or the operator has to decide; undefined if the partition is gone.
 */
async function withSnapshots(
  context: StepContext,
  first: PredictedRound,
  options: RoundOptions,
  limits: PartitionLimits,
): Promise<NextRound> {
  const { lane } = first;
  const isToDecide = lane.blocked !== undefined;
  if (!isToDecide && !lane.steps.some((step) => step.kind === "load-leader")) return first;
  return limits.beginning(() =>
    planAgain(context, lane, options, {
      snapshots: NO_SNAPSHOTS,
      attempts: NO_ATTEMPTS,
      recordAgeMs: 0,
    }),
  );
}

/** What is known when a partition is looked at again. */
interface Known {
  readonly attempts: AttemptHistory;
  /**
   * What was on disk before the loads of the last round, by endpoint; undefined if the operator has
   * just decided the partition, so that nothing from before counts.
   */
  readonly snapshots: ReadonlyMap<Endpoint, TermStart> | undefined;
  /** How old the nameserver's record may be, in milliseconds. */
  readonly recordAgeMs: number;
}

/** The next round of a partition, planned on a fresh look; undefined if the partition is gone. */
async function planAgain(
  context: StepContext,
  lane: Lane,
  { planner, knownOffsets }: RoundOptions,
  known: Known,
): Promise<NextRound> {
  const view = await lookAgain(context, lane, { ...known, kept: knownOffsets.of(lane.id) });
  if (view === undefined || "failure" in view) return view;
  // The nameserver forgets within seconds what it saw of a replica before it was loaded.
  if (isLosingEvidence(view)) await knownOffsets.remember(lane.id, evidenceOf(view).bounds);
  return { view, lane: planner(view, known.attempts) };
}

/** Leaves a partition as it is. What speaks against the obvious choice is kept for later runs. */
async function leave(
  lane: Lane,
  blocked: Problem,
  knownOffsets: KnownOffsets,
): Promise<LaneFailure> {
  const { endpoint, text: detail, candidate, code } = blocked;
  if (code === "ahead" || code === "rows-missing") {
    await knownOffsets.remember(lane.id, lane.evidence.bounds);
  }
  if (candidate === undefined) return { endpoint, step: "plan", detail };
  return { endpoint, step: "plan", detail, decision: blocked, evidence: lane.evidence };
}

/** Tells what a lane that is through has saved or given up. */
async function conclude(
  lane: Lane,
  ran: Ran,
  { knownOffsets, onEvent }: RoundOptions,
): Promise<void> {
  await knownOffsets.proven(lane.id, copiedBy(ran));
  if (!ran.isThrough || (lane.givesUp && !isClean(ran))) return;
  if (lane.notes.length > 0) onEvent({ kind: "partition-note", id: lane.id, notes: lane.notes });
  if (lane.givesUp) await knownOffsets.forget(lane.id);
}

/** The replicas that have become copies of the leader in a round. */
function copiedBy({ results }: Ran): Endpoint[] {
  return results.flatMap(({ step, outcome }) =>
    step.kind === "recover-table" && step.isCopy === true && outcome.result === "done"
      ? [step.endpoint]
      : [],
  );
}

/** The partition now; what keeps it from being observed and may pass is waited for. */
async function observeAtLast(
  context: StepContext,
  id: PartitionId,
  recordAgeMs: number,
): Promise<PartitionView | undefined> {
  for (let time = 1; ; time += 1) {
    try {
      return await observePartition(context, id, recordAgeMs);
    } catch (thrown) {
      context.signal.throwIfAborted();
      const isTransient = thrown instanceof OpsError && thrown.retryable;
      if (!isTransient || time >= ROUNDS_MAX) throw thrown;
      await pause(context, time);
    }
  }
}

/** The partition now, with all that was known before. */
async function lookAgain(
  context: StepContext,
  lane: Lane,
  { snapshots, recordAgeMs, kept }: Known & { readonly kept: LowerBounds | undefined },
): Promise<PartitionView | { readonly failure: LaneFailure } | undefined> {
  try {
    const view = await observeAtLast(context, lane.id, recordAgeMs);
    if (view === undefined || snapshots === undefined) {
      return view && withBounds(view, kept?.unproven && kept);
    }
    const { bounds, replicas } = lane.evidence;
    const evidence = { bounds: { ...bounds, unproven: kept?.unproven }, replicas };
    return withEarlier(view, { evidence }, snapshots);
  } catch (thrown) {
    context.signal.throwIfAborted();
    const isTransient = thrown instanceof OpsError && thrown.retryable;
    const detail = messageOf(thrown);
    return { failure: { endpoint: undefined, step: "plan", detail, isTransient } };
  }
}
