import { inspectSpecs } from "./cli/recovery-specs.js";
import { defaultOf } from "./cli/spec.js";
import { inspectOnce } from "./commands/inspect-facts.js";
import { knownOffsetsStore } from "./commands/protect.js";
import { problemsOf, type Selection, selected } from "./diagnosis/selection.js";
import { observeAndPlan } from "./execution/observe-and-plan.js";
import type { Inspection } from "./inspect/inspection.js";
import { type Connection, partsOf } from "./library/connection.js";
import type { PlanOptions } from "./library/recover.js";
import { withSignal } from "./library/signal.js";
import type { ClusterState, Endpoint } from "./model/cluster-state.js";
import { type PartitionView, viewPartitions } from "./model/partition-view.js";
import type { Problem } from "./model/problem.js";
import { observe as observeCluster } from "./observe/cluster.js";
import { identifiedCluster } from "./observe/identified-cluster.js";
import type { RecoveryPlan } from "./planning/recovery-plan.js";

// The entry point of the package. docs/api.md is generated from the docstrings of these exports. Everything
// else may change without notice.
export type { Selection } from "./diagnosis/selection.js";
export { type ErrorCode, OpsError } from "./errors.js";
export { GRADES, type Grade } from "./inspect/grade.js";
export type { Inspection } from "./inspect/inspection.js";
export type { PartitionReport } from "./inspect/partition-report.js";
export type { Finding } from "./inspect/rule.js";
export { type Connection, type ConnectOptions, connect } from "./library/connection.js";
export { type PlanOptions, type RecoverOptions, recover } from "./library/recover.js";
export type { Absence } from "./model/absence.js";
export type { Advice } from "./model/advice.js";
export type {
  ClusterState,
  Endpoint,
  FollowerList,
  Op,
  PartitionId,
  ReplicaClaim,
  ReplicaReport,
  ReplicaState,
  Role,
  StorageMode,
  TableClaim,
  TabletClaim,
  TabletView,
  TermStart,
  Topology,
} from "./model/cluster-state.js";
export type { Loss } from "./model/loss.js";
export type { LaneFailure, RunEvent, StepOutcome } from "./model/outcome.js";
export type { PartitionRef } from "./model/partition-name.js";
export {
  type PartitionView,
  partitionName,
  type ReplicaView,
  type TabletHealth,
} from "./model/partition-view.js";
export type { Method } from "./model/plan.js";
export { PROBLEM_CODES, type Problem, type ProblemCode } from "./model/problem.js";
export type { ProgressEvent } from "./model/progress.js";
export type { AbsentTablet, ChoiceOfLeader, PartitionResult, RunReport } from "./model/report.js";
export type { Step, StepKind } from "./model/step.js";
export type { TabletSummary } from "./model/tablet-summary.js";
export type {
  Plan,
  PlannedPartition,
  PlannedRound,
  PlannedStep,
  RecoveryPlan,
} from "./planning/recovery-plan.js";
export { isAllHealthy } from "./report/recovery-report.js";

const MAX_LAG = BigInt(defaultOf(inspectSpecs.maxLag));

/** Options of {@link observe}. */
export interface ObserveOptions {
  /** Tablets that the operator declares lost; none if undefined. */
  readonly lost?: ReadonlySet<Endpoint> | undefined;
  /** Aborts the observation. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Observes the cluster once: ZooKeeper, the nameserver, and every tablet. Changes nothing. A tablet that
 * does not answer is part of the state, not an error.
 *
 * @throws OpsError if ZooKeeper or the leading nameserver cannot be read, or `interrupted`.
 */
export async function observe(
  connection: Connection,
  { lost, signal }: ObserveOptions = {},
): Promise<ClusterState> {
  const { opened, onEvent } = partsOf(connection);
  const store = knownOffsetsStore(opened, onEvent);
  return withSignal(signal, (ended) =>
    observeCluster(identifiedCluster(opened.cluster), {
      lost,
      knownOffsetsStore: store,
      signal: ended,
    }),
  );
}

/** A partition with its problems. */
export interface Diagnosis {
  readonly view: PartitionView;
  /** Empty if the partition is healthy. */
  readonly problems: readonly Problem[];
}

/**
 * Compares the nameserver's record with the tablets' reports, partition by partition. Makes no calls.
 *
 * @param only The partitions to diagnose; all if left out.
 * @returns System databases first, then by database, table and pid; empty if no partition matches.
 */
export function diagnose(state: ClusterState, only: Selection = {}): Diagnosis[] {
  return selected(viewPartitions(state), only).map((view) => ({
    view,
    problems: problemsOf(view, only),
  }));
}

/** Options of {@link inspect}. */
export interface InspectOptions extends ObserveOptions {
  /** This database only. */
  readonly db?: string | undefined;
  /** Tables of this name only. */
  readonly table?: string | undefined;
  /** Number of entries that a follower may lack before it gets its own warning; 10 000 if undefined. */
  readonly maxLag?: bigint | undefined;
}

/**
 * Returns what the command `inspect` finds: the unhealthy partitions, worst first, each with advice, and
 * findings about ZooKeeper, nameservers, tablets and tables. Changes nothing; unlike the command it does not
 * restore `auto_failover` after a run that was killed.
 *
 * @throws OpsError as {@link observe} does; `refused` if there is no such database or table.
 */
export async function inspect(
  connection: Connection,
  { db, table, maxLag, lost, signal }: InspectOptions = {},
): Promise<Inspection> {
  const { opened, flags, onEvent } = partsOf(connection);
  const { inspection } = await withSignal(signal, (ended) =>
    inspectOnce(
      opened,
      { ...flags, db, table, lost: [...(lost ?? [])] },
      { maxLag: maxLag ?? MAX_LAG, signal: ended, onEvent },
    ),
  );
  return inspection;
}

/**
 * Observes the cluster and plans its recovery, as `recoverdata --dry_run` does. Changes nothing.
 *
 * @returns The plan; without partitions if all are healthy. {@link recover} takes it as `planned` and executes it.
 * @throws OpsError as {@link observe} does; `refused` if a named database, table or partition does not exist.
 */
export async function plan(
  connection: Connection,
  options: PlanOptions = {},
): Promise<RecoveryPlan> {
  const { opened, onEvent } = partsOf(connection);
  const store = knownOffsetsStore(opened, onEvent);
  const observed = await withSignal(options.signal, (signal) =>
    observeAndPlan(identifiedCluster(opened.cluster), {
      ...options,
      knownOffsetsStore: store,
      signal,
    }),
  );
  return observed.plan;
}
