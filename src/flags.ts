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
}

/** Flags of `recoverdata`. */
export interface RecoverDataFlags extends CommonFlags {
  /** The only database to recover; undefined for all. */
  readonly db: string | undefined;
  /** Partitions worked on at the same time, 1..10000. */
  readonly concurrency: number;
  /** Replicas that one tablet loads at the same time, 1..64. */
  readonly loadsPerTablet: number;
  /** How often a failed op is tried again, 0..20. */
  readonly opRetries: number;
  /** How long one op of the nameserver may stay in the same task. */
  readonly opTimeoutMs: number;
  /** How long a loading replica may show no change. */
  readonly stallTimeoutMs: number;
  /** How long the whole run may take; 0 for no limit. */
  readonly timeoutMs: number;
}

/** Flags of `inspect`. */
export interface InspectFlags extends CommonFlags {
  /** The only database to look at; undefined for all. */
  readonly db: string | undefined;
}

/** Flags of `confget`. */
export interface ConfGetFlags extends CommonFlags {
  /** The only key to show; undefined for all. */
  readonly key: string | undefined;
}

/** Flags of `confset`. */
export interface ConfSetFlags extends CommonFlags {
  readonly key: string;
  readonly value: string;
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
