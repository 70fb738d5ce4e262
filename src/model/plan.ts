import type { Endpoint, PartitionId, StorageMode, TermStart } from "./cluster-state.js";
import type { PartitionEvidence } from "./evidence.js";
import type { Problem } from "./problem.js";
import type { Step } from "./step.js";

/**
 * How partitions are recovered. `direct` decides on the true offsets of all replicas and replicates to each
 * replica from its own offset. `documented` is the sequence of OpenMLDB's documentation.
 */
export type Method = "direct" | "documented";

/** The steps for one partition, in order. The first step that fails ends the lane. */
export interface Lane {
  readonly id: PartitionId;
  readonly segCount: number;
  readonly storageMode: StorageMode;
  /** The newest term and its first offset; term 0 if the partition has no history. */
  readonly newestTerm: TermStart;
  /** The replica that leads or will lead; undefined if the lane is blocked. */
  readonly leader: Endpoint | undefined;
  /**
   * Lower bound of the future leader's offset after loading: a replica of the surviving history has reached
   * it. If the leader loads with less, rows are missing on its disk.
   */
  readonly leastOffset: bigint;
  /**
   * Lower bound of each replica's offset after loading: the nameserver's offset or the snapshot on its disk,
   * whichever is larger. Absent if neither is known.
   */
  readonly lastSeen: ReadonlyMap<Endpoint, bigint>;
  /** Everything known of the logs so far; the next round starts from it. */
  readonly evidence: PartitionEvidence;
  /**
   * True if data is discarded by the operator's decision (`--accept_data_loss`). The stored lower bounds are
   * void once the lane succeeds.
   */
  readonly givesUp: boolean;
  readonly steps: readonly Step[];
  /** Notes for the report: data that is preserved, or discarded by the operator's decision. */
  readonly notes: readonly string[];
  /** Why the partition may not be changed; undefined if it may. */
  readonly blocked: Problem | undefined;
}

/** One UpdateTableAliveStatus call that marks replicas of a table on one endpoint not alive. */
export interface MarkDeadCall {
  readonly db: string;
  readonly table: string;
  readonly endpoint: Endpoint;
  /** Undefined: every replica of the table on that endpoint. */
  readonly pid: number | undefined;
}
