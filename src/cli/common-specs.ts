import { parseRootPath } from "../cluster/topology.js";
import {
  anyText,
  appendableFile,
  byteSize,
  choice,
  databaseOfTable,
  duration,
  integer,
  integerOrAll,
  oneEndpoint,
  passwordInFile,
  pidList,
  readableFile,
  replaceableFile,
  zkServers,
} from "./flag-values.js";
import { type FlagsOf, noVariable, optional, required, toggle, withDefault } from "./spec.js";

const HOUR = 3_600_000;
/** The largest time limit in milliseconds: a timer of Node.js cannot wait longer than 24.8 days. */
export const LONGEST = 24 * 24 * HOUR;

/** Flags of every command. */
export const globalSpecs = {
  /** Format of the result. */
  output: withDefault(
    ["output", "FORMAT", "stdout: table, wide, json, or ndjson (events, then the result)"],
    choice("table", "wide", "json", "ndjson"),
    "table",
  ),
  /** Log level, from least to most verbose. */
  logLevel: withDefault(
    ["log_level", "LEVEL", "log level on stderr: error, warn, info or debug"],
    choice("error", "warn", "info", "debug"),
    "info",
  ),
  /** Path of the file that log lines are appended to. */
  logFile: optional(
    ["log_file", "FILE", "append the log to this file too, as JSON lines"],
    appendableFile,
  ),
  noColor: toggle("no_color", "no colours (also: NO_COLOR in the environment)"),
};

/** Flags of every command. */
export type GlobalFlags = FlagsOf<typeof globalSpecs>;

/** Log levels, from least to most verbose. */
export type LogLevel = GlobalFlags["logLevel"];

/** Flags that select connection settings in files; `readSettings` reads the files. */
export const namedClusterSpecs = {
  /** Name of the cluster in the file; undefined if it is given by its ZooKeeper alone. */
  cluster: optional(["cluster", "NAME", "the cluster of that name in the --config file"], anyText),
  /** File of named clusters; undefined for that of `defaultConfigFile`. */
  config: {
    ...optional(["config", "FILE", "file of named clusters"], anyText),
    defaultText: "openmldb-ops/config.json of XDG",
  },
  /** Folder of an OpenMLDB installation. */
  openmldbHome: optional(
    ["openmldb_home", "FOLDER", "read ZooKeeper and root path from OpenMLDB's own conf/ there"],
    anyText,
  ),
};

/** Flags of every command that connects to a cluster. */
export const commonSpecs = {
  ...namedClusterSpecs,
  /** ZooKeeper servers as `host:port`, at least one. */
  zkCluster: required(
    ["zk_cluster", "HOST:PORT,...", "ZooKeeper servers of the cluster"],
    zkServers,
    "--zk_cluster=127.0.0.1:2181",
  ),
  /** Starts with `/` and does not end with it. */
  zkRootPath: required(
    ["zk_root_path", "PATH", "zk_root_path of the cluster's own configuration"],
    parseRootPath,
    "--zk_root_path=/openmldb",
  ),
  /** ZooKeeper auth scheme; used only with `zkCert`. */
  zkAuthSchema: withDefault(
    ["zk_auth_schema", "SCHEME", "ZooKeeper auth scheme of zk_cert"],
    anyText,
    "digest",
  ),
  /** `user:password` for ZooKeeper. Never logged. */
  zkCert: {
    ...optional(
      ["zk_cert", "USER:PASSWORD", "ZooKeeper credentials; better as OPENMLDB_OPS_ZK_CERT"],
      anyText,
    ),
    isSecret: true,
  },
  zkTimeoutMs: withDefault(
    ["zk_timeout", "TIME", "how long connecting to ZooKeeper may take"],
    duration(100, HOUR),
    "10s",
  ),
  zkSessionTimeoutMs: withDefault(
    ["zk_session_timeout", "TIME", "ZooKeeper session timeout to request"],
    duration(1000, HOUR),
    "10s",
  ),
  /** OpenMLDB user; undefined for the service token. */
  user: optional(["user", "NAME", "OpenMLDB user, if the servers check users"], anyText),
  /** Password of `user`, from the file or the environment; empty if none was given. */
  password: {
    name: "password_file",
    placeholder: "FILE",
    help: "file with the user's password (or put it in OPENMLDB_OPS_PASSWORD)",
    parse: passwordInFile,
    absent: { value: { text: "", file: undefined } },
    verbatimVariable: {
      name: "OPENMLDB_OPS_PASSWORD",
      value: (text: string) => ({ text, file: undefined }),
    },
    // Treated as a secret, because users may type the password instead of its file.
    isSecret: true,
  },
  rpcTimeoutMs: withDefault(
    ["rpc_timeout", "TIME", "how long one call to a nameserver or tablet may take"],
    duration(100, HOUR),
    "10s",
  ),
  /** The largest answer accepted from a nameserver or tablet, bytes. */
  maxAnswerBytes: withDefault(
    ["max_answer", "SIZE", "largest answer accepted from a nameserver or tablet"],
    byteSize(1024 ** 2, 1024 ** 3),
    "128M",
  ),
  nsConcurrency: withDefault(
    ["ns_concurrency", "N", "calls to the nameserver in flight at once"],
    integer(1, 1000),
    "16",
  ),
  ...globalSpecs,
};

/** Flags of every command that connects to a cluster. */
export type CommonFlags = FlagsOf<typeof commonSpecs>;

/** `--db` of commands that act on all databases without it. */
export const onlyDb = optional(["db", "NAME", "this database only"], anyText);

/** `--db` of commands that need it only if several databases have a table of that name. */
export const dbOfTable = noVariable(
  optional(
    ["db", "NAME", "the table's database; needed if several have such a table"],
    databaseOfTable,
  ),
);

/** `--table` of commands that act on one table. */
export const oneTable = noVariable(required(["table", "NAME", "the table"], anyText, "--table=t1"));

/** `--pid` of commands that act on all partitions of the table without it. */
export const onlyPids = noVariable({
  ...withDefault(
    ["pid", "LIST", "these partitions only, such as 0,2,5-7; * for all"],
    pidList,
    "*",
  ),
  isList: true,
});

/** `--endpoint` of commands that act on one tablet. */
export const oneTablet = noVariable(
  required(["endpoint", "ENDPOINT", "the tablet"], oneEndpoint, "--endpoint=127.0.0.1:10921"),
);

/** Flags of every command that writes or reads journals of runs. */
export const stateSpecs = {
  /** Folder of the journals; undefined for the default, see `defaultStateDir`. */
  stateDir: {
    ...optional(["state_dir", "FOLDER", "where the journals of runs are kept"], anyText),
    defaultText: "~/.local/state/openmldb-ops",
  },
};

/** Flags of every command that writes or reads journals of runs. */
export type StateFlags = FlagsOf<typeof stateSpecs>;

/** Flags of every command that changes a cluster. */
export const lockSpecs = {
  /** Limit of the wait for the end of another run; 0: no wait. */
  waitLockMs: withDefault(
    ["wait_lock", "TIME", "how long to wait for another run on this cluster to end"],
    duration(0, LONGEST),
    "0",
  ),
};

/** Flags of commands that can wait for tablets. */
export const waitSpecs = {
  /** Number of tablets of the record that must be registered before the command starts; undefined: no wait. */
  waitTablets: optional(
    ["wait_tablets", "N|all", "start when that many tablets of the record are registered"],
    integerOrAll(1, 10_000),
  ),
  waitTimeoutMs: withDefault(
    ["wait_timeout", "TIME", "how long to wait for --wait_tablets"],
    duration(0, LONGEST),
    "5m",
  ),
};

/** Flags of commands that can wait for tablets. */
export type WaitFlags = FlagsOf<typeof waitSpecs>;

/** The flag of commands that can repeat their observation. */
export const watchSpecs = {
  /** Pause between two observations in milliseconds; undefined: observe once. */
  watchMs: {
    ...optional(
      ["watch", "TIME", "repeat at that interval (2s), until q, Ctrl-C or a signal"],
      duration(100, LONGEST),
    ),
    bareText: "2s",
  },
};

/**
 * Flags of every command that plans before it changes anything. Those that decide whether anything is changed are not
 * read from the environment.
 */
const planOnlySpecs = {
  /** True if the plan is only shown. */
  dryRun: noVariable(toggle("dry_run", "show the plan and change nothing")),
  /** With `dryRun`: true if the exit code shows whether there is work to do. */
  detailedExitcode: noVariable(
    toggle("detailed_exitcode", "with --dry_run: exit 10 if something is not healthy"),
  ),
  /** New file that the plan is saved in; nothing is changed then. */
  planOut: noVariable(
    optional(["plan_out", "FILE", "save the plan in a new file and change nothing"], anyText),
  ),
  /** File of the plan to execute. */
  apply: noVariable(
    optional(["apply", "FILE", "execute this plan, if the cluster has not changed"], readableFile),
  ),
  /** True if the confirmation before the first change is skipped. */
  yes: noVariable(toggle("yes", "do not ask before the first change")),
  isVerbose: toggle("verbose", "show each partition and each step, however many there are"),
  /** True if a confirmation that would be needed is an error. */
  noInput: noVariable(toggle("no_input", "fail instead of asking")),
};

/** The recovery method; undefined for the default, or for that of the plan. */
export const method = noVariable({
  ...optional(
    ["method", "METHOD", "direct (by true offsets) or documented (OpenMLDB's manual)"],
    choice("direct", "documented"),
  ),
  defaultText: "direct",
});

/** The plan flags of a recovery. */
export const planSpecs = {
  method,
  ...planOnlySpecs,
};

/** The plan flags of a recovery. */
export type PlanFlags = FlagsOf<typeof planSpecs>;

/** Limits of commands that change a cluster, and their reaction to changes by other clients. */
export const limitSpecs = {
  keepOff: toggle("keep_off", "switch auto_failover off again if another client switches it on"),
  opRetries: withDefault(
    ["op_retries", "N", "how often a failed op of the nameserver is retried"],
    integer(0, 20),
    "3",
  ),
  /** Limit for an op of the nameserver to stay in the same task. */
  opTimeoutMs: withDefault(
    ["op_timeout", "TIME", "how long an op of the nameserver may go without progress"],
    duration(1000, LONGEST),
    "10m",
  ),
  cancelStuck: toggle(
    "cancel_stuck",
    "cancel ops that make no progress for --op_timeout, or that a silent tablet blocks",
  ),
  /** Limit for a load without progress. */
  stallTimeoutMs: withDefault(
    ["stall_timeout", "TIME", "how long a load may go without progress"],
    duration(1000, LONGEST),
    "10m",
  ),
  /** Limit for the whole run; 0: none. */
  timeoutMs: withDefault(
    ["timeout", "TIME", "how long the whole run may take; 0 for no limit"],
    duration(0, LONGEST),
    "0",
  ),
};

/** The flag for the report of a run or of an inspection. */
export const reportSpecs = {
  /** File that the report is written to: `.html`, `.md` or `.json`. */
  report: noVariable(
    optional(
      ["report", "FILE", "write a report there too: FILE.html, FILE.md or FILE.json"],
      replaceableFile(".html", ".md", ".json"),
    ),
  ),
};

/** Flags for the outputs at the end of a run: report, metrics and hook. */
export const outputSpecs = {
  ...reportSpecs,
  /** File for the textfile collector of node_exporter. */
  textfile: optional(
    ["textfile", "FILE.prom", "write metrics there for node_exporter's textfile collector"],
    replaceableFile(".prom"),
  ),
  /** Command line for the shell. */
  postHook: noVariable(
    optional(
      ["post_hook", "COMMAND", "run this at the end, with the run's facts as JSON on stdin"],
      anyText,
    ),
  ),
};

/** Flags for the outputs at the end of a run: report, metrics and hook. */
export type OutputFlags = FlagsOf<typeof outputSpecs>;

/** Flags of every command that runs an operation. */
export const operateSpecs = {
  ...commonSpecs,
  ...outputSpecs,
  ...planOnlySpecs,
  ...lockSpecs,
  ...stateSpecs,
  ...limitSpecs,
};

/** Flags of every command that runs an operation. */
export type OperateFlags = FlagsOf<typeof operateSpecs>;
