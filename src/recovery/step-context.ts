import type { Cluster } from "../cluster/cluster.js";
import type {
  Endpoint,
  Op,
  PartitionClaim,
  PartitionId,
  ReplicaReport,
} from "../model/cluster-state.js";
import { type PartitionView, viewPartitions } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import { diagnose } from "./diagnose.js";
import { observe } from "./observe.js";
import type { SharedPoll } from "./shared-poll.js";

/** Bounds of a run. */
export interface Limits {
  /** Partitions worked on side by side. */
  readonly concurrency: number;
  /** Loads at a time on one tablet; a tablet loads with three threads (OpenMLDB: task_pool_size). */
  readonly loadsPerTablet: number;
  /** How often a failed op is tried again. */
  readonly opRetries: number;
  /** How long an op may stand still before it counts as stuck. */
  readonly opTimeoutMs: number;
  /** Whether an op that stands still for that long is cancelled. */
  readonly cancelStuck: boolean;
  /** How long a load or a follower may stand still before it counts as stalled. */
  readonly stallTimeoutMs: number;
}

/** What steps work with. */
export interface StepContext {
  readonly cluster: Cluster;
  readonly limits: Limits;
  /** Aborted when the run is to stop. */
  readonly signal: AbortSignal;
  /** Switches auto_failover off before the first change. */
  readonly engageGuard: () => Promise<void>;
  /** Marks a replica dead, together with others of its table where the plan says so. */
  readonly markDead: (id: PartitionId, endpoint: Endpoint) => Promise<void>;
  /** Holds a loading slot of the tablet while `work` runs. */
  readonly withLoadSlot: <T>(endpoint: Endpoint, work: () => Promise<T>) => Promise<T>;
  /** What the tablet has loaded, by `replicaKey`, asked for after the call. */
  readonly statusOf: (endpoint: Endpoint) => SharedPoll<ReadonlyMap<string, ReplicaReport>>;
  /** The nameserver's ops, asked for after the call. */
  readonly ops: SharedPoll<readonly Op[]>;
}

/** The partition as it is now; undefined if the table is gone. */
export async function observePartition(
  context: StepContext,
  id: PartitionId,
): Promise<PartitionView | undefined> {
  const state = await observe(context.cluster, { partition: id, signal: context.signal });
  return viewPartitions(state)[0];
}

/** What is wrong with one replica now; undefined if the replica is gone. */
export async function problemsNow(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
): Promise<readonly Problem[] | undefined> {
  const view = await observePartition(context, id);
  if (view === undefined || !view.replicas.some((one) => one.endpoint === endpoint))
    return undefined;
  return diagnose(view).filter((one) => one.endpoint === endpoint);
}

/** What the nameserver's record says of the partition now; undefined if the table is gone. */
export async function claimNow(
  context: StepContext,
  id: PartitionId,
): Promise<PartitionClaim | undefined> {
  const tables = await context.cluster.showTable({ db: id.db, table: id.table });
  const table = tables.find((one) => one.tid === id.tid);
  return table?.partitions.find((one) => one.pid === id.pid);
}

/**
 * Why the plan of a lane does not fit the nameserver's record any more: a leadership began since,
 * or the table is gone. Undefined if it fits.
 */
export function outdated(lane: Lane, claim: PartitionClaim | undefined): string | undefined {
  if (claim === undefined) return "the table is gone";
  const newest = claim.terms.at(-1)?.term ?? 0n;
  if (newest === lane.newestTerm.term) return undefined;
  return `term ${newest} began since it was planned for term ${lane.newestTerm.term}`;
}
