import { TableState, type TableStatus } from "../../gen/openmldb/api_pb.js";
import { StorageMode } from "../../gen/openmldb/common_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import type { ReplicaDir } from "./disk.js";
import { lastOffset, rowCount, slice } from "./runs.js";

/** The replication from a leader to one follower. */
export interface Link {
  /** Last entry that the follower has acknowledged; 0 until its first answer. */
  sent: bigint;
  /** True if the follower has reported its offset, where the leader starts. */
  isMatched: boolean;
}

/** One row in the memory of a tablet. */
export interface StoredRow {
  /** Its segment in a memory table; 0 for tables on disk. */
  readonly segment: number;
  readonly pk: Buffer;
  readonly ts: bigint;
  readonly row: Buffer;
}

/** The parts of a replica that a tablet takes into memory. */
export interface ReplicaParts {
  readonly tid: number;
  readonly pid: number;
  readonly dir: ReplicaDir;
  readonly role: "leader" | "follower";
  readonly state: TableState;
  readonly term: bigint;
  readonly offset: bigint;
}

/**
 * A replica in the memory of a tablet. GetTableStatus of a whole tablet is frequent and changes little,
 * so the last answer is kept and cleared by each setter.
 */
export class LoadedReplica {
  readonly tid: number;
  readonly pid: number;
  readonly dir: ReplicaDir;
  /** The leadership that it leads or follows; 0 for a follower without a leader yet. */
  term: bigint;
  /** Replication list, by endpoint; empty for a follower. */
  readonly links = new Map<Endpoint, Link>();
  /** Identity of this leadership in the entries that it writes. */
  writer: number;
  /** The last GetTableStatus answer if it is still valid. Frozen, as answers share it. */
  status: TableStatus | undefined;
  /** The rows in Traverse order, by the position of the index, if they are still valid. */
  readonly rows = new Map<number, readonly StoredRow[]>();
  #role: "leader" | "follower";
  #state: TableState;
  #offset: bigint;
  #extraRows = 0;
  #expiredTo = 0n;
  #loadedRows = 0;
  #diskUsed = 0n;

  constructor(parts: ReplicaParts, writer: number) {
    this.tid = parts.tid;
    this.pid = parts.pid;
    this.dir = parts.dir;
    this.term = parts.term;
    this.writer = writer;
    this.#role = parts.role;
    this.#state = parts.state;
    this.#offset = parts.offset;
  }

  get role(): "leader" | "follower" {
    return this.#role;
  }

  set role(role) {
    this.#role = role;
    this.status = undefined;
  }

  get state(): TableState {
    return this.#state;
  }

  set state(state) {
    this.#state = state;
    this.status = undefined;
  }

  /** Its last entry. Code that writes to its directory sets it, too. */
  get offset(): bigint {
    return this.#offset;
  }

  set offset(offset) {
    this.#offset = offset;
    this.forgetAnswers();
  }

  /**
   * Rows in memory in addition to those of the log: replicated before the load began, then loaded once
   * more.
   */
  get extraRows(): number {
    return this.#extraRows;
  }

  set extraRows(rows) {
    this.#extraRows = rows;
    this.forgetAnswers();
  }

  /** Rows with this number and smaller ones are expired and collected (TTL). */
  get expiredTo(): bigint {
    return this.#expiredTo;
  }

  set expiredTo(offset) {
    this.#expiredTo = offset;
    this.forgetAnswers();
  }

  /** Clears the kept answers. */
  forgetAnswers(): void {
    this.status = undefined;
    this.rows.clear();
  }

  /** Rows of its log that a load under way has read; the tablet counts them already. */
  get loadedRows(): number {
    return this.#loadedRows;
  }

  set loadedRows(rows) {
    this.#loadedRows = rows;
    this.status = undefined;
  }

  /** Bytes on disk when the tablet last measured them; 0 until then. */
  get diskUsed(): bigint {
    return this.#diskUsed;
  }

  set diskUsed(bytes) {
    this.#diskUsed = bytes;
    this.status = undefined;
  }
}

/** The outcome of a call to a tablet: OpenMLDB's code and message. */
export interface Outcome {
  readonly code: number;
  readonly msg: string;
}

/** The outcome of a successful call. */
export const OK: Outcome = { code: 0, msg: "ok" };
/** The nameserver has no such table, or the tablet has not loaded the replica. */
export const NO_TABLE: Outcome = { code: 100, msg: "table does not exist" };

/** True if a loaded replica answers reads and writes (also while snapshots are made or paused). */
export function isServing(replica: LoadedReplica): boolean {
  return replica.state !== TableState.kTableUndefined && replica.state !== TableState.kTableLoading;
}

/** True for a replica of a memory table. */
export function isInMemory({ dir }: LoadedReplica): boolean {
  return dir.meta.storageMode === StorageMode.kMemory;
}

/** Rows in memory, as the tablet counts them. */
export function recordCount(replica: LoadedReplica): number {
  if (!isServing(replica)) return replica.loadedRows + replica.extraRows;
  const { dir, expiredTo, extraRows } = replica;
  const kept = expiredTo === 0n ? dir.runs : slice(dir.runs, expiredTo, lastOffset(dir.runs));
  return rowCount(kept) + extraRows;
}

/** Sizes of a row and its index entry, as recorded from small tables. */
const ROW_BYTES = 102n;
const ROW_INDEX_BYTES = 206n;

/** Bytes in memory as the tablet counts them: none for tables on disk, whatever RocksDB holds. */
export function memoryBytes(replica: LoadedReplica): {
  readonly rows: bigint;
  readonly index: bigint;
} {
  const rows = isInMemory(replica) ? BigInt(recordCount(replica)) : 0n;
  return { rows: rows * ROW_BYTES, index: rows * ROW_INDEX_BYTES };
}
