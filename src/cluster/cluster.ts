import type { Clock } from "../model/clock.js";
import type {
  DiskClaim,
  Endpoint,
  FollowerList,
  Op,
  OpStatus,
  PartitionId,
  PartitionNumbers,
  ReplicaReport,
  Role,
  SchemaClaim,
  SnapshotClaim,
  StorageMode,
  TableClaim,
  TabletClaim,
  Topology,
} from "../model/cluster-state.js";
import type { RowPage, RowPosition } from "../model/rows.js";

/** Parameters of LoadTable (api.proto, TableMeta). */
export interface LoadRequest extends PartitionId {
  readonly segCount: number;
  readonly storageMode: StorageMode;
  readonly role: Role;
  /** Leadership term that followers check; 0 for a follower. */
  readonly term: bigint;
  /** The replication list of a leader; empty for a follower. */
  readonly followers: readonly Endpoint[];
}

/** Parameters of ChangeRole (api.proto, ChangeRoleRequest). */
export interface RoleRequest extends PartitionNumbers {
  readonly role: Role;
  /** Used with role leader only. */
  readonly term: bigint;
  /** The replication list of a leader; empty for a follower. */
  readonly followers: readonly Endpoint[];
}

/** Parameters of Traverse (api.proto, TraverseRequest). */
export interface TraverseRequest extends PartitionNumbers {
  /** Undefined for the first index. */
  readonly index: string | undefined;
  /** Limit of rows in the answer; at least 1, because with 0 the tablet never sets isFinish. */
  readonly limit: number;
  /** Undefined to start at the first row. */
  readonly from: RowPosition | undefined;
  /** Number of rows with the key and timestamp of `from` to skip. */
  readonly skip: number;
}

/** The flags that {@link Cluster.setPartitionFlags} sets in a partition's record. */
export interface PartitionFlags {
  /** The only replica that is flagged leader, apart from `keepsFlag`. */
  readonly leader: Endpoint;
  /** The replicas flagged alive; all others are flagged dead. */
  readonly alive: readonly Endpoint[];
  /** Ex-leaders whose leader flag is not changed, as after ChangeLeader; none if left out. */
  readonly keepsFlag?: readonly Endpoint[] | undefined;
}

/**
 * Identity of one connection to an address. A new connection has another value. The connections of a process end
 * with it, so the same connection means the same process.
 */
export type Connection = symbol;

/** The changes that may be sent to a tablet. */
export interface Admission {
  /** The connection that this admission is valid for; another one may lead to another tablet. */
  readonly connection: Connection;
  /** Which changes may be sent to the tablet itself: all, none, or only the load of this replica. */
  readonly changes: "all" | "none" | PartitionNumbers;
}

/** A replica on a tablet's disk; the storage mode determines the directory. */
export interface OnDisk extends PartitionNumbers {
  readonly storageMode: StorageMode;
}

/**
 * The calls to one OpenMLDB cluster, named after OpenMLDB's own.
 *
 * Calls to the nameserver go to its leader. After response code 300 or if the leader is unreachable, the call reads
 * the leader from ZooKeeper again and is repeated there, within a time limit. Calls that are not safe to repeat
 * (`recoverTable` and all others that queue ops) fail with `retryable: true` instead once they may have had an
 * effect, so that the caller observes the state first.
 *
 * Every method throws only OpsError: `rejected` with `responseCode` if the peer refuses, else `unreachable`,
 * `deadline`, `no-leader`, `bad-answer` or `interrupted`.
 */
export interface Cluster {
  readonly clock: Clock;

  /** Reads ZooKeeper: the leading nameserver, the standbys, and the registered tablets. */
  topology(): Promise<Topology>;
  /**
   * The address of an endpoint: `dialled` is its entry in `map/names`, or the endpoint itself; `located` is the same
   * with the host name resolved, if it can be.
   *
   * @throws OpsError if it has no address.
   */
  addressOf(endpoint: Endpoint): Promise<{ readonly dialled: string; readonly located: string }>;
  /**
   * Reads ZooKeeper: path of the znode that registers a tablet, if no session owns it. A tablet's znode is ephemeral
   * (OpenMLDB 0.9 tablet: RegisterZK), so such a znode is a leftover, for example of a copied tree. Undefined if a
   * session owns it, or if the tablet is not registered.
   */
  leftRegistration(endpoint: Endpoint): Promise<string | undefined>;
  /** Calls one nameserver, leader or standby, to find out whether it leads. */
  nameserverRole(endpoint: Endpoint): Promise<"leads" | "stands-by">;
  /**
   * Reads ZooKeeper: the records of some tables as last written. The nameserver keeps newer offsets in memory only.
   *
   * @returns By tid; the value is undefined if there is no record, or if it cannot be parsed.
   */
  storedTables(
    tables: readonly { readonly db: string; readonly table: string; readonly tid: number }[],
  ): Promise<ReadonlyMap<number, TableClaim | undefined>>;
  showTablet(): Promise<readonly TabletClaim[]>;
  /** All tables, or with `of` the one table. */
  showTable(of?: { readonly db: string; readonly table: string }): Promise<readonly TableClaim[]>;
  /** The nameserver's configuration, such as `auto_failover` -> `true`. */
  confGet(): Promise<ReadonlyMap<string, string>>;
  confSet(key: string, value: string): Promise<void>;
  /** User databases, in the nameserver's order; the system databases are not among them. */
  showDatabase(): Promise<readonly string[]>;
  /** All ops that the nameserver lists, oldest first. */
  showOpStatus(): Promise<readonly Op[]>;
  /**
   * Flags replicas alive or not. A call for one partition is repeated after a transient failure. One that flags those
   * of a whole table not alive is not, because some partitions may have recovered in between.
   *
   * @param target Without `pid`: all replicas of the table on that endpoint.
   */
  updateTableAlive(
    target: {
      readonly db: string;
      readonly table: string;
      readonly endpoint: Endpoint;
      readonly pid?: number;
    },
    isAlive: boolean,
  ): Promise<void>;
  /** Queues an op. NOT safe to repeat; code 0 does not even mean that an op exists (protocol, section 6). */
  recoverTable(id: PartitionId, endpoint: Endpoint): Promise<void>;
  /**
   * Queues an op that makes an alive follower the leader of a new term (kChangeLeaderOP). NOT safe
   * to repeat.
   *
   * @param candidate The follower that becomes leader. `auto`: the one with the highest offset, even if the leader
   *   is alive. Undefined: the same, but refused with 309 if the leader is alive.
   */
  changeLeader(id: PartitionId, candidate: Endpoint | "auto" | undefined): Promise<void>;
  /**
   * Queues ops that take a tablet out of service: its leaders are replaced, and its other replicas are marked not
   * alive (OfflineEndpoint). NOT safe to repeat.
   *
   * @param concurrency Queues to use; undefined for the nameserver's default.
   */
  offlineEndpoint(endpoint: Endpoint, concurrency: number | undefined): Promise<void>;
  /**
   * Queues RecoverTable for every replica of a tablet that is not alive (RecoverEndpoint). NOT safe
   * to repeat.
   */
  recoverEndpoint(
    endpoint: Endpoint,
    options: {
      /** True if replicas that were leaders become leaders again. */
      readonly needRestore: boolean;
      /** Queues to use; undefined for the nameserver's default. */
      readonly concurrency: number | undefined;
    },
  ): Promise<void>;
  /** Queues ops that move followers to another tablet, one for each pid. NOT safe to repeat. */
  migrate(
    from: Endpoint,
    table: { readonly db: string; readonly table: string; readonly pids: readonly number[] },
    to: Endpoint,
  ): Promise<void>;
  /** Queues an op that creates a new follower on a tablet (AddReplicaNS). NOT safe to repeat. */
  addReplicaNS(id: PartitionId, endpoint: Endpoint): Promise<void>;
  /** Queues an op that deletes a follower from a tablet (DelReplicaNS). NOT safe to repeat. */
  delReplicaNS(id: PartitionId, endpoint: Endpoint): Promise<void>;
  /** Cancels a queued or running op (CancelOP); response code 312 (already ended) counts as done. */
  cancelOp(op: bigint): Promise<void>;
  /** Removes ended ops from the list: one, or all with a status (DeleteOP, OpenMLDB 0.8 and later). Safe to repeat. */
  deleteOp(which: { readonly op: bigint } | { readonly status: OpStatus }): Promise<void>;
  /**
   * Rewrites the leader and alive flags in the nameserver's record of a partition: reads the record, changes the two
   * flags of each replica, and writes all other fields back unchanged, unknown ones included (GetTablePartition,
   * SetTablePartition). Safe to repeat.
   */
  setPartitionFlags(id: PartitionId, flags: PartitionFlags): Promise<void>;
  /**
   * Rewrites the endpoint of a replica in the nameserver's record of a partition; all other fields stay as read
   * (GetTablePartition, SetTablePartition). The nameserver does not check the endpoint, so both tablets may be gone.
   * Safe to repeat.
   *
   * @param to The tablet that has the replica now; undefined: the replica is removed from the record.
   * @throws OpsError `refused` if the record would have no replica left, or two at `to`.
   */
  setReplicaEndpoint(id: PartitionId, endpoint: Endpoint, to: Endpoint | undefined): Promise<void>;

  /** The loaded replicas of the tablet: all, or with `of` that one only. */
  getTableStatus(endpoint: Endpoint, of?: PartitionNumbers): Promise<readonly ReplicaReport[]>;
  /** The replication list of a loaded leader; empty if it has no follower (code 134). */
  getTableFollower(endpoint: Endpoint, id: PartitionNumbers): Promise<FollowerList>;
  /** Term and offset of a replica, loaded or not. */
  getTermPair(endpoint: Endpoint, of: OnDisk): Promise<DiskClaim>;
  /** The newest snapshot on the disk of a loaded replica; undefined if it has none. */
  getManifest(endpoint: Endpoint, of: OnDisk): Promise<SnapshotClaim | undefined>;
  /** The schema of a loaded replica as its tablet has it. */
  getTableSchema(endpoint: Endpoint, id: PartitionNumbers): Promise<SchemaClaim>;
  /** Rows of one index of a loaded replica, leader or follower, in the order of the index. */
  traverse(endpoint: Endpoint, request: TraverseRequest): Promise<RowPage>;
  /** Starts loading; response code 101 (already loaded) counts as done. Safe to repeat. */
  loadTable(endpoint: Endpoint, request: LoadRequest): Promise<void>;
  /** Changes the role of a loaded replica; 102 and 103 (already in that role) count as done. Safe to repeat. */
  changeRole(endpoint: Endpoint, request: RoleRequest): Promise<void>;
  /** Adds a follower to the replication list of a loaded leader; 119 (already in it) counts as done. Safe to repeat. */
  addReplica(leader: Endpoint, id: PartitionNumbers, follower: Endpoint): Promise<void>;
  /** Removes a follower from the replication list of a loaded leader. Safe to repeat. */
  delReplica(leader: Endpoint, id: PartitionNumbers, follower: Endpoint): Promise<void>;
  /** Resets a leader from kSnapshotPaused to normal (RecoverSnapshot). */
  recoverSnapshot(endpoint: Endpoint, of: OnDisk): Promise<void>;

  /** The current connection to a tablet; undefined if there is none. */
  connection(endpoint: Endpoint): Connection | undefined;
  /**
   * Restricts the changes that are sent to a tablet from now on. A change that is not admitted fails with
   * `unidentified` (retryable) and has no effect. Without this call every change is sent.
   */
  admit(endpoint: Endpoint, admission: Admission): void;
  /**
   * Returns the same cluster for one attempt of a run. Before a call to the nameserver is repeated (the answer was
   * lost, or the leader is gone), `permit` is called, and the call fails with its error. Seconds have passed by
   * then, and another run may hold the lock.
   */
  repeatingWhile(permit: () => Promise<void>): Cluster;
  /** Calls made so far, for reports and benchmarks. */
  callCount(): number;
  close(): Promise<void>;
}
