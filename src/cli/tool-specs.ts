import { parseRootPath } from "../cluster/topology.js";
import { usageError } from "../errors.js";
import {
  commonSpecs,
  globalSpecs,
  lockSpecs,
  namedClusterSpecs,
  planSpecs,
  reportSpecs,
  stateSpecs,
} from "./common-specs.js";
import { anyText, choice, integer, readableFile, zkServers } from "./flag-values.js";
import { type FlagsOf, noVariable, optional, required, toggle, withDefault } from "./spec.js";

/** Flags of `confget`. */
export const confGetSpecs = {
  ...commonSpecs,
  /** The only key to show; undefined for all. */
  key: noVariable(optional(["key", "KEY", "show this key only"], anyText)),
};

/** Flags of `confget`. */
export type ConfGetFlags = FlagsOf<typeof confGetSpecs>;

const { dryRun } = planSpecs;
/** Flags of `restore`. */
export const restoreSpecs = { ...commonSpecs, dryRun, ...stateSpecs, ...lockSpecs };

/** Flags of `restore`. */
export type RestoreFlags = FlagsOf<typeof restoreSpecs>;

const CONFSET_EXAMPLE = "confset auto_failover true";

/** Flags of `confset`. */
export const confSetSpecs = {
  ...restoreSpecs,
  key: noVariable(
    required(
      ["key", "KEY", "what to set: auto_failover"],
      choice("auto_failover"),
      CONFSET_EXAMPLE,
    ),
  ),
  value: noVariable(
    required(["value", "VALUE", "true or false"], choice("true", "false"), CONFSET_EXAMPLE),
  ),
};

/** Flags of `confset`. */
export type ConfSetFlags = FlagsOf<typeof confSetSpecs>;

/** Flags of `history`. */
export const historySpecs = {
  ...namedClusterSpecs,
  /** The run to show; undefined for the list of all runs. */
  id: noVariable(optional(["id", "ID", "show this run; a unique prefix is enough"], anyText)),
  ...reportSpecs,
  ...stateSpecs,
  /** ZooKeeper servers whose runs are shown too; empty for none. */
  zkCluster: {
    ...commonSpecs.zkCluster,
    help: "show the runs recorded in this cluster too",
    absent: { value: [] },
  },
  zkRootPath: {
    ...optional(["zk_root_path", "PATH", commonSpecs.zkRootPath.help], parseRootPath),
  },
  zkAuthSchema: commonSpecs.zkAuthSchema,
  zkCert: commonSpecs.zkCert,
  zkTimeoutMs: commonSpecs.zkTimeoutMs,
  zkSessionTimeoutMs: commonSpecs.zkSessionTimeoutMs,
  ...globalSpecs,
};

/** Flags of `history`. */
export type HistoryFlags = FlagsOf<typeof historySpecs>;

const MAX_COUNT = 1_000_000;

/** Flags of `sandbox`. */
export const sandboxSpecs = {
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
  // Not from the environment: a variable for a real cluster must not make the sandbox write its znodes there.
  zkCluster: {
    ...required(
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

/** Flags of `sandbox`. */
export type SandboxFlags = FlagsOf<typeof sandboxSpecs>;

/** Flags of `completion`. */
export const completionSpecs = {
  ...globalSpecs,
  shell: noVariable(
    required(
      ["shell", "SHELL", "bash, zsh or fish"],
      choice("bash", "zsh", "fish"),
      "completion bash",
    ),
  ),
};

/** Flags of `completion`. */
export type CompletionFlags = FlagsOf<typeof completionSpecs>;

/** Checks the combination of flags. @throws OpsError `usage`. */
export function checkHistory(flags: HistoryFlags): void {
  if (flags.report !== undefined && flags.id === undefined) {
    throw usageError(
      "--report is about one run",
      "give its --id too; openmldb-ops history lists the runs",
    );
  }
  if (flags.zkCluster.length === 0 || flags.zkRootPath !== undefined) return;
  throw usageError(
    "there is --zk_cluster, but no --zk_root_path",
    "such as --zk_root_path=/openmldb",
  );
}

/** Checks the combination of flags. @throws OpsError `usage`. */
export function checkSandbox(flags: SandboxFlags): void {
  const { tablets, replicas, tables, hddTables, singleReplicaTables } = flags;
  if (flags.from === undefined && replicas > tablets) {
    throw usageError(
      `--replicas=${replicas} needs as many tablets, and there are ${tablets}`,
      `give --replicas=${tablets}, or more --tablets`,
    );
  }
  const special = { hdd_tables: hddTables, single_replica_tables: singleReplicaTables };
  for (const [name, count] of Object.entries(special)) {
    if (count <= tables) continue;
    throw usageError(
      `--${name}=${count} is more than all tables (${tables})`,
      "give more --tables",
    );
  }
}
