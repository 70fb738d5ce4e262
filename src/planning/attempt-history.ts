import type { Endpoint } from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { CannotLoad } from "../policy/what-it-holds.js";

/** What a run has tried of a partition in vain; it outlives the rounds, not the run. */
export interface AttemptHistory {
  readonly cannotLoad: CannotLoad;
  /** Replicas whose load failed once, for a reason that may pass: it is tried a second time. */
  readonly failedOnce: ReadonlySet<Endpoint>;
  /** Followers that the leader replicated to and that did not catch up: the leader's binlog lacks what they need. */
  readonly cannotSync: ReadonlySet<Endpoint>;
  /** Healthy replicas that were recovered because the operator wants it. */
  readonly forced: ReadonlySet<Endpoint>;
}

/** Turns what is known of a partition into the next round of its recovery. */
export type Planner = (view: PartitionView, attempts: AttemptHistory) => Lane;

/** Nothing was tried yet. */
export const NO_ATTEMPTS: AttemptHistory = {
  cannotLoad: new Map(),
  failedOnce: new Set(),
  cannotSync: new Set(),
  forced: new Set(),
};
