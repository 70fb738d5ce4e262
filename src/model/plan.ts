import type { Endpoint, PartitionId, StorageMode, TermStart } from "./cluster-state.js";
import type { PartitionEvidence } from "./evidence.js";
import type { Problem, ProblemCode } from "./problem.js";

/**
 * How partitions are brought back: `direct` decides on the true offsets of all replicas and feeds
 * each from its own data; `documented` is the sequence of OpenMLDB's documentation.
 */
export type Method = "direct" | "documented";

/** What a step does, in OpenMLDB's words. */
export type StepKind =
  /** Waits until the partition's ops have ended; somebody else is at work. Changes nothing. */
  | "wait-ops"
  /** Waits until a load that somebody else began has ended. Changes nothing. */
  | "wait-load"
  /** Waits until a follower that is fed reaches the leader's offset. Changes nothing. */
  | "wait-sync"
  /** UpdateTableAliveStatus to no. */
  | "mark-dead"
  /** LoadTable with mode follower: a replica that is loaded shows its true offset. Harms nothing. */
  | "load-follower"
  /** ChangeRole to follower of a replica that runs as leader and shall not lead. */
  | "demote"
  /** ChangeRole to leader with the newest term and the followers that may follow. */
  | "promote"
  /** SetTablePartition: the nameserver's record names the leader, and no other. */
  | "set-flags"
  /** ChangeLeader with a candidate: begins a new term, so that what is given up stays given up. */
  | "change-leader"
  /** AddReplica at the leader; waits until the follower has what the leader had. */
  | "feed"
  /** LoadTable with mode leader and the newest term; waits until normal. */
  | "load-leader"
  /** ChangeRole of a loaded follower to leader, with the newest term. */
  | "change-role"
  /** UpdateTableAliveStatus to yes. */
  | "mark-alive"
  /** RecoverSnapshot of a replica left in kSnapshotPaused. */
  | "recover-snapshot"
  /** RecoverTable of a follower; its op and child ops are followed to their end. */
  | "recover-table";

/** One step of a lane. */
export interface Step {
  readonly kind: StepKind;
  /** The replica it acts on; undefined for steps about the partition as a whole. */
  readonly endpoint: Endpoint | undefined;
  /** The problem that it answers. */
  readonly why: ProblemCode | "op-in-flight" | "forced";
  /** With `recover-table`: the replica was fed and does not catch up, so waiting again is no use. */
  readonly isForced?: boolean;
  /** With `promote`: the replicas that the new leader feeds from the start. */
  readonly followers?: readonly Endpoint[];
  /** With `set-flags`: the replicas flagged alive afterwards; `endpoint` is the leader. */
  readonly alive?: readonly Endpoint[];
}

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

/** Whether a step changes the cluster. Waiting steps need neither the guard nor a question. */
export function isMutating(step: Step): boolean {
  return !(step.kind === "wait-ops" || step.kind === "wait-load" || step.kind === "wait-sync");
}
