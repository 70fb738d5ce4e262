import { messageOf, OpsError } from "../errors.js";
import { mayBeGivenUp } from "../model/absence.js";
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
import { evidenceOf, isAnyAliveUnread, isLosingEvidence, withBounds } from "../policy/evidence.js";
import { rowOf } from "../steps/run-step.js";
import type { StepContext } from "../steps/step-context.js";
import { observePartition } from "../steps/step-preconditions.js";
import type { KnownOffsets } from "./known-offsets.js";
import { type LaneRun, type PartitionLimits, runLane } from "./run-lane.js";

/** Limit of rounds (observe, plan, run) for one partition in a pass. */
const ROUNDS_MAX = 6;

/**
 * Accepted age in milliseconds of the nameserver's record when a partition is planned right after its replicas
 * were loaded. Loading does not change the record, and each step checks its preconditions again. The tablets'
 * reports are always read again: a tablet reports a replica as normal just before it sets the offset (OpenMLDB 0.9
 * tablet: LoadTableInternal).
 */
const LOADED_RECORD_AGE_MS = 1_000;

/** The reported reason for storing lower bounds of a partition with missing rows. */
const ROWS_MISSING = "rows that were seen before are missing; what is known of them";

const NO_SNAPSHOTS: ReadonlyMap<Endpoint, TermStart> = new Map();

/** The pause in milliseconds after the first transient failure. */
const PAUSE_MS = 100;

/** The parts of a round other than the context of the steps. */
export interface RoundOptions {
  readonly planner: Planner;
  readonly onEvent: OnEvent;
  readonly knownOffsets: KnownOffsets;
}

/**
 * Recovers one partition in rounds: plans, runs the steps in order, observes again. It ends when no step is
 * planned, when a step fails for good, or after {@link ROUNDS_MAX} rounds. After a transient failure of any step
 * the partition is observed again after a pause. A failed load or replication goes into the attempt history, and
 * the planner chooses another method. If all steps of the last predicted round succeeded, the partition is not
 * observed again: the observation of the whole cluster at the end verifies it.
 *
 * The first plan is made without the snapshots of replicas that are not loaded. They do not matter for loading a
 * follower. If the plan loads a leader, or is blocked, it is made again with the snapshots.
 *
 * @returns The failure; undefined if the partition is recovered. A failed load or replication does not count if
 *   another method succeeded.
 */
export async function recoverPartition(
  context: StepContext,
  first: PredictedRound,
  options: RoundOptions,
  limits: PartitionLimits,
): Promise<LaneFailure | undefined> {
  let next = await withSnapshots(context, first, options, limits);
  let attempts = NO_ATTEMPTS;
  let transient: LaneFailure | undefined;
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    if (next === undefined || "failure" in next) return next?.failure;
    const { lane }: PredictedRound = next;
    options.onEvent({ kind: "lane", lane, round });
    if (lane.blocked !== undefined) return leaveAlone(next, lane.blocked, options.knownOffsets);
    await rememberBefore(lane, options.knownOffsets);
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
    transient = failures.find((one) => one.isTransient === true);
    const isStale = ran.results.some(({ outcome }) => outcome.result === "stale");
    if (transient !== undefined || isStale) await pause(context, round);
    next = await planAgain(context, lane, options, { attempts, ...afterRound(lane, ran) });
  }
  return unfinished(next, transient);
}

/** Waits after a transient failure: twice as long each time, 6.3 s in all rounds together. */
function pause({ cluster, signal }: StepContext, time: number): Promise<void> {
  return cluster.clock.sleep(PAUSE_MS * 2 ** (time - 1), signal);
}

/** True if all steps of a round succeeded. */
function isClean(ran: LaneRun): boolean {
  return ran.isComplete && failuresOf(ran.results).length === 0;
}

/** True if a round only loaded replicas: the next round depends on the offsets they report and cannot be predicted. */
function hasOnlyLoaded({ steps }: Lane): boolean {
  return steps.every((step) => rowOf(step).limit === "loads");
}

/** The facts of a round that the next observation starts from. */
function afterRound(lane: Lane, ran: LaneRun): Omit<Known, "attempts"> {
  return {
    snapshots: isClean(ran) && lane.givesUp ? undefined : snapshotsOf(ran.results),
    recordAgeMs: isClean(ran) && hasOnlyLoaded(lane) ? LOADED_RECORD_AGE_MS : 0,
  };
}

/** The next round, or why there is none; undefined if the partition no longer exists. */
type NextRound = PredictedRound | { readonly failure: LaneFailure } | undefined;

/**
 * Why a partition is unfinished after the last round; undefined if no step is left.
 *
 * @param transient The transient failure of the last round.
 */
function unfinished(next: NextRound, transient: LaneFailure | undefined): LaneFailure | undefined {
  if (next === undefined || "failure" in next) return next?.failure;
  const { steps, blocked } = next.lane;
  if (steps.length === 0 && blocked === undefined) return undefined;
  if (transient !== undefined) return transient;
  return {
    endpoint: undefined,
    step: "plan",
    detail: `still not healthy after ${ROUNDS_MAX} rounds; another client may be changing it`,
  };
}

/**
 * The first plan. It is made again with the snapshots of replicas that are not loaded if it loads a leader or is
 * blocked. Undefined if the partition no longer exists.
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

/** What is known when a partition is observed again. */
interface Known {
  readonly attempts: AttemptHistory;
  /**
   * Snapshots that were on disk before the loads of the last round, by endpoint. Undefined if the operator's
   * decision was just executed, so that earlier facts no longer apply.
   */
  readonly snapshots: ReadonlyMap<Endpoint, TermStart> | undefined;
  /** How old the nameserver's record may be, in milliseconds. */
  readonly recordAgeMs: number;
}

/** The next round of a partition, planned on a new observation; undefined if the partition no longer exists. */
async function planAgain(
  context: StepContext,
  lane: Lane,
  { planner, knownOffsets }: RoundOptions,
  known: Known,
): Promise<NextRound> {
  const view = await lookAgain(context, lane, { ...known, kept: knownOffsets.of(lane.id) });
  if (view === undefined || "failure" in view) return view;
  // Within seconds the nameserver replaces its offset of a loaded replica, so the evidence is stored now.
  if (isLosingEvidence(view)) {
    await knownOffsets.remember(lane.id, evidenceOf(view).bounds, ROWS_MISSING);
  }
  return { view, lane: planner(view, known.attempts) };
}

/** Stores the bounds that later runs need if this run ends during the steps of the round. */
async function rememberBefore(
  { id, steps, givesUp, evidence: { bounds } }: Lane,
  knownOffsets: KnownOffsets,
): Promise<void> {
  if (bounds.parted !== undefined) knownOffsets.carry(id, bounds);
  const { unproven } = bounds;
  if (unproven !== undefined && steps.length > 0) {
    const why = `the logs of ${[...unproven].join(", ")} are not proven to belong to the leader's history, so they get copies of the leader's data; this`;
    return knownOffsets.remember(id, bounds, why);
  }
  if (givesUp && bounds.parted !== undefined) await knownOffsets.remember(id, bounds, undefined);
  const keepsFlag = steps.flatMap((one) => (one.kind === "set-flags" && one.keepsFlag) || []);
  if (keepsFlag.length === 0) return;
  const why = `${keepsFlag.join(", ")} led before and may hold entries of the newest term; what is known of the logs`;
  await knownOffsets.remember(id, bounds, why);
}

/**
 * Leaves a partition as it is. The evidence that blocks it is stored for later runs: missing rows, or, if no replica
 * leads, the alive flag of an unreachable replica.
 */
async function leaveAlone(
  { lane, view }: PredictedRound,
  blocked: Problem,
  knownOffsets: KnownOffsets,
): Promise<LaneFailure> {
  const { endpoint, text: detail, candidate, code } = blocked;
  const { bounds } = lane.evidence;
  if (code === "ahead" || code === "rows-missing") {
    await knownOffsets.remember(lane.id, bounds, ROWS_MISSING);
  } else if (isAnyAliveUnread(view)) {
    // A tablet that may be restarting, or serving clients, is observed again in this run, so nothing is stored yet.
    const mayPass = view.replicas.some(({ absence }) => !mayBeGivenUp(absence));
    if (mayPass) knownOffsets.carry(lane.id, bounds);
    else await knownOffsets.remember(lane.id, bounds, undefined);
  }
  if (candidate === undefined) return { endpoint, step: "plan", detail };
  return { endpoint, step: "plan", detail, decision: blocked, evidence: lane.evidence };
}

/** Reports the notes of a lane that ended, and discards lower bounds that it has made void. */
async function conclude(
  lane: Lane,
  ran: LaneRun,
  { knownOffsets, onEvent }: RoundOptions,
): Promise<void> {
  await knownOffsets.proven(lane.id, copiedBy(ran));
  if (!ran.isComplete || (lane.givesUp && !isClean(ran))) return;
  if (lane.notes.length > 0) onEvent({ kind: "partition-note", id: lane.id, notes: lane.notes });
  if (lane.givesUp) await knownOffsets.forget(lane.id);
}

/** The replicas that have become copies of the leader in a round. */
function copiedBy({ results }: LaneRun): Endpoint[] {
  return results.flatMap(({ step, outcome }) =>
    step.kind === "recover-table" && step.isCopy === true && outcome.result === "done"
      ? [step.endpoint]
      : [],
  );
}

/** Observes the partition; retries after transient errors, at most {@link ROUNDS_MAX} times. */
async function observeWithRetries(
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

/** Observes the partition and adds the facts known before; undefined if it no longer exists. */
async function lookAgain(
  context: StepContext,
  lane: Lane,
  { snapshots, recordAgeMs, kept }: Known & { readonly kept: LowerBounds | undefined },
): Promise<PartitionView | { readonly failure: LaneFailure } | undefined> {
  try {
    const view = await observeWithRetries(context, lane.id, recordAgeMs);
    if (view === undefined || snapshots === undefined) {
      return view && withBounds(view, (kept?.unproven ?? kept?.parted) && kept);
    }
    const { bounds, replicas } = lane.evidence;
    const evidence = {
      bounds: { ...bounds, unproven: kept?.unproven, parted: kept?.parted },
      replicas,
    };
    return withEarlier(view, { evidence }, snapshots);
  } catch (thrown) {
    context.signal.throwIfAborted();
    const isTransient = thrown instanceof OpsError && thrown.retryable;
    const detail = messageOf(thrown);
    return { failure: { endpoint: undefined, step: "plan", detail, isTransient } };
  }
}
