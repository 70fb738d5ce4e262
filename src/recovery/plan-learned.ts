import type { Endpoint } from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { CannotLoad } from "./decide-leader.js";

/** What a run has learned of a partition by trying; it outlives the rounds, not the run. */
export interface Learned {
  readonly cannotLoad: CannotLoad;
  /** Replicas whose load failed once, for a reason that may pass: it is tried a second time. */
  readonly failedOnce: ReadonlySet<Endpoint>;
  /**
   * Where the nameserver saw each replica when the run began. Once a replica is loaded, the
   * nameserver replaces what it knew by what the tablet reports, two seconds later.
   */
  readonly lastSeen: ReadonlyMap<Endpoint, bigint>;
  /** Followers that were fed and did not catch up: the leader's binlog lacks what they need. */
  readonly cannotSync: ReadonlySet<Endpoint>;
}

/** Turns what is known of a partition into the next round of its recovery. */
export type Planner = (view: PartitionView, learned: Learned) => Lane;

/** Nothing learned yet. */
export const NOTHING_LEARNED: Learned = {
  cannotLoad: new Map(),
  failedOnce: new Set(),
  lastSeen: new Map(),
  cannotSync: new Set(),
};
