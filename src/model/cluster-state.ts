/**
 * Name of a nameserver or tablet within the cluster: `host:port`, or a server name in clusters deployed with
 * server names. It is resolved to an address before it is dialled (`map/names` in ZooKeeper).
 */
export type Endpoint = string;

/** How a table is stored. `unknown` (a mode that no tablet accepts) is reported, never sent. */
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

/** One replica in the nameserver's record (nameserver.proto, PartitionMeta). */
export interface ReplicaClaim {
  readonly endpoint: Endpoint;
  readonly isLeader: boolean;
  readonly isAlive: boolean;
  /** The replica's last log entry, as the nameserver last saw it; undefined if never stored. Can be stale. */
  readonly offset: bigint | undefined;
  /** Rows, as the nameserver last saw them; undefined if never stored. Can be stale. */
  readonly recordCount: bigint | undefined;
  /** Bytes of rows in memory, as stale as the count; undefined if never stored. */
  readonly memoryBytes: bigint | undefined;
  /** Bytes on the tablet's disk, 0 if never stored. */
  readonly diskBytes: bigint;
}

/** One leadership: `term` began with the log entry number `offset`. */
export interface TermStart {
  readonly term: bigint;
  readonly offset: bigint;
}

/** One partition in the nameserver's record. */
export interface PartitionClaim {
  readonly pid: number;
  readonly replicas: readonly ReplicaClaim[];
  /** Oldest first; the last one is the newest leadership. Can be empty in old metadata. */
  readonly terms: readonly TermStart[];
}

/**
 * The counters in ZooKeeper that a nameserver continues from when it starts: the last number assigned.
 * Undefined where the znode is missing or holds no number.
 */
export interface StoredCounters {
  /** `table/term`. */
  readonly term: bigint | undefined;
  /** `table/table_index`. */
  readonly tableIndex: bigint | undefined;
  /** `op/op_index`. */
  readonly opIndex: bigint | undefined;
}

/** One table in the nameserver's record (nameserver.proto, TableInfo). */
export interface TableClaim {
  /** Database, or the empty string for a table without one. */
  readonly db: string;
  readonly table: string;
  readonly tid: number;
  readonly segCount: number;
  readonly storageMode: StorageMode;
  /** Replicas that each partition should have, the leader included; 0 if the record has no number. */
  readonly replicaCount: number;
  /** Compression of rows as OpenMLDB names it, such as `kNoCompress`. */
  readonly compressType: string;
  /** A digest of the columns; undefined if the record has none. */
  readonly columns?: string | undefined;
  readonly partitions: readonly PartitionClaim[];
}

/** A tablet's report on one replica that it has loaded (api.proto, TableStatus). */
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

/** When the rows of an index expire (common.proto, TTLSt). */
export interface Ttl {
  /** `unknown`: a kind that this version of the tool does not know. */
  readonly kind: "absolute" | "latest" | "absandlat" | "absorlat" | "unknown";
  /** Age at which a row expires, in milliseconds; 0: never. */
  readonly absMs: bigint;
  /** Number of newest rows that are kept for each key; 0: all. */
  readonly latest: bigint;
}

/** An index of a table (common.proto, ColumnKey). */
export interface IndexClaim {
  readonly name: string;
  /** The columns of the key, joined as the tablet joins them: indexes over the same columns share their keys. */
  readonly columns: string;
  readonly isDeleted: boolean;
  readonly ttl: Ttl;
}

/** The schema of a loaded replica as its tablet reports it (api.proto, GetTableSchemaResponse). */
export interface SchemaClaim {
  readonly table: string;
  /** Database, or the empty string for a table without one. */
  readonly db: string;
  /** A digest of the columns, comparable with the record's; undefined if the tablet names none. */
  readonly columns: string | undefined;
  /** Segments of a memory table, over which the keys are spread; 0 if the tablet sends none. */
  readonly segCount: number;
  /** The indexes in the order of the table, deleted ones included; empty if the tablet names none. */
  readonly indexes: readonly IndexClaim[];
}

/**
 * Term and offset of a replica, loaded or not (api.proto, GetTermPairResponse).
 * Loaded: those of the replicator. Not loaded: those of the snapshot on its disk, 0 and 0 without one. The
 * binlog is not counted, so the offset is a lower bound of what loading yields.
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

/** The nameserver's status of one tablet (nameserver.proto, TabletStatus). */
export interface TabletClaim {
  readonly endpoint: Endpoint;
  readonly isHealthy: boolean;
  /** The state as the nameserver names it, for display. */
  readonly state: string;
  /** Milliseconds since the state last changed. */
  readonly ageMs: bigint;
  /** The address of a tablet with a server name; empty without server names or if not known. */
  readonly realEndpoint: string;
}

/** One tablet, as ZooKeeper, the nameserver and the tablet itself report it. */
export interface TabletView {
  readonly endpoint: Endpoint;
  /** Undefined if the nameserver does not know it (it never registered since the nameserver became leader). */
  readonly claim: TabletClaim | undefined;
  /** True if ZooKeeper holds its ephemeral node. */
  readonly isRegistered: boolean;
  /** The replicas that it has loaded, by {@link replicaKey}; undefined if it did not answer. */
  readonly reports: ReadonlyMap<string, ReplicaReport> | undefined;
  /** Why it did not answer; undefined if it did. */
  readonly silence: string | undefined;
  /** Why it is not the tablet of that name, in words; absent if no check contradicts its identity. */
  readonly mismatch?: string | undefined;
  /** The address that is dialled, from `map/names`; absent if it was not looked up. */
  readonly address?: string | undefined;
  /** If it does not answer: path of the znode that registers it, if no session owns that znode (a leftover). */
  readonly leftRegistration?: string | undefined;
  /**
   * If it is not registered and has replicas on record: registered tablets that may be the same one at
   * another address. See `moveCandidates`.
   */
  readonly mayBeAt?: readonly Endpoint[] | undefined;
  /** True if the operator declared it lost (`--lost`). */
  readonly isLost?: boolean | undefined;
}

/** A leader's replication list (api.proto, GetTableFollowerResponse). */
export interface FollowerList {
  /** The leader's own last entry when it answered. */
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

/** The nameservers and tablets that are registered in ZooKeeper. */
export interface Topology {
  /** The cluster's root path in ZooKeeper. */
  readonly rootPath: string;
  readonly leader: Endpoint;
  readonly standbys: readonly Endpoint[];
  /** Tablets with a live session; nearline tablets are left out. */
  readonly tablets: readonly Endpoint[];
}

/** The result of one observation of the cluster, before diagnosis. */
export interface ClusterState {
  readonly topology: Topology;
  readonly autoFailover: boolean;
  readonly tablets: ReadonlyMap<Endpoint, TabletView>;
  readonly tables: readonly TableClaim[];
  /** Replication lists by {@link followerKey}; absent where not requested or not answered. */
  readonly followers: ReadonlyMap<string, FollowerList>;
  /**
   * Snapshots on disk of replicas that are not loaded, by {@link followerKey}: term and offset of the last
   * entry, 0 and 0 without one. Absent where not requested or not answered.
   */
  readonly snapshots?: ReadonlyMap<string, TermStart> | undefined;
  /**
   * Records in ZooKeeper, by tid, of tables with an unreachable leader; the value is undefined if the record
   * cannot be read. Other tables are absent.
   */
  readonly stored?: ReadonlyMap<number, TableClaim | undefined> | undefined;
  /** Lower bounds of a partition's replicas that earlier runs stored, by {@link replicaKey}. */
  readonly remembered?: ReadonlyMap<string, LowerBounds> | undefined;
  readonly ops: readonly Op[];
}

/** A partition by the numbers that tablets know it by. */
export interface PartitionNumbers {
  readonly tid: number;
  readonly pid: number;
}

/** Key of a replica within one tablet, and of a partition within the cluster. */
export function replicaKey(id: PartitionNumbers): string {
  return `${id.tid}/${id.pid}`;
}

/** Key of a replica in the whole cluster. */
export function followerKey(endpoint: Endpoint, id: PartitionNumbers): string {
  return `${id.tid}/${id.pid}@${endpoint}`;
}

/** True if the op is queued or running. */
export function isOpActive(op: Op): boolean {
  return op.status === "inited" || op.status === "doing";
}

/**
 * Offsets that replicas have reached and that belong to the surviving history. They are valid until a
 * leadership newer than `term` begins, because an election can discard entries.
 */
export interface LowerBounds {
  /** The newest term when they were recorded; 0 if the partition had no history. */
  readonly term: bigint;
  readonly offsets: ReadonlyMap<Endpoint, bigint>;
  /**
   * Offsets of leaders on lost tablets that were proven to be fresh, by endpoint: these replicas hold no more.
   * Absent if there are none. They are stored because the proof is gone as soon as the record of any partition
   * of the table is written.
   */
  readonly lastOfLost?: ReadonlyMap<Endpoint, bigint> | undefined;
  /** `keptName` of the partition when they were stored; undefined if they are from this run. */
  readonly partition?: string;
  /**
   * Replicas whose logs are not proven to be prefixes of the leader's log, because the leader was chosen while
   * the record was proven to be old. Each of them gets a copy of the leader's data. Undefined: none.
   */
  readonly unproven?: ReadonlySet<Endpoint> | undefined;
  /**
   * Replicas that were flagged alive, and in which role, while no replica led the partition; see `earlierFlags` in
   * `src/policy/what-it-holds.ts`. Undefined: not known.
   */
  readonly alive?: ReadonlyMap<Endpoint, Role> | undefined;
  /**
   * Replicas that may have parted from the leader within its term, each with the last entry that it can share with
   * the leader; see `src/policy/parted-logs.ts`. Undefined: none.
   */
  readonly parted?: ReadonlyMap<Endpoint, bigint> | undefined;
}
