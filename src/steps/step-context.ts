import type { ClusterState, Endpoint, PartitionId } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Step, StepKind } from "../model/step.js";
import type { SharedReads } from "../observe/partition.js";
import type { Expectation } from "./expectations.js";

/** The limits of a run. */
export interface Limits {
  /** Limit of partitions that are active at the same time. */
  readonly concurrency: number;
  /**
   * Concurrent loads on one tablet while its loads are slow; a tablet loads with three threads
   * (OpenMLDB: task_pool_size). See `adaptiveLoadLimit`.
   */
  readonly loadsPerTablet: number;
  /** Number of times that a failed op is requested again. */
  readonly opRetries: number;
  /** Milliseconds without progress after which an op counts as stuck. */
  readonly opTimeoutMs: number;
  /** True if stuck ops are cancelled. */
  readonly cancelStuck: boolean;
  /** Milliseconds without progress after which a load or a follower counts as stalled. */
  readonly stallTimeoutMs: number;
}

/**
 * Changes that are valid only together with a later one, and that are reverted when the run is stopped
 * in between.
 */
export interface Rollback {
  /**
   * Registers how a change is reverted, before the change is made.
   *
   * @param how Checks whether this is still needed; returns what it did, undefined if nothing.
   * @returns Removes the entry, once the change is complete.
   */
  add(how: (context: StepContext) => Promise<string | undefined>): () => void;
}

/** A follower that is to be recovered through the nameserver and has passed its check. */
export interface WaitingFollower extends ReplicaId {
  /** Checks again, now, that it may be recovered. @throws StepEnd if it may not; an error of the check. */
  checkAgain(): Promise<void>;
  /**
   * Follows the requested op and its child ops to their end, and observes the replica.
   *
   * @param after The newest op before the request.
   * @returns Undefined if the replica was not recovered.
   */
  follow(after: bigint): Promise<StepOutcome | undefined>;
}

/**
 * Recovers followers of one tablet with one RecoverEndpoint, if that has the same effect as recovering
 * each.
 */
export interface RecoverEndpointBatch {
  /**
   * Waits for other followers of the same tablet, then for the batch.
   *
   * @returns The outcome; undefined if the follower must still be recovered by itself.
   * @throws The signal's reason if the run is to stop; what `follow` throws.
   */
  recover(one: WaitingFollower): Promise<StepOutcome | undefined>;
}

/** The context of all steps of a run. */
export interface StepContext extends SharedReads {
  /** The changes that are reverted after a stop. */
  readonly rollback: Rollback;
  /** Batches followers of one tablet; undefined if each is recovered by itself. */
  readonly endpointBatch?: RecoverEndpointBatch | undefined;
  readonly limits: Limits;
  /** Switches auto_failover off until the end of the run, if it is on. */
  readonly engageGuard: () => Promise<void>;
  /**
   * Marks a replica dead, together with others of its table on that endpoint if the plan batches them.
   *
   * @param mayShare True if the others may still be marked; false: this replica only.
   */
  readonly markDead: (id: PartitionId, endpoint: Endpoint, mayShare: boolean) => Promise<void>;
  /**
   * Runs one load when the tablet's limit allows it.
   *
   * @param mayQueue True if it may wait behind others on the tablet itself, see `AdaptiveLoadLimit`.
   */
  readonly withLoadSlot: <T>(
    endpoint: Endpoint,
    work: () => Promise<T>,
    mayQueue?: boolean,
  ) => Promise<T>;
  /** One partition, see `observeOnePartition`; undefined if the table is gone. */
  readonly viewOf: (id: PartitionId, recordAgeMs: number) => Promise<PartitionView | undefined>;
  /** The whole cluster, see `observe`. */
  readonly observe: () => Promise<ClusterState>;
  /** Runs another step as part of a step. Throws what that step throws. */
  readonly runStep: (step: Step, lane: Lane) => Promise<StepOutcome>;
}

/** The lane of a step; undefined for steps about a whole tablet or about ops. */
type LaneOf<K extends StepKind> = Step<K> extends { readonly id: PartitionId } ? Lane : undefined;

/** One replica: its partition, and its tablet. */
export interface ReplicaId {
  readonly id: PartitionId;
  readonly endpoint: Endpoint;
}

/** A step to be run, with what it needs. */
export interface Task<K extends StepKind = StepKind> {
  readonly step: Step<K>;
  readonly lane: LaneOf<K>;
  /** The expected state; see `src/steps/table.ts`. */
  readonly expects: readonly Expectation[];
}
