import { TableState, type TableStatus } from "../gen/openmldb/api_pb.js";
import { StorageMode } from "../gen/openmldb/common_pb.js";
import type { Endpoint } from "../model/cluster-state.js";
import type { ReplicaDir } from "./disk.js";

/** How far a leader has fed one follower. */
export interface Feed {
  /** Last entry that the follower has acknowledged; 0 until it first answered. */
  sent: bigint;
  /** Whether the follower has told its offset, which is where the leader starts. */
  isMatched: boolean;
}

/** A replica in the memory of a tablet. */
export interface LoadedReplica {
  readonly tid: number;
  readonly pid: number;
  readonly dir: ReplicaDir;
  role: "leader" | "follower";
  state: TableState;
  /** The leadership that it leads or follows; 0 for a follower that no leader has spoken to. */
  term: bigint;
  offset: bigint;
  /** Rows in memory beyond those of the log: fed before the load began, then loaded once more. */
  extraRows: number;
  /** Replication list, by endpoint; empty for a follower. */
  readonly feeds: Map<Endpoint, Feed>;
  /** Rows of its log that a load under way has read; the tablet counts them already. */
  loadedRows: number;
  /** Identity of this leadership in the entries that it writes. */
  writer: number;
  /** Bytes on disk when the tablet last measured them; 0 until then. */
  diskUsed: bigint;
  /** What GetTableStatus last answered about it. Frozen, as all answers share it while it is true. */
  status: TableStatus | undefined;
}

/** Outcome of something asked of a tablet: OpenMLDB's code and its words for it. */
export interface Outcome {
  readonly code: number;
  readonly msg: string;
}

/** The outcome of everything that went well. */
export const OK: Outcome = { code: 0, msg: "ok" };

/** Whether a loaded replica answers reads and writes (making snapshots or having them paused included). */
export function isServing(replica: LoadedReplica): boolean {
  return replica.state !== TableState.kTableUndefined && replica.state !== TableState.kTableLoading;
}

/** Rows in memory, as the tablet counts them. */
export function recordCount(replica: LoadedReplica): number {
  return isServing(replica)
    ? replica.dir.rowCount + replica.extraRows
    : replica.loadedRows + replica.extraRows;
}

/** Sizes of a row and its index entry, as recorded from small tables. */
const ROW_BYTES = 102n;
const ROW_INDEX_BYTES = 206n;

/** Bytes in memory as the tablet counts them: none for tables on disk, whatever RocksDB holds. */
export function memoryBytes(replica: LoadedReplica): {
  readonly rows: bigint;
  readonly index: bigint;
} {
  const isInMemory = replica.dir.meta.storageMode === StorageMode.kMemory;
  const rows = isInMemory ? BigInt(recordCount(replica)) : 0n;
  return { rows: rows * ROW_BYTES, index: rows * ROW_INDEX_BYTES };
}
