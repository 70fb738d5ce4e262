import type { Endpoint, TermStart } from "../model/cluster-state.js";
import type { LaneFailure, StepResult } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { CannotLoad } from "../policy/what-it-holds.js";

/**
 * Failed attempts of a run on one partition. It is kept across the rounds of the run, not across runs.
 */
export interface AttemptHistory {
  readonly cannotLoad: CannotLoad;
  /**
   * Replicas whose load failed once for a reason that may be transient: the load is tried a second time.
   */
  readonly failedOnce: ReadonlySet<Endpoint>;
  /**
   * Followers that the leader replicated to and that did not catch up: its binlog lacks the entries
   * they need.
   */
  readonly cannotSync: ReadonlySet<Endpoint>;
  /** Healthy replicas that were recovered because the operator requested it. */
  readonly forced: ReadonlySet<Endpoint>;
}

/** Plans the next round of a partition's recovery. */
export type Planner = (view: PartitionView, attempts: AttemptHistory) => Lane;

/** The history before the first attempt. */
export const NO_ATTEMPTS: AttemptHistory = {
  cannotLoad: new Map(),
  failedOnce: new Set(),
  cannotSync: new Set(),
  forced: new Set(),
};

/** The failures among step results; stale steps are no failures. */
export function failuresOf(results: readonly StepResult[]): LaneFailure[] {
  return results.flatMap(({ step: { endpoint, kind }, outcome }) => {
    if (outcome.result !== "failed") return [];
    const { detail, isEmpty, isFinal, isTransient } = outcome;
    return [{ endpoint, step: kind, detail, isEmpty, isFinal, isTransient }];
  });
}

/** True if the planner chooses another method after this failure, so that it does not end the lane. */
export function hasFallback({ step }: Pick<LaneFailure, "step">): boolean {
  return step === "load-follower" || step === "replicate" || step === "wait-sync";
}

/**
 * Adds the results of a round to the history.
 *
 * @param failures The lasting ones.
 */
export function learn(
  attempts: AttemptHistory,
  failures: readonly LaneFailure[],
  lane: Lane,
): AttemptHistory {
  const cannotLoad = new Map(attempts.cannotLoad);
  const failedOnce = new Set(attempts.failedOnce);
  const cannotSync = new Set(attempts.cannotSync);
  for (const { step, endpoint, isEmpty, isFinal } of failures) {
    if (endpoint === undefined) continue;
    if (step === "load-follower") {
      if (isEmpty === true) cannotLoad.set(endpoint, "empty");
      else if (isFinal === true || failedOnce.has(endpoint)) cannotLoad.set(endpoint, "failed");
      failedOnce.add(endpoint);
    }
    if (step === "replicate" || step === "wait-sync") cannotSync.add(endpoint);
  }
  const tried = lane.steps.flatMap((step) =>
    step.kind === "recover-table" && step.isWanted === true ? [step.endpoint] : [],
  );
  const forced = new Set([...attempts.forced, ...tried]);
  return { ...attempts, cannotLoad, failedOnce, cannotSync, forced };
}

/** The snapshots that were on disk before a load, by endpoint. */
export function snapshotsOf(results: readonly StepResult[]): Map<Endpoint, TermStart> {
  const snapshots = new Map<Endpoint, TermStart>();
  for (const { step, outcome } of results) {
    const snapshot = "snapshot" in outcome ? outcome.snapshot : undefined;
    if (step.endpoint !== undefined && snapshot !== undefined) {
      snapshots.set(step.endpoint, snapshot);
    }
  }
  return snapshots;
}

/** A view taken after a round, with the evidence from before the round. */
export function withEarlier(
  view: PartitionView,
  { evidence }: Pick<Lane, "evidence">,
  snapshots: ReadonlyMap<Endpoint, TermStart>,
): PartitionView {
  const replicas = view.replicas.map((one) => ({
    ...one,
    snapshot: one.snapshot ?? snapshots.get(one.endpoint),
  }));
  return { ...view, replicas, known: evidence };
}
