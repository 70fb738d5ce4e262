import type { PidList } from "./flags-operate.js";

/** How much the log tells, from least to most. */
export type LogLevel = "error" | "warn" | "info" | "debug";

/** How the result is printed. */
export type OutputFormat = "table" | "json";

/** Flags that every command knows. */
export interface GlobalFlags {
  readonly output: OutputFormat;
  readonly logLevel: LogLevel;
  /** Path of the file that log lines are appended to; undefined for none. */
  readonly logFile: string | undefined;
  /** Whether colours were switched off with `--no_color`. */
  readonly noColor: boolean;
}

/** Flags of every command that talks to a cluster. */
export interface CommonFlags extends GlobalFlags {
  /** ZooKeeper servers as `host:port`, at least one. */
  readonly zkCluster: readonly string[];
  /** Starts with `/` and does not end with it. */
  readonly zkRootPath: string;
  /** ZooKeeper auth scheme, `digest` by default; used only with `zkCert`. */
  readonly zkAuthSchema: string;
  /** `user:password` for ZooKeeper; undefined for none. Never logged. */
  readonly zkCert: string | undefined;
  /** How long connecting to ZooKeeper may take. */
  readonly zkTimeoutMs: number;
  readonly zkSessionTimeoutMs: number;
  /** OpenMLDB user; undefined for the service token. */
  readonly user: string | undefined;
  /** Password of `user`, read from `--password_file` or the environment; "" if none was given. */
  readonly password: string;
  /** Deadline of one call to a nameserver or tablet. */
  readonly rpcTimeoutMs: number;
  /** Calls to the nameserver in flight at once, 1..1000. */
  readonly nsConcurrency: number;
}

/** Flags of every command that keeps or reads journals of runs. */
export interface StateFlags {
  /** Folder of the journals; undefined for the default, see `defaultStateDir`. */
  readonly stateDir: string | undefined;
}

/** Flags of every command that changes a cluster. */
export interface LockFlags {
  /** How long to wait until another run has ended; 0: not at all. */
  readonly waitLockMs: number;
}

/** Flags of every command that plans before it changes anything. */
export interface PlanFlags {
  /** How partitions are brought back; undefined for the default, or for that of the plan. */
  readonly method: "direct" | "documented" | undefined;
  /** Whether the plan is only shown. */
  readonly dryRun: boolean;
  /** With `dryRun`: whether the exit code tells that something is to be done. */
  readonly detailedExitcode: boolean;
  /** File that the plan is saved in, which must not exist; nothing is changed then. */
  readonly planOut: string | undefined;
  /** File of the plan to execute. */
  readonly apply: string | undefined;
  /** Whether the question before the first change is taken as answered. */
  readonly yes: boolean;
  /** Whether the question is an error. */
  readonly noInput: boolean;
}

/** Flags of `recoverdata`. */
export interface RecoverDataFlags extends CommonFlags, StateFlags, LockFlags, PlanFlags {
  /** Whether auto_failover is switched off again if somebody switches it on in the middle. */
  readonly keepOff: boolean;
  /** Whether to look for a run that did not end well, and to continue it. */
  readonly resume: boolean;
  /** The only database to recover; undefined for all. */
  readonly db: string | undefined;
  /** Partitions worked on at the same time, 1..10000. */
  readonly concurrency: number;
  /** File that the whole report is written to as JSON; undefined for none. */
  readonly reportFile: string | undefined;
  /** Replicas that one tablet loads at the same time, 1..64. */
  readonly loadsPerTablet: number;
  /** Partitions, as `db.table:pid`, in which something may be given up. */
  readonly acceptDataLoss: readonly string[];
  /** The replica that leads then, one for each of `acceptDataLoss`, in the same order. */
  readonly leader: readonly string[];
  /** How often a failed op is tried again, 0..20. */
  readonly opRetries: number;
  /** How long one op of the nameserver may stay in the same task. */
  readonly opTimeoutMs: number;
  /** Whether an op that stands still for longer than that is cancelled. */
  readonly cancelStuck: boolean;
  /** How long a loading replica may show no change. */
  readonly stallTimeoutMs: number;
  /** How long the whole run may take; 0 for no limit. */
  readonly timeoutMs: number;
}

/** Flags of `recovertable`. */
export interface RecoverTableFlags extends RecoverDataFlags {
  readonly table: string;
  readonly pids: PidList;
  /** The only tablet whose replicas are recovered; undefined for all. */
  readonly endpoint: string | undefined;
  /** Whether healthy followers are marked dead and recovered too. */
  readonly isForced: boolean;
}

/** Flags of `verify`. */
export interface VerifyFlags extends CommonFlags {
  /** The only database to look at; undefined for all. */
  readonly db: string | undefined;
  /** The only table to look at; undefined for all. */
  readonly table: string | undefined;
}

/** Flags of `inspect`. */
export interface InspectFlags extends VerifyFlags {
  /** Pause between two looks; undefined to look once. */
  readonly watchMs: number | undefined;
  /** Log entries that a follower may lack before that is worth a warning of its own. */
  readonly maxLag: number;
}

/** Flags of `confget`. */
export interface ConfGetFlags extends CommonFlags {
  /** The only key to show; undefined for all. */
  readonly key: string | undefined;
}

/** Flags of `confset`. */
export interface ConfSetFlags
  extends CommonFlags,
    StateFlags,
    LockFlags,
    Pick<PlanFlags, "dryRun"> {
  readonly key: string;
  readonly value: string;
}

/** Flags of `restore`. */
export interface RestoreFlags
  extends CommonFlags,
    StateFlags,
    LockFlags,
    Pick<PlanFlags, "dryRun"> {}

/** Flags of `history`. */
export interface HistoryFlags
  extends GlobalFlags,
    StateFlags,
    Pick<CommonFlags, "zkAuthSchema" | "zkCert" | "zkTimeoutMs" | "zkSessionTimeoutMs"> {
  /** The run to show; undefined for the list of all runs. */
  readonly id: string | undefined;
  /** ZooKeeper servers whose runs are shown too; empty for none. */
  readonly zkCluster: readonly string[];
  readonly zkRootPath: string | undefined;
}

/** Flags of `sandbox`. */
export interface SandboxFlags extends GlobalFlags {
  readonly tablets: number;
  readonly nameservers: number;
  readonly tables: number;
  readonly partitions: number;
  readonly replicas: number;
  /** Rows put into each partition before the cluster is said to be ready. */
  readonly rows: number;
  readonly seed: number;
  /** Virtual milliseconds per real millisecond; 1 is the pace of a real cluster. */
  readonly speed: number;
  /** Path of a recording to boot from; undefined for a generated cluster. */
  readonly from: string | undefined;
  /** Port of the embedded ZooKeeper; 0 for a free one. */
  readonly port: number;
  /** How many of the tables are stored on HDD. */
  readonly hddTables: number;
  /** How many of the tables have one replica only. */
  readonly singleReplicaTables: number;
  /** Whether the cluster is deployed with server names instead of addresses. */
  readonly serverNames: boolean;
  readonly autoFailover: boolean;
  /** A real ZooKeeper to use, as `host:port`; empty for the embedded one. */
  readonly zkCluster: readonly string[];
  readonly zkRootPath: string;
}
