import type { Endpoint } from "../../model/cluster-state.js";
import type { ZnodeTree } from "../znode-tree.js";
import type { IndexSpec } from "./indexes.js";
import type { SandboxClock } from "./virtual-clock.js";

/** One process of the model: its endpoint and its address. */
export interface ProcessSpec {
  /** `host:port`, or a server name in a cluster with server names. */
  readonly endpoint: Endpoint;
  /** What callers dial; the same as `endpoint` without server names. */
  readonly address: string;
}

/**
 * Times in milliseconds of the model's clock. The defaults are OpenMLDB's own (0.9, shipped
 * configuration) if it has a flag, else values observed on a real cluster.
 */
export interface ModelOptions {
  /** From a call to its answer. */
  readonly latencyMs: number;
  /** How long ZooKeeper keeps the nodes of a killed process (zk_session_timeout). */
  readonly sessionTimeoutMs: number;
  /** The same for nameservers; together with the takeover it gives the observed 8 s. */
  readonly nameserverSessionMs: number;
  /** From acquiring the lock to answering as leader. */
  readonly takeoverMs: number;
  /** How often a supervisor tries to start a tablet whose old node still exists. */
  readonly supervisorMs: number;
  /** get_task_status_interval: how often the nameserver polls tablets about ops. */
  readonly taskPollMs: number;
  /** get_table_status_interval: refresh of offsets in ShowTable. */
  readonly tableStatusMs: number;
  /** One step of an op that the nameserver runs itself. */
  readonly opStepMs: number;
  /** Time a replica spends in kTableLoading: `loadBaseMs` + rows * `loadRowMs`. */
  readonly loadBaseMs: number;
  readonly loadRowMs: number;
  /** task_pool_size: concurrent loads of one tablet. */
  readonly loadThreads: number;
  /** How often a leader sends new entries. */
  readonly replicationMs: number;
  /** How often a leader retries a follower that does not answer. */
  readonly replicationRetryMs: number;
  /** tablet_heartbeat_timeout: auto_failover acts on a tablet gone for this long. */
  readonly heartbeatTimeoutMs: number;
  /** tablet_offline_check_interval. */
  readonly offlineCheckMs: number;
  /** name_server_task_concurrency: default number of op queues in use. */
  readonly taskConcurrency: number;
  /** name_server_task_max_concurrency: number of op queues. */
  readonly taskConcurrencyMax: number;
  /** make_snapshot_threshold_offset: fewer new entries than this make no snapshot. */
  readonly snapshotThreshold: bigint;
  /**
   * binlog_sync_to_disk_interval: entries written within this time can be lost in a power failure.
   */
  readonly binlogFlushMs: number;
  /** Probability (0 to 1) that a kRecoverTableOP ends kFailed at kDelReplica, as it does under load. */
  readonly recoverFailure: number;
  /** True if auto_failover is on in a new cluster. */
  readonly autoFailover: boolean;
}

/** The defaults of {@link ModelOptions}. */
export const MODEL_DEFAULTS: ModelOptions = {
  latencyMs: 1,
  sessionTimeoutMs: 10_000,
  nameserverSessionMs: 6_000,
  takeoverMs: 2_000,
  supervisorMs: 1_000,
  taskPollMs: 2_000,
  tableStatusMs: 2_000,
  opStepMs: 5,
  loadBaseMs: 20,
  loadRowMs: 0.01,
  loadThreads: 3,
  replicationMs: 100,
  replicationRetryMs: 1_000,
  heartbeatTimeoutMs: 60_000,
  offlineCheckMs: 1_000,
  taskConcurrency: 2,
  taskConcurrencyMax: 8,
  snapshotThreshold: 100_000n,
  binlogFlushMs: 20_000,
  recoverFailure: 0,
  autoFailover: false,
};

/** The parts of a model. */
export interface ModelConfig {
  readonly clock: SandboxClock;
  /** The seed of everything random. */
  readonly seed: number;
  /** The znodes. They may contain a cluster: the nameservers then rebuild it. */
  readonly tree: ZnodeTree;
  /** `zk_root_path`; default `/openmldb`. */
  readonly root?: string;
  readonly tablets: readonly ProcessSpec[];
  readonly nameservers: readonly ProcessSpec[];
  /** True if endpoints are server names, to be looked up in `map/names`. */
  readonly serverNames?: boolean;
  readonly options?: Partial<ModelOptions>;
}

/** The parameters of {@link SandboxModel.createTable}. */
export interface TableSpec {
  /** Database, or the empty string for a table without one. */
  readonly db: string;
  readonly table: string;
  readonly partitions: number;
  /** Leader included; at most the number of tablets. */
  readonly replicas: number;
  /** Default memory. */
  readonly storageMode?: "memory" | "ssd" | "hdd";
  /** Default one, whose rows never expire. */
  readonly indexes?: readonly IndexSpec[];
}

/**
 * Selects partitions for a put or a count; absent fields match all. Without a filter, system databases
 * are skipped.
 */
export interface PartitionFilter {
  readonly db?: string;
  readonly table?: string;
  readonly pid?: number;
}

/** The result of a put for one partition. */
export interface PutResult {
  readonly db: string;
  readonly table: string;
  readonly pid: number;
  /** Rows acknowledged; 0 if refused. */
  readonly accepted: number;
  /** The tablet that took the rows; `refused` is the reason if none did. */
  readonly leader: Endpoint | undefined;
  readonly refused: string | undefined;
}

/** Rows of one replica. */
export interface ReplicaRows {
  readonly endpoint: Endpoint;
  /** True if its tablet runs and serves it. */
  readonly isLoaded: boolean;
  /** Role it is loaded in. */
  readonly role: "leader" | "follower" | undefined;
  /** Rows in its log (snapshot and binlog), loaded or not. */
  readonly held: number;
  /** Acknowledged rows among them. */
  readonly acknowledged: number;
  /** Rows in memory as its tablet counts them; more than `held` after they were loaded twice. */
  readonly counted: number | undefined;
}

/** The exact row counts of one partition. */
export interface PartitionRows {
  readonly db: string;
  readonly table: string;
  readonly tid: number;
  readonly pid: number;
  /** Rows that a leader ever acknowledged to a client. */
  readonly acknowledged: number;
  /** The tablet that serves the partition now: flagged leader and alive, and loaded as leader. */
  readonly leader: Endpoint | undefined;
  /** Acknowledged rows that the serving leader holds; undefined without one. */
  readonly served: number | undefined;
  /** Acknowledged rows that no log of any replica has. */
  readonly lost: number;
  readonly replicas: readonly ReplicaRows[];
}

/** One line of the model's event log, for comparing runs and for reading. */
export interface ModelEvent {
  /** Milliseconds of the model's clock. */
  readonly at: number;
  readonly what: string;
}

/** A call without an answer. */
export class ModelFailure extends Error {
  /**
   * `refused`: nothing listens there; `reset`: the connection broke, and the call may have taken
   * effect; `unimplemented`: the process does not have the method.
   */
  readonly kind: "refused" | "reset" | "unimplemented";

  constructor(kind: "refused" | "reset" | "unimplemented", address: string) {
    super(`${kind}: ${address}`);
    this.name = "ModelFailure";
    this.kind = kind;
  }
}
