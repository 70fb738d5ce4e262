import type { Endpoint } from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { CannotLoad } from "../policy/what-it-holds.js";

/** What a run has learned of a partition by trying; it outlives the rounds, not the run. */
export interface Learned {
  readonly cannotLoad: CannotLoad;
  /** Replicas whose load failed once, for a reason that may pass: it is tried a second time. */
  readonly failedOnce: ReadonlySet<Endpoint>;
  /** Followers that the leader replicated to and that did not catch up: the leader's binlog lacks what they need. */
  readonly cannotSync: ReadonlySet<Endpoint>;
  /** Healthy replicas that were recovered because the operator wants it. */
  readonly forced: ReadonlySet<Endpoint>;
}

/** Turns what is known of a partition into the next round of its recovery. */
export type Planner = (view: PartitionView, learned: Learned) => Lane;

/** Nothing learned yet. */
export const NOTHING_LEARNED: Learned = {
  cannotLoad: new Map(),
  failedOnce: new Set(),
  cannotSync: new Set(),
  forced: new Set(),
};
