import type { Clock } from "../model/clock.js";
import type {
  DiskClaim,
  Endpoint,
  FollowerList,
  Op,
  OpStatus,
  PartitionId,
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

/** What LoadTable needs to know (api.proto, TableMeta). */
export interface LoadRequest extends PartitionId {
  readonly segCount: number;
  readonly storageMode: StorageMode;
  readonly role: Role;
  /** Leadership term that followers check; 0 for a follower. */
  readonly term: bigint;
  /** The replication list of a leader; empty for a follower. */
  readonly followers: readonly Endpoint[];
}

/** What ChangeRole needs to know (api.proto, ChangeRoleRequest). */
export interface RoleRequest {
  readonly tid: number;
  readonly pid: number;
  readonly role: Role;
  /** Used with role leader only. */
  readonly term: bigint;
  /** The replication list of a leader; empty for a follower. */
  readonly followers: readonly Endpoint[];
}

/** Which rows to read (api.proto, TraverseRequest). */
export interface TraverseRequest {
  readonly tid: number;
  readonly pid: number;
  /** Undefined for the first index. */
  readonly index: string | undefined;
  /** Rows in the answer, at most; at least 1, as with 0 the tablet never says that it is finished. */
  readonly limit: number;
  /** Undefined to begin with the first row. */
  readonly from: RowPosition | undefined;
  /** How many rows with the key and timestamp of `from` to skip. */
  readonly skip: number;
}

/** What {@link Cluster.setPartitionFlags} makes of a partition's record. */
export interface PartitionFlags {
  /** The one replica flagged leader, beside `keepsFlag`. */
  readonly leader: Endpoint;
  /** The replicas flagged alive; all others are flagged dead. */
  readonly alive: readonly Endpoint[];
  /** Ex-leaders that stay flagged leader if they are, as ChangeLeader leaves them; none if left out. */
  readonly keepsFlag?: readonly Endpoint[] | undefined;
}

/**
 * One connection to an address. One that is made anew is another value: a process that ends takes its
 * connections with it, so behind the same one is the same process.
 */
export type Connection = symbol;

/** Which changes reach a tablet. */
export interface Admission {
  /** Over which connection: behind another one may be another tablet. */
  readonly connection: Connection;
  /** Of the changes sent to the tablet itself: all, none, or the load of this replica alone. */
  readonly changes: "all" | "none" | { readonly tid: number; readonly pid: number };
}

/** Which replica on a tablet's disk; the storage mode tells the tablet where to look. */
export interface OnDisk {
  readonly tid: number;
  readonly pid: number;
  readonly storageMode: StorageMode;
}

/**
 * What the tool may ask of, and do to, one OpenMLDB cluster, in OpenMLDB's own verbs.
 *
 * Calls to the nameserver go to its leader: an answer 300 or an unreachable leader makes the call
 * read the leader from ZooKeeper again and go on there, within a bound. Calls that are not safe to
 * repeat (`recoverTable` and all others that queue ops) fail with `retryable: true` instead, once they may have had an effect:
 * the caller looks at the state before asking again.
 *
 * Every method throws only OpsError: `rejected` with `responseCode` if the peer says no,
 * `unreachable`, `deadline`, `no-leader`, `bad-answer` or `interrupted` otherwise.
 */
export interface Cluster {
  readonly clock: Clock;

  /** Reads ZooKeeper: the leading nameserver, the standbys, and the registered tablets. */
  topology(): Promise<Topology>;
  /**
   * Where an endpoint leads: the address that is dialled (its entry in `map/names`, or the endpoint
   * itself), and the same with its host name looked up, where that is possible.
   *
   * @throws OpsError if there is no address for it.
   */
  addressOf(endpoint: Endpoint): Promise<{ readonly dialled: string; readonly located: string }>;
  /**
   * Reads ZooKeeper: the znode that registers a tablet, if it belongs to no session. A tablet's own goes
   * away with its session (OpenMLDB 0.9 tablet: RegisterZK), so such a znode was left behind, by a copied
   * tree for instance. Undefined if it belongs to a session, or if the tablet is not registered.
   */
  leftRegistration(endpoint: Endpoint): Promise<string | undefined>;
  /** Asks one nameserver itself, leader or not, whether it leads; it answers either way if it is well. */
  askNameserver(endpoint: Endpoint): Promise<"leads" | "stands-by">;
  /**
   * Reads ZooKeeper: the records of some tables as they were last written there. The nameserver keeps
   * newer offsets in its memory only.
   *
   * @returns By tid; undefined as a value where there is no record, or none that can be read.
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
   * Flags replicas alive or not. Safe to repeat for one partition; NOT for a whole table that is
   * flagged dead, whose partitions can have come back meanwhile.
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
   * @param candidate The follower that shall lead; `auto`: the one with the highest offset, whether
   *   the leader is alive or not; undefined: the same, refused with 309 if the leader is alive.
   */
  changeLeader(id: PartitionId, candidate: Endpoint | "auto" | undefined): Promise<void>;
  /**
   * Queues ops that take a tablet out of service: new leaders for its leaders, its other replicas
   * marked not alive (OfflineEndpoint). NOT safe to repeat.
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
      /** Whether replicas that led get leadership back. */
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
  /** Queues an op that makes a new follower on a tablet (AddReplicaNS). NOT safe to repeat. */
  addReplicaNS(id: PartitionId, endpoint: Endpoint): Promise<void>;
  /** Queues an op that deletes a follower from a tablet (DelReplicaNS). NOT safe to repeat. */
  delReplicaNS(id: PartitionId, endpoint: Endpoint): Promise<void>;
  /** Ends an op that is queued or running (CancelOP); "has ended already" (312) counts as done. */
  cancelOp(op: bigint): Promise<void>;
  /** Takes ended ops off the list: one, or all with a status (DeleteOP, OpenMLDB 0.8 and later). Safe to repeat. */
  deleteOp(which: { readonly op: bigint } | { readonly status: OpStatus }): Promise<void>;
  /**
   * Rewrites the leader and alive flags in the nameserver's record of a partition: reads the record,
   * changes these two flags of each replica and writes everything else back as it was, fields that
   * this version does not know included (GetTablePartition, SetTablePartition). Safe to repeat.
   */
  setPartitionFlags(id: PartitionId, flags: PartitionFlags): Promise<void>;
  /**
   * Rewrites where a replica of a partition is on record, all other fields as read (GetTablePartition,
   * SetTablePartition): the nameserver checks nothing, so that the tablets may be gone. Safe to repeat.
   *
   * @param to The tablet that has the replica now; undefined: the replica is taken off the record.
   * @throws OpsError `refused` if the record would have no replica left, or `to` twice.
   */
  setReplicaEndpoint(id: PartitionId, endpoint: Endpoint, to: Endpoint | undefined): Promise<void>;

  /** What the tablet has loaded: everything, or with `of` that replica only. */
  getTableStatus(
    endpoint: Endpoint,
    of?: { readonly tid: number; readonly pid: number },
  ): Promise<readonly ReplicaReport[]>;
  /** The replication list of a loaded leader; empty if it has no follower (code 134). */
  getTableFollower(
    endpoint: Endpoint,
    id: { readonly tid: number; readonly pid: number },
  ): Promise<FollowerList>;
  /** Term and offset of a replica, loaded or not. */
  getTermPair(endpoint: Endpoint, of: OnDisk): Promise<DiskClaim>;
  /** The newest snapshot on the disk of a loaded replica; undefined if it has none. */
  getManifest(endpoint: Endpoint, of: OnDisk): Promise<SnapshotClaim | undefined>;
  /** Name, database and columns of a loaded replica, as its tablet has them. */
  getTableSchema(
    endpoint: Endpoint,
    id: { readonly tid: number; readonly pid: number },
  ): Promise<SchemaClaim>;
  /** Rows of one index of a loaded replica, leader or follower, in the order of the index. */
  traverse(endpoint: Endpoint, request: TraverseRequest): Promise<RowPage>;
  /** Starts loading; "loaded already" (code 101) counts as done. Safe to repeat. */
  loadTable(endpoint: Endpoint, request: LoadRequest): Promise<void>;
  /** Changes the role of a loaded replica; "is that already" (102, 103) counts as done. Safe to repeat. */
  changeRole(endpoint: Endpoint, request: RoleRequest): Promise<void>;
  /** Adds a follower to the replication list of a loaded leader; "already there" (119) counts as done. Safe to repeat. */
  addReplica(
    leader: Endpoint,
    id: { readonly tid: number; readonly pid: number },
    follower: Endpoint,
  ): Promise<void>;
  /** Takes a follower off the replication list of a loaded leader. Safe to repeat. */
  delReplica(
    leader: Endpoint,
    id: { readonly tid: number; readonly pid: number },
    follower: Endpoint,
  ): Promise<void>;
  /** Puts a leader left in kSnapshotPaused back to normal. */
  recoverSnapshot(
    endpoint: Endpoint,
    of: { readonly tid: number; readonly pid: number; readonly storageMode: StorageMode },
  ): Promise<void>;

  /** The connection over which a tablet would be called now; undefined while there is none. */
  connection(endpoint: Endpoint): Connection | undefined;
  /**
   * From now on changes reach a tablet only as `admission` says: one that is on its way by then fails with
   * `unidentified` (retryable), having had no effect. Without this call every change passes.
   */
  admit(endpoint: Endpoint, admission: Admission): void;
  /**
   * The same cluster for one attempt of a run. A call to the nameserver that is to be made again, since
   * its answer got lost or the leader is gone, is made only if `permit` does not throw: seconds have passed
   * by then, and another run may be at work.
   */
  repeatingWhile(permit: () => Promise<void>): Cluster;
  /** Calls made so far, for reports and benchmarks. */
  callCount(): number;
  close(): Promise<void>;
}
