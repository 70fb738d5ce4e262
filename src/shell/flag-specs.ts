import { parseRootPath } from "../cluster/topology.js";
import type {
  CommonFlags,
  ConfGetFlags,
  ConfSetFlags,
  GlobalFlags,
  HistoryFlags,
  InspectFlags,
  LockFlags,
  RecoverDataFlags,
  RestoreFlags,
  SandboxFlags,
  StateFlags,
} from "../flags.js";
import {
  anyText,
  appendableFile,
  choice,
  duration,
  durationText,
  integer,
  listOf,
  passwordInFile,
  readableFile,
  zkServers,
} from "./flag-values.js";
import { planSpecs } from "./plan-specs.js";
import {
  needed,
  optional,
  type SpecsFor,
  toggle,
  withDefault,
  withNone,
  wordOf,
} from "./spec-makers.js";

const HOUR = 3_600_000;
/** The longest limit: the timers of Node.js cannot wait for longer than 24.8 days. */
export const LONGEST = 24 * 24 * HOUR;
const MAX_COUNT = 1_000_000;

const globalSpecs: SpecsFor<GlobalFlags> = {
  output: withDefault(
    ["output", "FORMAT", "result on stdout as table or json"],
    choice("table", "json"),
    "table",
  ),
  logLevel: withDefault(
    ["log_level", "LEVEL", "what stderr tells: error, warn, info or debug"],
    choice("error", "warn", "info", "debug"),
    "info",
  ),
  logFile: optional(
    ["log_file", "FILE", "append the log to this file too, as JSON lines"],
    appendableFile,
  ),
  noColor: toggle("no_color", "no colours (also: NO_COLOR in the environment)"),
};

/** Flags of every command that talks to a cluster. */
export const commonSpecs: SpecsFor<CommonFlags> = {
  zkCluster: needed(
    ["zk_cluster", "HOST:PORT,...", "ZooKeeper servers of the cluster"],
    zkServers,
    "--zk_cluster=127.0.0.1:2181",
  ),
  zkRootPath: needed(
    ["zk_root_path", "PATH", "zk_root_path of the cluster's own configuration"],
    parseRootPath,
    "--zk_root_path=/openmldb",
  ),
  zkAuthSchema: withDefault(
    ["zk_auth_schema", "SCHEME", "ZooKeeper auth scheme of zk_cert"],
    anyText,
    "digest",
  ),
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
    ["zk_session_timeout", "TIME", "ZooKeeper session timeout to ask for"],
    duration(1000, HOUR),
    "10s",
  ),
  user: optional(["user", "NAME", "OpenMLDB user, if the servers check users"], anyText),
  password: {
    name: "password_file",
    placeholder: "FILE",
    help: "file with the user's password (or put it in OPENMLDB_OPS_PASSWORD)",
    parse: passwordInFile,
    absent: { value: "" },
    verbatimVariable: { name: "OPENMLDB_OPS_PASSWORD", value: (text) => text },
  },
  rpcTimeoutMs: withDefault(
    ["rpc_timeout", "TIME", "how long one call to a nameserver or tablet may take"],
    duration(100, HOUR),
    "10s",
  ),
  ...globalSpecs,
};

/** `--db`, where all databases are meant without it. */
export const onlyDb = optional(["db", "NAME", "this database only"], anyText);

/** Flags of every command that keeps a journal. */
export const stateSpecs: SpecsFor<StateFlags> = {
  stateDir: {
    ...optional(["state_dir", "FOLDER", "where the journals of runs are kept"], anyText),
    defaultText: "~/.local/state/openmldb-ops",
  },
};

/** Flags of every command that changes a cluster. */
export const lockSpecs: SpecsFor<LockFlags> = {
  waitLockMs: withDefault(
    ["wait_lock", "TIME", "how long to wait for another run on this cluster to end"],
    duration(0, LONGEST),
    durationText(0),
  ),
};

/** Flags of `recoverdata`. */
export const recoverDataSpecs: SpecsFor<RecoverDataFlags> = {
  ...commonSpecs,
  ...planSpecs,
  ...lockSpecs,
  keepOff: toggle(
    "keep_off",
    "switch auto_failover off again if somebody switches it on in the middle",
  ),
  ...stateSpecs,
  resume: {
    ...toggle("resume", "continue the last run of this cluster that did not end well"),
    hasEnvironment: false,
  },
  db: onlyDb,
  concurrency: withDefault(
    ["concurrency", "N", "partitions worked on at the same time"],
    integer(1, 10_000),
    "32",
  ),
  loadsPerTablet: withDefault(
    ["loads_per_tablet", "N", "replicas that one tablet loads at the same time"],
    integer(1, 64),
    "3",
  ),
  acceptDataLoss: {
    ...withNone(
      ["accept_data_loss", "DB.TABLE:PID", "give up what cannot be kept there (with --leader)"],
      listOf(/^(\S+:\d+)$/, "a partition, such as db1.t1:0"),
    ),
    isList: true,
    hasEnvironment: false,
  },
  leader: {
    ...withNone(
      ["leader", "ENDPOINT", "the replica that leads then; one for each --accept_data_loss"],
      listOf(/^\S+$/, "an endpoint"),
    ),
    isList: true,
    hasEnvironment: false,
  },
  opRetries: withDefault(
    ["op_retries", "N", "how often a failed op of the nameserver is tried again"],
    integer(0, 20),
    "3",
  ),
  opTimeoutMs: withDefault(
    ["op_timeout", "TIME", "how long an op of the nameserver may stand still"],
    duration(1000, LONGEST),
    "10m",
  ),
  cancelStuck: toggle(
    "cancel_stuck",
    "cancel an op that stands still for longer than --op_timeout",
  ),
  stallTimeoutMs: withDefault(
    ["stall_timeout", "TIME", "how long a load may stand still"],
    duration(1000, LONGEST),
    "10m",
  ),
  timeoutMs: withDefault(
    ["timeout", "TIME", "how long the whole run may take; 0 for no limit"],
    duration(0, LONGEST),
    durationText(0),
  ),
};

/** Flags of `inspect`. */
export const inspectSpecs: SpecsFor<InspectFlags> = { ...commonSpecs, db: onlyDb };

/** Flags of `confget`. */
export const confGetSpecs: SpecsFor<ConfGetFlags> = {
  ...commonSpecs,
  key: wordOf(optional(["key", "KEY", "show this key only"], anyText)),
};

/** Flags of `confset`. */
export const confSetSpecs: SpecsFor<ConfSetFlags> = {
  ...commonSpecs,
  ...lockSpecs,
  key: wordOf(
    needed(
      ["key", "KEY", "what to set: auto_failover"],
      choice("auto_failover"),
      "confset auto_failover true",
    ),
  ),
  value: wordOf(
    needed(
      ["value", "VALUE", "true or false"],
      choice("true", "false"),
      "confset auto_failover true",
    ),
  ),
};

/** Flags of `restore`. */
export const restoreSpecs: SpecsFor<RestoreFlags> = { ...commonSpecs, ...lockSpecs };

/** Flags of `history`. */
export const historySpecs: SpecsFor<HistoryFlags> = {
  id: {
    ...optional(
      ["id", "ID", "show this run; its beginning is enough if it is the only one"],
      anyText,
    ),
    hasEnvironment: false,
  },
  ...stateSpecs,
  zkCluster: {
    ...commonSpecs.zkCluster,
    help: "show the runs that this cluster remembers too",
    absent: { value: [] },
  },
  zkRootPath: { ...commonSpecs.zkRootPath, absent: { value: undefined } },
  zkAuthSchema: commonSpecs.zkAuthSchema,
  zkCert: commonSpecs.zkCert,
  zkTimeoutMs: commonSpecs.zkTimeoutMs,
  zkSessionTimeoutMs: commonSpecs.zkSessionTimeoutMs,
  ...globalSpecs,
};

/** Flags of `sandbox`. */
export const sandboxSpecs: SpecsFor<SandboxFlags> = {
  tablets: withDefault(["tablets", "N", "tablets"], integer(1, 100), "3"),
  nameservers: withDefault(["nameservers", "N", "nameservers"], integer(1, 9), "2"),
  tables: withDefault(["tables", "N", "tables"], integer(0, 1000), "4"),
  partitions: withDefault(["partitions", "N", "partitions of each table"], integer(1, 1000), "4"),
  replicas: withDefault(["replicas", "N", "replicas of each partition"], integer(1, 100), "3"),
  rows: withDefault(["rows", "N", "rows in each partition"], integer(0, MAX_COUNT), "100"),
  seed: withDefault(
    ["seed", "N", "the same number gives the same cluster"],
    integer(0, 2 ** 32 - 1),
    "1",
  ),
  speed: withDefault(
    ["speed", "N", "how many times faster than a real cluster"],
    integer(1, 1000),
    "1",
  ),
  from: optional(["from", "FILE", "boot from this recording of a cluster"], readableFile),
  port: withDefault(
    ["port", "PORT", "port of the embedded ZooKeeper; 0 for a free one"],
    integer(0, 65_535),
    "0",
  ),
  hddTables: withDefault(
    ["hdd_tables", "N", "how many of the tables are stored on HDD"],
    integer(0, 1000),
    "0",
  ),
  singleReplicaTables: withDefault(
    ["single_replica_tables", "N", "how many of the tables have one replica"],
    integer(0, 1000),
    "0",
  ),
  serverNames: toggle("server_names", "name the servers instead of using their addresses"),
  autoFailover: toggle("auto_failover", "whether auto_failover is on; =false for off", true),
  // Never from the environment: a variable that names a real cluster must not make the sandbox
  // write its znodes there.
  zkCluster: {
    ...needed(
      ["zk_cluster", "HOST:PORT,...", "use this ZooKeeper instead of the embedded one"],
      zkServers,
      "",
    ),
    absent: { value: [] },
    hasEnvironment: false,
  },
  zkRootPath: {
    ...withDefault(["zk_root_path", "PATH", "where its znodes go"], parseRootPath, "/openmldb"),
    hasEnvironment: false,
  },
  ...globalSpecs,
};
