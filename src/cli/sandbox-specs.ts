import { parseRootPath } from "../cluster/topology.js";
import { globalSpecs } from "./flag-specs.js";
import { integer, readableFile, zkServers } from "./flag-values.js";
import type { SandboxFlags } from "./flags.js";
import { needed, optional, type SpecsFor, toggle, withDefault } from "./spec-makers.js";

const MAX_COUNT = 1_000_000;

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
