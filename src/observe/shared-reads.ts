import type { Cluster } from "../cluster/cluster.js";
import type {
  Endpoint,
  FollowerList,
  Op,
  PartitionNumbers,
  ReplicaReport,
  TableClaim,
  TabletClaim,
} from "../model/cluster-state.js";
import type { SharedPoll, SharedRead } from "./coalesced-calls.js";

/** Identifies a table. */
export interface TableName {
  readonly db: string;
  readonly table: string;
}

/**
 * The reads that all partitions of a run share: one call serves all callers that need it at the same time.
 */
export interface SharedReads {
  readonly cluster: Cluster;
  /** Aborted when the run is to stop. */
  readonly signal: AbortSignal;
  /**
   * The replicas that a tablet has loaded, by `replicaKey`; one call serves all partitions on it.
   */
  readonly statusOf: (endpoint: Endpoint) => SharedPoll<ReadonlyMap<string, ReplicaReport>>;
  /** The replication list of a leader: one call serves all its followers. */
  readonly listOf: (leader: Endpoint, id: PartitionNumbers) => SharedPoll<FollowerList>;
  /** The nameserver's record of a table; undefined if there is no table of that name. */
  readonly recordOf: (table: TableName) => SharedRead<TableClaim | undefined>;
  /** The nameserver's ops. */
  readonly ops: SharedPoll<readonly Op[]>;
  /** Tablets declared lost by the operator. */
  readonly lost: ReadonlySet<Endpoint>;
  /** The nameserver's list of tablets. */
  readonly tablets: SharedRead<ReadonlyMap<Endpoint, TabletClaim>>;
  /** The tablets that are registered in ZooKeeper. */
  readonly registered: SharedRead<ReadonlySet<Endpoint>>;
  /**
   * Registered tablets whose registration was left behind, with its znode; see
   * `Cluster.leftRegistration`.
   */
  readonly leftRegistrations: SharedRead<ReadonlyMap<Endpoint, string>>;
}
