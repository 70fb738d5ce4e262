import type { ClusterState, Endpoint, PartitionId } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Step, StepKind } from "../model/step.js";
import type { SharedLooks } from "../observe/shared-looks.js";
import type { AttemptHistory } from "../planning/attempt-history.js";
import { untilAborted } from "../util/until-aborted.js";
import type { Expectation } from "./expectations.js";

/** Bounds of a run. */
export interface Limits {
  /** Partitions worked on side by side. */
  readonly concurrency: number;
  /**
   * Loads at a time on one tablet where loads are slow; a tablet loads with three threads (OpenMLDB:
   * task_pool_size). See `adaptiveLoadLimit`.
   */
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

/** Changes that are good only together with a later one, and must not be left so by a stop. */
export interface Rollback {
  /**
   * Notes how a change is taken back, before it is made.
   *
   * @param how Looks whether it is still needed; returns what it did, undefined for nothing.
   * @returns Forgets it again, once the change is complete.
   */
  add(how: (context: StepContext) => Promise<string | undefined>): () => void;
}

/** A follower that is to be recovered through the nameserver, and passed its check. */
export interface WaitingFollower {
  readonly id: PartitionId;
  readonly endpoint: Endpoint;
  /** Looks whether it passes its check at this moment too. */
  mayBeAsked(): Promise<boolean>;
  /**
   * Follows the op that was asked for, and its child ops, to the end, and looks at the replica.
   *
   * @param after The newest op before.
   * @returns Undefined if that did not recover it.
   */
  follow(after: bigint): Promise<StepOutcome | undefined>;
}

/** Recovers followers of one tablet with one RecoverEndpoint, where that is the same as recovering each. */
export interface RecoverEndpointBatch {
  /**
   * Waits for others at the same tablet, and for their turn.
   *
   * @returns What came of it; undefined if the follower is still to be recovered, by itself.
   * @throws The signal's reason if the run is to stop; what `follow` throws.
   */
  recover(one: WaitingFollower): Promise<StepOutcome | undefined>;
}

/** What steps work with. */
export interface StepContext extends SharedLooks {
  /** What is taken back after a stop. */
  readonly rollback: Rollback;
  /** Where followers wait for each other; undefined where each is recovered by itself. */
  readonly endpointBatch?: RecoverEndpointBatch | undefined;
  readonly limits: Limits;
  /** Switches auto_failover off before the first change. */
  readonly engageGuard: () => Promise<void>;
  /**
   * Marks a replica dead, together with others of its table on that endpoint where the plan says so.
   *
   * @param mayShare Whether the others may still be marked; false: this replica only.
   */
  readonly markDead: (id: PartitionId, endpoint: Endpoint, mayShare: boolean) => Promise<void>;
  /**
   * Runs one load when the tablet has room for it.
   *
   * @param mayQueue Whether it may wait behind others on the tablet itself, see `AdaptiveLoadLimit`.
   */
  readonly withLoadSlot: <T>(
    endpoint: Endpoint,
    work: () => Promise<T>,
    mayQueue?: boolean,
  ) => Promise<T>;
  /** One partition, see `lookAtPartition`; undefined if the table is gone. */
  readonly viewOf: (id: PartitionId, recordAgeMs: number) => Promise<PartitionView | undefined>;
  /** The whole cluster, see `observe`. */
  readonly observe: () => Promise<ClusterState>;
  /** Plans the next round of a `rejoin`, see `src/planning/rejoin.ts`: steps do not import the plans that are made of them. */
  readonly planRejoin: (
    view: PartitionView,
    step: Step<"rejoin">,
    attempts: AttemptHistory,
  ) => Lane;
  /** Runs one more step as part of another. Throws what the step throws. */
  readonly runStep: (step: Step, lane: Lane) => Promise<StepOutcome>;
}

/** The lane of a step; steps about a whole tablet or about ops are in none of a partition. */
type LaneOf<K extends StepKind> = Step<K> extends { readonly id: PartitionId } ? Lane : undefined;

/** A step that is to be run, with what it needs. */
export interface Task<K extends StepKind = StepKind> {
  readonly step: Step<K>;
  readonly lane: LaneOf<K>;
  /** What it expects to find; see `src/steps/table.ts`. */
  readonly expects: readonly Expectation[];
}

/** A step of any kind that is to be run. */
export interface AnyTask {
  readonly step: Step;
  readonly lane: Lane | undefined;
  readonly expects: readonly Expectation[];
}

/** The partition as it is now; undefined if the table is gone. */
export function observePartition(
  context: StepContext,
  id: PartitionId,
  recordAgeMs = 0,
): Promise<PartitionView | undefined> {
  return untilAborted(context.viewOf(id, recordAgeMs), context.signal);
}
