import { OpsError } from "../errors.js";
import {
  type CommandEntry,
  certTexts,
  clusterEntryOf,
  EXAMPLE_CLUSTER,
  entryOf,
} from "./command-entry.js";
import {
  confGetSpecs,
  confSetSpecs,
  historySpecs,
  inspectSpecs,
  recoverDataSpecs,
  recoverTableSpecs,
  restoreSpecs,
  verifySpecs,
} from "./flag-specs.js";
import type { HistoryFlags, RecoverDataFlags, SandboxFlags } from "./flags.js";
import { sandboxSpecs } from "./sandbox-specs.js";

function checkHistory(flags: HistoryFlags): void {
  if (flags.zkCluster.length === 0 || flags.zkRootPath !== undefined) return;
  throw new OpsError({
    code: "usage",
    message: "there is --zk_cluster, but no --zk_root_path",
    hint: "such as --zk_root_path=/openmldb",
  });
}

function checkRecoverData(flags: RecoverDataFlags): void {
  const { acceptDataLoss, leader } = flags;
  if (acceptDataLoss.length === leader.length) return;
  throw new OpsError({
    code: "usage",
    message: `--accept_data_loss names ${acceptDataLoss.length} partitions and --leader ${leader.length} replicas`,
    hint: "give one --leader for each --accept_data_loss, in the same order",
  });
}

function checkSandbox(flags: SandboxFlags): void {
  const { tablets, replicas, tables, hddTables, singleReplicaTables } = flags;
  if (flags.from === undefined && replicas > tablets) {
    throw new OpsError({
      code: "usage",
      message: `--replicas=${replicas} needs as many tablets, and there are ${tablets}`,
      hint: `give --replicas=${tablets}, or more --tablets`,
    });
  }
  const special = { hdd_tables: hddTables, single_replica_tables: singleReplicaTables };
  for (const [name, count] of Object.entries(special)) {
    if (count <= tables) continue;
    throw new OpsError({
      code: "usage",
      message: `--${name}=${count} is more than all tables (${tables})`,
      hint: "give more --tables",
    });
  }
}

/** The commands of recovery itself, and those around it, in the order in which help lists them. */
export const RECOVERY_COMMANDS: readonly CommandEntry[] = [
  clusterEntryOf({
    name: "recoverdata",
    summary: "bring every partition back after tablets or nameservers restarted",
    examples: ["recoverdata", "recoverdata --db=demo_db --output=json"],
    specs: recoverDataSpecs,
    check: checkRecoverData,
    load: () => import("../commands/recoverdata.js"),
  }),
  clusterEntryOf({
    name: "recovertable",
    summary: "the same for one table, some of its partitions, or its replicas on one tablet",
    examples: [
      "recovertable --db=demo_db --table=t1",
      "recovertable --db=demo_db --table=t1 --pid=0,2,5-7 --endpoint=127.0.0.1:10921",
    ],
    specs: recoverTableSpecs,
    check: checkRecoverData,
    load: () => import("../commands/recovertable.js"),
  }),
  clusterEntryOf({
    name: "inspect",
    summary: "the health report: servers, partitions, replication, and what to type next",
    examples: ["inspect", "inspect --db=demo_db --watch=5"],
    specs: inspectSpecs,
    load: () => import("../commands/inspect.js"),
  }),
  clusterEntryOf({
    name: "verify",
    summary: "inspect's judgement alone, for scripts: one line, exit code 0 or 10",
    examples: ["verify"],
    specs: verifySpecs,
    load: () => import("../commands/verify.js"),
  }),
  clusterEntryOf({
    name: "confget",
    summary: "show the nameserver's configuration, or one KEY of it",
    examples: ["confget", "confget auto_failover"],
    specs: confGetSpecs,
    load: () => import("../commands/confget.js"),
  }),
  clusterEntryOf({
    name: "confset",
    summary: "set a KEY of the nameserver's configuration: auto_failover to true or false",
    examples: ["confset auto_failover true"],
    specs: confSetSpecs,
    load: () => import("../commands/confset.js"),
  }),
  clusterEntryOf({
    name: "restore",
    summary: "put auto_failover back after a run that was killed; does nothing else",
    examples: ["restore"],
    specs: restoreSpecs,
    load: () => import("../commands/restore.js"),
  }),
  entryOf({
    name: "history",
    summary: "list the runs of this tool, or show the one with --id",
    examples: ["history", "history --id=20260102T030405Z-1a2b3c4d", `history ${EXAMPLE_CLUSTER}`],
    specs: historySpecs,
    secrets: certTexts,
    announcement: (flags) =>
      flags.zkCluster.length === 0 ? "reading journals" : "reading journals and ZooKeeper ...",
    check: checkHistory,
    load: () => import("../commands/history.js"),
  }),
  entryOf({
    name: "sandbox",
    summary: "run a small OpenMLDB cluster model on this machine, to try things on",
    examples: ["sandbox", "sandbox --tablets=3 --tables=2 --rows=1000 --speed=10"],
    specs: sandboxSpecs,
    announcement: () => "starting a sandbox cluster ...",
    check: checkSandbox,
    load: () => import("../commands/sandbox.js"),
  }),
];
