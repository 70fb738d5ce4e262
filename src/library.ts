import { commandPrinter } from "./cli/printed-command.js";
import { gatherFacts } from "./commands/inspect-facts.js";
import { problemsOf, type Selection, selected } from "./diagnosis/selection.js";
import { look } from "./execution/look.js";
import { type Inspection, inspectFacts } from "./inspect/inspection.js";
import { type Connection, knownOffsetsOf, partsOf } from "./library/connection.js";
import type { PlanOptions } from "./library/recover.js";
import { withSignal } from "./library/signal.js";
import type { ClusterState, Endpoint } from "./model/cluster-state.js";
import { type PartitionView, viewPartitions } from "./model/partition-view.js";
import type { Problem } from "./model/problem.js";
import { observe as observeCluster } from "./observe/cluster.js";
import { identifiedCluster } from "./observe/identified-cluster.js";
import type { RecoveryPlan } from "./planning/recovery-plan.js";
import { inTurns } from "./util/yielding.js";

// The entry of the package for programs. docs/api.md is made from the docstrings of what is exported
// here; what is not exported here may change without notice.
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

/** As the command's `--max_lag` without a value. */
const MAX_LAG = 10_000n;

/** How the cluster is looked at. */
export interface ObserveOptions {
  /** Tablets that will not come back, as the operator says; none if undefined. */
  readonly lost?: ReadonlySet<Endpoint> | undefined;
  /** Ends the look. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Looks at the cluster once: ZooKeeper, the nameserver, and every tablet. Changes nothing. A tablet that
 * does not answer is part of the state, and no error.
 *
 * @throws OpsError if ZooKeeper or the leading nameserver cannot be asked, or `interrupted`.
 */
export async function observe(
  connection: Connection,
  { lost, signal }: ObserveOptions = {},
): Promise<ClusterState> {
  const { opened } = partsOf(connection);
  const seen = knownOffsetsOf(connection);
  return withSignal(signal, (ended) =>
    observeCluster(identifiedCluster(opened.cluster), { lost, seen, signal: ended }),
  );
}

/** A partition, both sides of every replica beside each other, and what is wrong with it. */
export interface Diagnosis {
  readonly view: PartitionView;
  /** Empty if the partition is healthy. */
  readonly problems: readonly Problem[];
}

/**
 * Compares what the nameserver has on record with what the tablets reported, partition by partition.
 * Computes only.
 *
 * @param only What to judge; every partition if left out.
 * @returns System databases first, then by database, table and pid; empty if nothing is of that name.
 */
export function diagnose(state: ClusterState, only: Selection = {}): Diagnosis[] {
  return selected(viewPartitions(state), only).map((view) => ({
    view,
    problems: problemsOf(view, only),
  }));
}

/** What is inspected. */
export interface InspectOptions extends ObserveOptions {
  /** This database only. */
  readonly db?: string | undefined;
  /** Tables of this name only. */
  readonly table?: string | undefined;
  /** Entries that a follower may lack before it gets a warning of its own; 10 000 if undefined. */
  readonly maxLag?: bigint | undefined;
}

/**
 * What the command `inspect` finds: the partitions that are not healthy, worst first, with what to do, and
 * findings about ZooKeeper, nameservers, tablets and tables. Changes nothing; unlike the command it does
 * not put `auto_failover` back after a run that was killed.
 *
 * @throws OpsError as {@link observe} does; `refused` if there is no such database or table.
 */
export async function inspect(
  connection: Connection,
  { db, table, maxLag, lost, signal }: InspectOptions = {},
): Promise<Inspection> {
  const { opened, flags } = partsOf(connection);
  const facts = await withSignal(signal, (ended) =>
    gatherFacts({
      ...opened,
      zkHosts: flags.zkCluster,
      db,
      table,
      maxLag: maxLag ?? MAX_LAG,
      lost: [...(lost ?? [])],
      seen: knownOffsetsOf(connection),
      signal: ended,
      print: commandPrinter(flags),
    }),
  );
  return inTurns(inspectFacts(facts));
}

/**
 * Looks at the cluster and plans its recovery, as `recoverdata --dry_run` does. Changes nothing.
 *
 * @returns The plan; without partitions if all is healthy. {@link recover} executes it as `planned`.
 * @throws OpsError as {@link observe} does; `refused` if something that is named does not exist.
 */
export async function plan(
  connection: Connection,
  options: PlanOptions = {},
): Promise<RecoveryPlan> {
  const { opened } = partsOf(connection);
  const seen = knownOffsetsOf(connection);
  const looked = await withSignal(options.signal, (signal) =>
    look(identifiedCluster(opened.cluster), { ...options, seen, signal }),
  );
  return looked.plan;
}
