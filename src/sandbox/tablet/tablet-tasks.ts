import { TableState } from "../../gen/openmldb/api_pb.js";
import type { StorageMode } from "../../gen/openmldb/common_pb.js";
import type { Endpoint, PartitionNumbers } from "../../model/cluster-state.js";
import { isServing, type LoadedReplica, NO_TABLE, OK, type Outcome } from "../model/replica.js";
import type { Tablet } from "./tablet.js";

const NO_ROOT: Outcome = { code: 138, msg: "fail to get db root path" };
/** The answer to a call for a leader. */
export const IS_FOLLOWER: Outcome = { code: 103, msg: "table is follower" };

/** The values by which the nameserver chooses how a replica is recovered. */
export interface TermPairAnswer extends Outcome {
  readonly term?: bigint;
  readonly offset?: bigint;
  readonly hasTable: boolean;
  readonly isLeader?: boolean;
}

/** Term and offset of the loaded replica, else of the snapshot on disk only. */
export function termPair(
  tablet: Tablet,
  tid: number,
  pid: number,
  mode: StorageMode,
): TermPairAnswer {
  const replica = tablet.replica(tid, pid);
  if (replica !== undefined) {
    const isLeader = replica.role === "leader";
    return { ...OK, hasTable: true, isLeader, term: replica.term, offset: replica.offset };
  }
  if (!tablet.storageModes.has(mode)) return { ...NO_ROOT, hasTable: false };
  const snapshot = tablet.disk.dir(mode, tid, pid)?.snapshot;
  return {
    code: 0,
    msg: "table does not exist",
    hasTable: false,
    term: snapshot?.term ?? 0n,
    offset: snapshot?.offset ?? 0n,
  };
}

/** The snapshot's MANIFEST, loaded or not; without a snapshot only an offset of 0. */
export function manifest(
  tablet: Tablet,
  tid: number,
  pid: number,
  mode: StorageMode,
): Outcome | { offset: bigint; name?: string; count?: bigint; term?: bigint } {
  if (!tablet.storageModes.has(mode)) return NO_ROOT;
  const snapshot = tablet.disk.dir(mode, tid, pid)?.snapshot;
  if (snapshot === undefined) return { offset: 0n };
  return {
    offset: snapshot.offset,
    name: snapshot.name,
    count: snapshot.offset,
    term: snapshot.term,
  };
}

/**
 * Makes a loaded replica leader or follower, at once. For a leader that is made leader the answer is
 * 102, for a follower that is made follower 0 and "table is follower" (OpenMLDB 0.9).
 */
export function changeRole(
  tablet: Tablet,
  id: PartitionNumbers,
  to: {
    readonly role: "leader" | "follower";
    readonly term: bigint;
    readonly followers: readonly Endpoint[];
  },
): Outcome {
  const replica = tablet.replica(id.tid, id.pid);
  if (replica === undefined) return NO_TABLE;
  if (replica.state === TableState.kTableLoading) return { code: 104, msg: "table is loading" };
  if (to.role === "follower") {
    if (replica.role === "follower") return { code: 0, msg: "table is follower" };
    replica.role = "follower";
    replica.links.clear();
    tablet.replicator.forget(replica);
    return OK;
  }
  if (replica.role === "leader") return { code: 102, msg: "table is leader" };
  replica.role = "leader";
  replica.term = to.term;
  replica.writer = tablet.context.nextWriter();
  for (const endpoint of to.followers) replica.links.set(endpoint, { sent: 0n, isMatched: false });
  tablet.replicator.wake(replica);
  return OK;
}

function leaderOf(tablet: Tablet, id: PartitionNumbers): LoadedReplica | Outcome {
  const replica = tablet.replica(id.tid, id.pid);
  if (replica === undefined) return NO_TABLE;
  return replica.role === "leader" ? replica : IS_FOLLOWER;
}

/** Adds a follower to a leader's replication list; the leader starts at the follower's offset. */
export function addReplica(tablet: Tablet, id: PartitionNumbers, endpoint: Endpoint): Outcome {
  const leader = leaderOf(tablet, id);
  if ("code" in leader) return leader;
  if (leader.links.has(endpoint)) return { code: 119, msg: "replica endpoint already exists" };
  leader.links.set(endpoint, { sent: 0n, isMatched: false });
  tablet.replicator.wake(leader);
  return OK;
}

/** Removes a follower from a leader's replication list; a missing one is no error. */
export function delReplica(tablet: Tablet, id: PartitionNumbers, endpoint: Endpoint): Outcome {
  const leader = leaderOf(tablet, id);
  if ("code" in leader) return leader;
  return leader.links.delete(endpoint) ? OK : { code: 0, msg: "replica does not exist" };
}

/** Stops the making of snapshots, so that one can be sent. */
export function pauseSnapshot(tablet: Tablet, id: PartitionNumbers): Outcome {
  const replica = tablet.replica(id.tid, id.pid);
  if (replica === undefined) return NO_TABLE;
  if (replica.state === TableState.kSnapshotPaused) return OK;
  if (replica.state !== TableState.kTableNormal)
    return { code: 105, msg: "table status is not kNormal" };
  replica.state = TableState.kSnapshotPaused;
  tablet.touch(replica);
  return OK;
}

/** Reverts {@link pauseSnapshot}. */
export function recoverSnapshot(tablet: Tablet, id: PartitionNumbers): Outcome {
  const replica = tablet.replica(id.tid, id.pid);
  if (replica === undefined) return NO_TABLE;
  if (replica.state === TableState.kTableNormal) return OK;
  if (replica.state !== TableState.kSnapshotPaused) {
    return { code: 107, msg: "table status is not kSnapshotPaused" };
  }
  replica.state = TableState.kTableNormal;
  tablet.touch(replica);
  return OK;
}

/**
 * A leader with paused snapshots copies its `table_meta.txt` and, if it has one, its snapshot to
 * another tablet. Without a snapshot the entries come by replication only.
 *
 * @returns The answer to the nameserver; `isDone`: whether the copy arrived.
 */
export function sendSnapshot(
  tablet: Tablet,
  id: PartitionNumbers,
  endpoint: Endpoint,
): Outcome & { isDone: boolean } {
  const leader = leaderOf(tablet, id);
  if ("code" in leader) return { ...leader, isDone: false };
  if (leader.state !== TableState.kSnapshotPaused) {
    return { code: 107, msg: "table status is not kSnapshotPaused", isDone: false };
  }
  const target = tablet.context.reachable(endpoint);
  if (target === undefined) return { ...OK, isDone: false };
  // A tablet refuses files of a replica that it has loaded (OpenMLDB 0.9 tablet: SendData).
  if (target.replica(id.tid, id.pid) !== undefined) return { ...OK, isDone: false };
  const dir = target.disk.writeMeta(id.tid, id.pid, leader.dir.meta);
  dir.receiveSnapshot(leader.dir);
  return { ...OK, isDone: true };
}

/** Drops a loaded replica from memory and disk (to the recycle bin). */
export function dropTable(tablet: Tablet, id: PartitionNumbers): Outcome {
  const replica = tablet.replica(id.tid, id.pid);
  if (replica === undefined) return NO_TABLE;
  if (replica.state === TableState.kMakingSnapshot) {
    return { code: 106, msg: "table status is kMakingSnapshot" };
  }
  tablet.unload(replica);
  tablet.disk.recycle(replica.dir.meta.storageMode, id.tid, id.pid);
  return OK;
}

/** Moves the binlog of a replica that is not loaded to the recycle bin. */
export function deleteBinlog(tablet: Tablet, id: PartitionNumbers, mode: StorageMode): Outcome {
  if (!tablet.storageModes.has(mode)) return NO_ROOT;
  tablet.disk.recycleBinlog(mode, id.tid, id.pid);
  return OK;
}

/** Makes a snapshot; below the threshold of new entries it succeeds without one. */
export function makeSnapshot(tablet: Tablet, id: PartitionNumbers): Outcome {
  const replica = tablet.replica(id.tid, id.pid);
  if (replica === undefined) return NO_TABLE;
  if (replica.state !== TableState.kTableNormal)
    return { code: 105, msg: "table status is not kNormal" };
  const made = replica.dir.snapshot?.offset ?? 0n;
  if (replica.offset >= made + tablet.context.options.snapshotThreshold) {
    replica.dir.makeSnapshot(replica.term);
  }
  return OK;
}

/**
 * Fences a follower for a new leadership: it refuses older ones from now on.
 *
 * @returns Its offset, or undefined if it refuses (not loaded, loading, leader, newer term).
 */
export function followNoOne(
  tablet: Tablet,
  id: PartitionNumbers,
  term: bigint,
): bigint | undefined {
  const replica = tablet.replica(id.tid, id.pid);
  if (replica === undefined || !isServing(replica)) return undefined;
  if (replica.role === "leader" || term < replica.term) return undefined;
  replica.term = term;
  return replica.offset;
}
