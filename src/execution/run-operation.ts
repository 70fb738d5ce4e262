import pLimit from "p-limit";
import type { Cluster } from "../cluster/cluster.js";
import { healthCounts } from "../diagnosis/verdict.js";
import { type ClusterState, isOpActive } from "../model/cluster-state.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import type { StepResult } from "../model/outcome.js";
import type { Phase } from "../model/progress.js";
import type { OperationFigures, OperationReport } from "../model/report.js";
import { observe } from "../observe/cluster.js";
import { identifiedCluster, newIdentities } from "../observe/identified-cluster.js";
import type { Operation, OperationPlan } from "../operations/operation.js";
import { assertSamePlan } from "../planning/check-saved-plan.js";
import { type LaneWork, lanesOf, planOfOperation } from "../planning/operation-lanes.js";
import type { Plan } from "../planning/recovery-plan.js";
import type { Guard } from "../run/guard.js";
import { allOpsEnded } from "../steps/ops-ended.js";
import { inTurns } from "../util/yielding.js";
import { createLeaderCopyExclusion } from "./leader-copy-exclusion.js";
import { rollingBackOnStop, type StoppableOptions } from "./rollback-on-stop.js";
import { runLane } from "./run-lane.js";
import { reportObserved } from "./run-tracker.js";

/** Options of {@link runOperation}. */
export interface RunOperationOptions extends Omit<StoppableOptions, "engageGuard"> {
  /** Creates the guard of auto_failover from the observed value; see `Attempt.createGuard`. */
  readonly createGuard: (observed: boolean) => Promise<Guard>;
  /** The store of the lower bounds of partitions that lack rows; absent: none are used. */
  readonly knownOffsetsStore?: KnownOffsetsStore | undefined;
  /** A saved plan to execute; it is compared with the cluster before the first change. */
  readonly given?: Plan | undefined;
  /**
   * Receives the plan before the first change; an error that it throws ends the run without changes.
   *
   * @returns True if the review took so long that the cluster has to be observed again.
   */
  readonly review: (plan: OperationPlan) => Promise<boolean>;
}

/**
 * Observes, plans, executes and verifies an operation. A lane that fails does not stop another, and auto_failover
 * is restored in any case.
 *
 * @throws OpsError before anything was changed: the cluster cannot be observed, the plan is refused
 *   or stale, or the review ended it.
 */
export async function runOperation(
  unchecked: Cluster,
  operation: Operation,
  requested: RunOperationOptions,
): Promise<OperationReport> {
  const identities = newIdentities();
  const cluster = identifiedCluster(unchecked, identities);
  const rollbackCluster =
    requested.rollbackCluster && identifiedCluster(requested.rollbackCluster, identities);
  const options = { ...requested, rollbackCluster };
  const { given, review, signal } = options;
  const plannedOn = (made: OperationPlan, state: ClusterState) =>
    planOfOperation(made, state, new Date(cluster.clock.wallTime()).toISOString());
  const { onEvent } = options;
  const observeIn = (phase: Phase) => {
    onEvent({ kind: "phase", phase });
    return observe(cluster, { signal, knownOffsetsStore: options.knownOffsetsStore, onEvent });
  };
  let plan: OperationPlan | undefined;
  let state = await observeIn("looking");
  reportObserved(onEvent, "before", state);
  const guard = await options.createGuard(state.autoFailover);
  const stoppable = { ...options, engageGuard: () => guard.engage() };
  const results: StepResult[] = [];
  let error: unknown;
  let hasBegun = false;
  try {
    const active = state.ops.filter(isOpActive).length;
    if (operation.waitsForOps === true && active > 0) {
      const text = `waiting for ${active} running ops of the nameserver`;
      onEvent({ kind: "note", text });
      onEvent({ kind: "phase", phase: "waiting-for-ops" });
      await rollingBackOnStop(cluster, stoppable, allOpsEnded);
      state = await observeIn("looking");
    }
    plan = operation.plan(state);
    if (given !== undefined) assertSamePlan(given, plannedOn(plan, state));
    if (plan.steps.length > 0 && (await review(plan))) {
      const shown = plannedOn(plan, state);
      state = await observeIn("looking");
      plan = operation.plan(state);
      assertSamePlan(shown, plannedOn(plan, state));
    }
    hasBegun = true;
    const lanes = lanesOf(plan.steps, state);
    if (plan.steps.length > 0) onEvent({ kind: "list", steps: plan.steps });
    if (plan.steps.length > 0) await runLanes(cluster, operation, lanes, stoppable, results);
  } catch (thrown) {
    error = thrown;
  }
  const notRestored = await guard.restore();
  if (plan === undefined || !hasBegun) {
    if (notRestored !== undefined) {
      const text = `auto_failover could not be restored (${notRestored}); the next command will do it`;
      onEvent({ kind: "warning", text });
    }
    throw error;
  }
  let verified = UNVERIFIED;
  try {
    if (error === undefined) {
      const hasSteps = plan.steps.length > 0;
      const after = hasSteps ? await observeIn("verifying") : state;
      reportObserved(onEvent, "after", after);
      verified = {
        figures: await figuresBetween({ ...state, autoFailover: guard.before }, after),
        complaints: hasSteps ? operation.verify(after, results) : [],
        conclusions: operation.conclude?.(after, results) ?? [],
      };
    }
  } catch (thrown) {
    error = thrown;
  }
  const hasChanged = results.some(isChange);
  return { plan, results, notRestored, hasChanged, ...verified, calls: cluster.callCount(), error };
}

/** The parts of the report that need the last observation, if an error ended the run before it. */
const UNVERIFIED: Pick<OperationReport, "figures" | "complaints" | "conclusions"> = {
  figures: undefined,
  complaints: [],
  conclusions: [],
};

async function figuresBetween(
  before: ClusterState,
  after: ClusterState,
): Promise<OperationFigures> {
  const now = await inTurns(healthCounts(after));
  const { unhealthy: unhealthyBefore } =
    after === before ? now : await inTurns(healthCounts(before));
  const { unhealthy, ...counts } = now;
  return {
    ...counts,
    leader: after.topology.leader,
    autoFailover: { before: before.autoFailover, after: after.autoFailover },
    recovered: [...unhealthyBefore].filter((key) => !unhealthy.has(key)).length,
    unhealthy: unhealthy.size,
  };
}

function isChange({ outcome }: StepResult): boolean {
  // A failed call may have had its effect.
  return outcome.result === "done" || outcome.result === "failed";
}

/** @param results Filled as steps end. */
async function runLanes(
  cluster: Cluster,
  operation: Operation,
  lanes: readonly LaneWork[],
  options: StoppableOptions,
  results: StepResult[],
): Promise<void> {
  const limit = pLimit(operation.concurrency);
  // The nameserver takes SetTablePartition only while auto_failover is off (code 301).
  const needsOff =
    operation.needsOff ||
    lanes.some(({ steps }) => steps.some((one) => one.kind === "remove-from-record"));
  const exclusion = createLeaderCopyExclusion();
  const { onEvent } = options;
  await rollingBackOnStop(cluster, options, (context) =>
    allEnded(
      lanes.map((work) =>
        limit(async () => {
          const lane = exclusion.forLane();
          const { before } = operation;
          const of = { mode: "list" as const, onEvent, exclusion: lane, needsOff, before, results };
          const { isComplete } = await runLane(context, work, of);
          if (isComplete) await operation.afterLane?.(work.steps);
        }),
      ),
    ),
  );
}

/** Waits for all, even if one throws: no lane may be running when auto_failover is restored. */
async function allEnded(work: readonly Promise<void>[]): Promise<void> {
  const ended = await Promise.allSettled(work);
  const bad = ended.find((one) => one.status === "rejected");
  if (bad !== undefined) throw bad.reason;
}
