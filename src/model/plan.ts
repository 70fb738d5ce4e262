import type { Endpoint, PartitionId, StorageMode, TermStart } from "./cluster-state.js";
import type { PartitionEvidence } from "./evidence.js";
import type { Problem } from "./problem.js";
import type { Step } from "./step.js";

/**
 * How partitions are brought back: `direct` decides on the true offsets of all replicas and replicates
 * to each from its own offset; `documented` is the sequence of OpenMLDB's documentation.
 */
export type Method = "direct" | "documented";

/** What is to be done for one partition, in order. The first step that fails ends the lane. */
export interface Lane {
  readonly id: PartitionId;
  readonly segCount: number;
  readonly storageMode: StorageMode;
  /** The newest leadership; term 0 if the partition has no history. */
  readonly newestTerm: TermStart;
  /** The replica that leads or will lead; undefined if the lane is blocked. */
  readonly leader: Endpoint | undefined;
  /**
   * The least offset that the coming leader must come up with: some replica of the surviving
   * history was seen there. Below it, rows are missing on its disk.
   */
  readonly leastOffset: bigint;
  /**
   * The least that each replica is expected to come up with: where the nameserver last saw it, and
   * the snapshot on its disk. Absent if neither is known.
   */
  readonly lastSeen: ReadonlyMap<Endpoint, bigint>;
  /** All that is known of the logs so far; the next round goes on with it. */
  readonly evidence: PartitionEvidence;
  /**
   * Whether something is given up on the operator's word (`--accept_data_loss`). What was known
   * before counts no more once the lane is through.
   */
  readonly givesUp: boolean;
  readonly steps: readonly Step[];
  /** What could have been lost and was not, or what is given up on the operator's word. */
  readonly notes: readonly string[];
  /** Why nothing may be done to the partition; undefined if something may. */
  readonly blocked: Problem | undefined;
}

/** One UpdateTableAliveStatus call that marks replicas of a table on one endpoint not alive. */
export interface Mark {
  readonly db: string;
  readonly table: string;
  readonly endpoint: Endpoint;
  /** Undefined: every replica of the table on that endpoint. */
  readonly pid: number | undefined;
}
