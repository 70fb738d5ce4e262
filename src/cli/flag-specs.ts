import { parseRootPath } from "../cluster/topology.js";
import {
  anyText,
  appendableFile,
  choice,
  duration,
  durationText,
  integer,
  listOf,
  passwordInFile,
  pidList,
  zkServers,
} from "./flag-values.js";
import type {
  CommonFlags,
  ConfGetFlags,
  ConfSetFlags,
  GlobalFlags,
  HistoryFlags,
  InspectFlags,
  LockFlags,
  RecoverDataFlags,
  RecoverTableFlags,
  RestoreFlags,
  StateFlags,
  VerifyFlags,
} from "./flags.js";
import type { OperateFlags } from "./flags-operate.js";
import { planSpecs } from "./plan-specs.js";
import {
  needed,
  noVariable,
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

/** Flags of every command. */
export const globalSpecs: SpecsFor<GlobalFlags> = {
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
  nsConcurrency: withDefault(
    ["ns_concurrency", "N", "calls to the nameserver in flight at once"],
    integer(1, 1000),
    "16",
  ),
  ...globalSpecs,
};

/** `--db`, where all databases are meant without it. */
export const onlyDb = optional(["db", "NAME", "this database only"], anyText);

/** Flags of every command that keeps a journal. */
const stateSpecs: SpecsFor<StateFlags> = {
  stateDir: {
    ...optional(["state_dir", "FOLDER", "where the journals of runs are kept"], anyText),
    defaultText: "~/.local/state/openmldb-ops",
  },
};

/** Flags of every command that changes a cluster. */
const lockSpecs: SpecsFor<LockFlags> = {
  waitLockMs: withDefault(
    ["wait_lock", "TIME", "how long to wait for another run on this cluster to end"],
    duration(0, LONGEST),
    durationText(0),
  ),
};

/** Bounds of commands that change a cluster, and what they do about somebody else's changes. */
const limitSpecs: Pick<
  SpecsFor<RecoverDataFlags>,
  "keepOff" | "opRetries" | "opTimeoutMs" | "cancelStuck" | "stallTimeoutMs" | "timeoutMs"
> = {
  keepOff: toggle(
    "keep_off",
    "switch auto_failover off again if somebody switches it on in the middle",
  ),
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

const { method: _method, ...actionPlanSpecs } = planSpecs;

/** Flags of every command that changes the cluster by a plan of actions. */
export const operateSpecs: SpecsFor<OperateFlags> = {
  ...commonSpecs,
  ...actionPlanSpecs,
  ...lockSpecs,
  ...stateSpecs,
  ...limitSpecs,
};

/** Flags of `recoverdata`. */
export const recoverDataSpecs: SpecsFor<RecoverDataFlags> = {
  ...commonSpecs,
  ...planSpecs,
  ...lockSpecs,
  ...stateSpecs,
  resume: {
    ...toggle("resume", "continue the last run of this cluster that did not end well"),
    hasEnvironment: false,
  },
  db: onlyDb,
  concurrency: withDefault(
    ["concurrency", "N", "partitions worked on at the same time"],
    integer(1, 10_000),
    "128",
  ),
  loadsPerTablet: withDefault(
    ["loads_per_tablet", "N", "loads on one tablet at the same time where loads are slow"],
    integer(1, 64),
    "3",
  ),
  reportFile: optional(
    ["report_file", "FILE", "write the whole report there too, as JSON"],
    appendableFile,
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
  ...limitSpecs,
};

/** Flags of `recovertable`. */
export const recoverTableSpecs: SpecsFor<RecoverTableFlags> = {
  ...recoverDataSpecs,
  db: optional(
    ["db", "NAME", "the table's database; needed if several have such a table"],
    anyText,
  ),
  table: noVariable(needed(["table", "NAME", "the table"], anyText, "--table=t1")),
  pids: noVariable(
    withDefault(["pid", "LIST", "these partitions only, such as 0,2,5-7; * for all"], pidList, "*"),
  ),
  endpoint: noVariable(
    optional(["endpoint", "ENDPOINT", "the replicas on this tablet only"], anyText),
  ),
  isForced: noVariable(toggle("force", "mark healthy followers dead first, and recover them too")),
};

/** Flags of `verify`. */
export const verifySpecs: SpecsFor<VerifyFlags> = {
  ...commonSpecs,
  db: onlyDb,
  table: optional(["table", "NAME", "tables of this name only"], anyText),
};

/** Flags of `inspect`. */
export const inspectSpecs: SpecsFor<InspectFlags> = {
  ...verifySpecs,
  watchMs: optional(
    ["watch", "TIME", "look again after that pause, until a signal comes"],
    duration(100, LONGEST),
  ),
  maxLag: withDefault(
    ["max_lag", "N", "log entries that a follower may lack before it gets a warning of its own"],
    integer(0, 10 ** 15 - 1),
    "10000",
  ),
};

/** Flags of `confget`. */
export const confGetSpecs: SpecsFor<ConfGetFlags> = {
  ...commonSpecs,
  key: wordOf(optional(["key", "KEY", "show this key only"], anyText)),
};

const { dryRun } = planSpecs;

/** Flags of `confset`. */
export const confSetSpecs: SpecsFor<ConfSetFlags> = {
  ...commonSpecs,
  dryRun,
  ...stateSpecs,
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
export const restoreSpecs: SpecsFor<RestoreFlags> = {
  ...commonSpecs,
  dryRun,
  ...stateSpecs,
  ...lockSpecs,
};

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
