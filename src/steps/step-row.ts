import type { StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Step, StepKind } from "../model/step.js";
import type { Expectation } from "./expectations.js";
import type { StepContext, Task } from "./step-context.js";

/**
 * What limits how many steps of a kind run side by side: `partitions`, the partitions at work
 * (`--concurrency`); `loads`, the loads of its tablet; `none`, since it mostly waits and followers
 * that wait hold up no leader.
 */
export type StepLimit = "partitions" | "loads" | "none";

/** All that is to be known of one kind of step. */
export interface StepRow<K extends StepKind> {
  /** What it does, for people. */
  readonly words: (step: Step<K>) => string;
  /** What it expects to find right before it acts: plans print it, and `run` checks it. */
  readonly expects: (step: Step<K>, lane: Task<K>["lane"]) => readonly Expectation[];
  /** The partition after a step that worked, as far as it can be predicted. */
  readonly effect: (
    view: PartitionView,
    step: Step<K>,
    lane: Pick<Lane, "leader">,
  ) => PartitionView;
  /** Whether it changes the cluster: it needs the guard of auto_failover and the operator's yes. */
  readonly changes: boolean;
  readonly limit: StepLimit;
  /** Whether it is the leader's or the followers' turn; followers wait for no other leader. */
  readonly turn: "leader" | "follower";
  /** Whether steps of this kind in a row run side by side. */
  readonly isParallel: boolean;
  /** What a failure ends: the lane, the lane if it is the leader's, or the steps of its replica. */
  readonly failureEnds: "lane" | "leader" | "replica";
  /** Does it: looks whether it is done already or contradicted (`stale`), acts, looks at the effect. */
  readonly run: (context: StepContext, task: Task<K>) => Promise<StepOutcome>;
}

/** A step that changes the cluster and counts as one of the partitions at work. */
export const ACTS = {
  changes: true,
  limit: "partitions",
  turn: "leader",
  isParallel: false,
  failureEnds: "leader",
} as const;
/** A step that changes nothing. */
export const WAITS = { ...ACTS, changes: false, limit: "none" } as const;
/** A step that loads a replica. */
export const LOADS = { ...ACTS, limit: "loads" } as const;
/** A step that brings a follower up to its leader. */
export const JOINS = { ...ACTS, limit: "none", turn: "follower", isParallel: true } as const;
