import type { StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Step, StepKind } from "../model/step.js";
import type { Expectation } from "./expectations.js";
import type { StepContext, Task } from "./step-context.js";

/**
 * The limit that a kind of step counts against. `partitions`: the number of active partitions (`--concurrency`).
 * `light-partitions`: the same, but it calls a tablet or changes flags and queues no op, so more of them may run.
 * `loads`: the loads of its tablet. `none`: the step mostly waits, and must not delay a leader.
 */
export type StepLimit = "partitions" | "light-partitions" | "loads" | "none";

/** Everything that defines one kind of step. */
export interface StepRow<K extends StepKind> {
  /** Describes what it does. */
  readonly words: (step: Step<K>) => string;
  /** The state that it expects right before it acts: plans print it, and `run` checks it. */
  readonly expects: (step: Step<K>, lane: Task<K>["lane"]) => readonly Expectation[];
  /** Predicts the partition after the step succeeded. */
  readonly effect: (
    view: PartitionView,
    step: Step<K>,
    lane: Pick<Lane, "leader">,
  ) => PartitionView;
  /**
   * True if it changes the cluster: it then needs the guard of auto_failover and the operator's
   * confirmation.
   */
  readonly changes: boolean;
  readonly limit: StepLimit;
  /**
   * The part of a lane that it belongs to. Steps of followers do not delay the leaders of other partitions.
   */
  readonly turn: "leader" | "follower";
  /** True if adjacent steps of this kind run in parallel. */
  readonly isParallel: boolean;
  /**
   * What a failure ends: the lane, the lane if the step is the leader's, or the steps of its replica.
   */
  readonly failureEnds: "lane" | "leader" | "replica";
  /**
   * Runs it: checks whether it is done already or contradicted (`stale`), acts, and verifies the
   * effect.
   */
  readonly run: (context: StepContext, task: Task<K>) => Promise<StepOutcome>;
}

/** A step that changes the cluster and counts as an active partition. */
export const ACTS = {
  changes: true,
  limit: "partitions",
  turn: "leader",
  isParallel: false,
  failureEnds: "leader",
} as const;
/** A step that calls a tablet or changes flags, and queues no op. */
export const CALLS = { ...ACTS, limit: "light-partitions" } as const;
/** A step that changes nothing. */
export const WAITS = { ...ACTS, changes: false, limit: "none" } as const;
/** A step that loads a replica. */
export const LOADS = { ...ACTS, limit: "loads" } as const;
/** A step that makes a follower catch up with its leader. */
export const JOINS = { ...ACTS, limit: "none", turn: "follower", isParallel: true } as const;
