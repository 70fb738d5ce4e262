import { TableState, type TableStatus } from "../../gen/openmldb/api_pb.js";
import { StorageMode } from "../../gen/openmldb/common_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import type { ReplicaDir } from "./disk.js";
import { lastOffset, rowCount, slice } from "./runs.js";

/** How far a leader has replicated to one follower. */
export interface Link {
  /** Last entry that the follower has acknowledged; 0 until it first answered. */
  sent: bigint;
  /** Whether the follower has told its offset, which is where the leader starts. */
  isMatched: boolean;
}

/** One row in the memory of a tablet. */
export interface StoredRow {
  /** Which part of a memory table it is in; 0 for tables on disk. */
  readonly segment: number;
  readonly pk: Buffer;
  readonly ts: bigint;
  readonly row: Buffer;
}

/** What a replica is made of when a tablet takes it into memory. */
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
 * A replica in the memory of a tablet.
 *
 * A whole tablet is asked often for what GetTableStatus tells, and little of it changes in between:
 * so the last answer is kept, and each setter forgets it.
 */
export class LoadedReplica {
  readonly tid: number;
  readonly pid: number;
  readonly dir: ReplicaDir;
  /** The leadership that it leads or follows; 0 for a follower that no leader has spoken to. */
  term: bigint;
  /** Replication list, by endpoint; empty for a follower. */
  readonly links = new Map<Endpoint, Link>();
  /** Identity of this leadership in the entries that it writes. */
  writer: number;
  /** What GetTableStatus last answered about it, if that is still true. Frozen, as answers share it. */
  status: TableStatus | undefined;
  /** The rows as Traverse last walked them, by the place of the index, if they are still the same. */
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

  /** Last entry that it has. Code that writes to its directory sets it, too. */
  get offset(): bigint {
    return this.#offset;
  }

  set offset(offset) {
    this.#offset = offset;
    this.forgetAnswers();
  }

  /** Rows in memory beyond those of the log: replicated before the load began, then loaded once more. */
  get extraRows(): number {
    return this.#extraRows;
  }

  set extraRows(rows) {
    this.#extraRows = rows;
    this.forgetAnswers();
  }

  /** Rows with this number and smaller ones are expired: the tablet has thrown them away (TTL). */
  get expiredTo(): bigint {
    return this.#expiredTo;
  }

  set expiredTo(offset) {
    this.#expiredTo = offset;
    this.forgetAnswers();
  }

  /** What was answered about it is no longer true. */
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

/** Whether it is of a memory table. */
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
