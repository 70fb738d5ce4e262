import type { IndexClaim } from "./table-index.js";

/**
 * Name of a nameserver or tablet as the cluster knows it: `host:port`, or a server name in
 * clusters deployed with server names. Never dialled directly; see `Topology.realEndpoint`.
 */
export type Endpoint = string;

/** How a table is stored. `unknown` is what no tablet accepts; it is reported, never sent. */
export type StorageMode = "memory" | "ssd" | "hdd" | "unknown";

/** The role in which a tablet runs a replica. */
export type Role = "leader" | "follower";

/**
 * State of a loaded replica on its tablet. `undefined` is the instant between LoadTable's answer
 * and the start of loading, so it means "loading" (api.proto, TableState).
 * `other` is a value that this version of the tool does not know.
 */
export type ReplicaState =
  | "undefined"
  | "normal"
  | "loading"
  | "making-snapshot"
  | "snapshot-paused"
  | "other";

/** One partition of one table. */
export interface PartitionId {
  /** Database, or the empty string for a table without one. */
  readonly db: string;
  readonly table: string;
  readonly tid: number;
  readonly pid: number;
}

/** What the nameserver says of one replica (nameserver.proto, PartitionMeta). */
export interface ReplicaClaim {
  readonly endpoint: Endpoint;
  readonly isLeader: boolean;
  readonly isAlive: boolean;
  /** Last log entry that the nameserver saw there; undefined if it never stored one. Can be old. */
  readonly offset: bigint | undefined;
  /** Rows that the nameserver saw there; undefined if it never stored a count. Can be old. */
  readonly recordCount: bigint | undefined;
  /** Bytes of rows in memory, as old as the count; undefined if never stored. */
  readonly memoryBytes: bigint | undefined;
  /** Bytes on the tablet's disk, 0 if never stored. */
  readonly diskBytes: bigint;
}

/** One leadership: `term` began with the log entry number `offset`. */
export interface TermStart {
  readonly term: bigint;
  readonly offset: bigint;
}

/** What the nameserver says of one partition. */
export interface PartitionClaim {
  readonly pid: number;
  readonly replicas: readonly ReplicaClaim[];
  /** Oldest first; the last one is the newest leadership. Can be empty in old metadata. */
  readonly terms: readonly TermStart[];
}

/**
 * The counters from which a nameserver goes on when it starts: the last number given out. Undefined
 * where the znode is missing or holds no number.
 */
export interface StoredCounters {
  /** `table/term`. */
  readonly term: bigint | undefined;
  /** `table/table_index`. */
  readonly tableIndex: bigint | undefined;
  /** `op/op_index`. */
  readonly opIndex: bigint | undefined;
}

/** What the nameserver says of one table (nameserver.proto, TableInfo). */
export interface TableClaim {
  /** Database, or the empty string for a table without one. */
  readonly db: string;
  readonly table: string;
  readonly tid: number;
  readonly segCount: number;
  readonly storageMode: StorageMode;
  /** Replicas that each partition should have, the leader included; 0 if the record does not say. */
  readonly replicaCount: number;
  /** How rows are compressed, in OpenMLDB's word, such as `kNoCompress`. */
  readonly compressType: string;
  /** A digest of the columns; undefined if the record has none. */
  readonly columns?: string | undefined;
  readonly partitions: readonly PartitionClaim[];
}

/** What a tablet says of one replica that it has loaded (api.proto, TableStatus). */
export interface ReplicaReport {
  readonly tid: number;
  readonly pid: number;
  /** Undefined if the tablet sent none, or one that this version of the tool does not know. */
  readonly role: Role | undefined;
  readonly state: ReplicaState;
  readonly offset: bigint;
  readonly recordCount: bigint;
  /** Bytes of rows in memory. */
  readonly memoryBytes: bigint;
  /** Bytes of indexes in memory. */
  readonly indexBytes: bigint;
  /** Bytes on disk. */
  readonly diskBytes: bigint;
  /** The table's name as the tablet has it; absent if it sent none. */
  readonly table?: string | undefined;
}

/** The schema of a loaded replica as its tablet has it (api.proto, GetTableSchemaResponse). */
export interface SchemaClaim {
  readonly table: string;
  /** Database, or the empty string for a table without one. */
  readonly db: string;
  /** A digest of the columns, as the record's; undefined if the tablet names none. */
  readonly columns: string | undefined;
  /** Segments of a memory table, over which the keys are spread; 0 if the tablet does not say. */
  readonly segCount: number;
  /** The indexes in the order of the table, deleted ones included; empty if the tablet names none. */
  readonly indexes: readonly IndexClaim[];
}

/**
 * What a tablet tells of a replica whether it is loaded or not (api.proto, GetTermPairResponse).
 * Loaded: the replicator's own term and offset. Not loaded: those of the snapshot on its disk, 0 and
 * 0 without one; the binlog is not counted, so the offset is the least that loading can bring.
 */
export interface DiskClaim {
  readonly isLoaded: boolean;
  readonly isLeader: boolean;
  readonly term: bigint;
  readonly offset: bigint;
}

/** A snapshot on a tablet's disk (api.proto, Manifest). */
export interface SnapshotClaim {
  /** Last log entry that it holds. */
  readonly offset: bigint;
  readonly term: bigint;
  /** Rows in it. */
  readonly recordCount: bigint;
}

/** What the nameserver says of one tablet (nameserver.proto, TabletStatus). */
export interface TabletClaim {
  readonly endpoint: Endpoint;
  readonly isHealthy: boolean;
  /** The nameserver's own word, for showing. */
  readonly state: string;
  /** Milliseconds since the state last changed. */
  readonly ageMs: bigint;
  /** Where a tablet with a server name is dialled; empty without server names or if not known. */
  readonly realEndpoint: string;
}

/** One tablet, as ZooKeeper, the nameserver and the tablet itself report it. */
export interface TabletView {
  readonly endpoint: Endpoint;
  /** Undefined if the nameserver does not know it (never registered since the nameserver leads). */
  readonly claim: TabletClaim | undefined;
  /** Whether ZooKeeper holds its ephemeral node. */
  readonly isRegistered: boolean;
  /** What it has loaded, by {@link replicaKey}; undefined if it did not answer. */
  readonly reports: ReadonlyMap<string, ReplicaReport> | undefined;
  /** Why it did not answer; undefined if it did. */
  readonly silence: string | undefined;
  /** How it was found out that it is not the tablet of that name; absent if nothing speaks against it. */
  readonly mismatch?: string | undefined;
  /** What is dialled for it, as `map/names` says; absent if it was not looked up. */
  readonly address?: string | undefined;
  /**
   * With a tablet that does not answer: the znode that registers it, if that belongs to no session and was
   * therefore left behind.
   */
  readonly leftRegistration?: string | undefined;
  /**
   * With a tablet that is not registered and has replicas on record: registered tablets that may be
   * the same one at another address. See `moveCandidates`.
   */
  readonly mayBeAt?: readonly Endpoint[] | undefined;
  /** Whether the operator has said that it will not come back (`--lost`). */
  readonly isLost?: boolean | undefined;
}

/** A leader's replication list (api.proto, GetTableFollowerResponse). */
export interface FollowerList {
  /** The leader's own last entry at that moment. */
  readonly offset: bigint;
  /** Last entry that each follower has acknowledged, by endpoint. */
  readonly followers: ReadonlyMap<Endpoint, bigint>;
}

/** State of an op at the nameserver (api.proto, TaskStatus). `other`: unknown to this version. */
export type OpStatus = "inited" | "doing" | "done" | "failed" | "canceled" | "other";

/** One op of the nameserver (nameserver.proto, OPStatus). */
export interface Op {
  readonly id: bigint;
  /** OPType's name, such as `kRecoverTableOP`. */
  readonly type: string;
  readonly status: OpStatus;
  readonly db: string;
  readonly table: string;
  readonly pid: number;
  /** TaskType's name of the task in progress, `-` if none. */
  readonly task: string;
  /** Seconds since the epoch; 0 means not yet. */
  readonly startTime: bigint;
  readonly endTime: bigint;
}

/** The nameservers and tablets of the cluster, as ZooKeeper has them. */
export interface Topology {
  /** The cluster's root path in ZooKeeper. */
  readonly rootPath: string;
  readonly leader: Endpoint;
  readonly standbys: readonly Endpoint[];
  /** Tablets with a live session; nearline tablets are left out. */
  readonly tablets: readonly Endpoint[];
}

/** Everything one observation brought, before it is judged. */
export interface ClusterState {
  readonly topology: Topology;
  readonly autoFailover: boolean;
  readonly tablets: ReadonlyMap<Endpoint, TabletView>;
  readonly tables: readonly TableClaim[];
  /** Replication lists by `followerKey(endpoint, tid, pid)`; absent where it was not asked or not answered. */
  readonly followers: ReadonlyMap<string, FollowerList>;
  /**
   * Snapshots on disk of replicas that are not loaded, by `followerKey(endpoint, tid, pid)`: term and
   * offset of the last entry, 0 and 0 without one. Absent where it was not asked or not answered.
   */
  readonly snapshots?: ReadonlyMap<string, TermStart> | undefined;
  /**
   * Records in ZooKeeper, by tid, of tables with a leader that cannot be asked; undefined as a value
   * if there is none that can be read. Other tables are absent.
   */
  readonly stored?: ReadonlyMap<number, TableClaim | undefined> | undefined;
  /** What earlier runs knew that a partition's replicas must hold, by {@link replicaKey}. */
  readonly remembered?: ReadonlyMap<string, LowerBounds> | undefined;
  readonly ops: readonly Op[];
}

/** Key of a replica within one tablet, and of a partition within the cluster. */
export function replicaKey(id: { readonly tid: number; readonly pid: number }): string {
  return `${id.tid}/${id.pid}`;
}

/** Key of a replica in the whole cluster. */
export function followerKey(
  endpoint: Endpoint,
  id: { readonly tid: number; readonly pid: number },
): string {
  return `${id.tid}/${id.pid}@${endpoint}`;
}

/** An op that has not ended. */
export function isOpActive(op: Op): boolean {
  return op.status === "inited" || op.status === "doing";
}

/**
 * Log entries that were seen once and are part of the surviving history, by replica. They hold until
 * a leadership newer than `term` begins: an election gives up what it gives up.
 */
export interface LowerBounds {
  /** The newest leadership when they were taken; 0 if the partition had no history. */
  readonly term: bigint;
  readonly offsets: ReadonlyMap<Endpoint, bigint>;
  /**
   * Where leaders on lost tablets were seen last, proven to be fresh, by endpoint: they hold no more. Absent if
   * none was. The proof is gone as soon as the record of any partition of the table is written.
   */
  readonly lastOfLost?: ReadonlyMap<Endpoint, bigint> | undefined;
  /** `keptName` of the partition when they were kept; undefined if they are of this run. */
  readonly partition?: string;
  /**
   * Replicas whose logs nothing proves to be prefixes of the leader's, because it was chosen while the record
   * was proven to be old: each of them gets a copy of its data. Undefined: none.
   */
  readonly unproven?: ReadonlySet<Endpoint> | undefined;
}
