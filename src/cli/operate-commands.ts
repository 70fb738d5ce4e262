import { type CommandEntry, clusterEntryOf } from "./command-entry.js";
import {
  cancelOpSpecs,
  changeLeaderSpecs,
  checkDeleteOp,
  checkLoadTable,
  deleteOpSpecs,
  loadTableSpecs,
  migrateSpecs,
  offlineEndpointSpecs,
  recoverEndpointSpecs,
  replicaSpecs,
  tableAliveSpecs,
} from "./operate-specs.js";

/** Commands that change single partitions, replicas or tablets. */
export const OPERATE_COMMANDS: readonly CommandEntry[] = [
  clusterEntryOf({
    name: "changeleader",
    summary: "give a partition another leader, without losing a row",
    examples: ["changeleader t1 0 auto", "changeleader --db=demo_db --table=t1 --pid=0"],
    specs: changeLeaderSpecs,
    words: ["table", "pid", "candidate"],
    load: async () => (await import("../commands/operations.js")).OPERATIONS.changeLeader,
  }),
  clusterEntryOf({
    name: "offlineendpoint",
    summary: "take a tablet out of service: others lead its partitions",
    examples: [
      "offlineendpoint 10.0.0.1:9527",
      "offlineendpoint --endpoint=10.0.0.1:9527 --dry_run",
    ],
    specs: offlineEndpointSpecs,
    words: ["endpoint", "concurrency"],
    load: async () => (await import("../commands/operations.js")).OPERATIONS.offlineEndpoint,
  }),
  clusterEntryOf({
    name: "recoverendpoint",
    summary: "recover the replicas of a tablet that are marked not alive",
    examples: [
      "recoverendpoint 10.0.0.1:9527 true",
      "recoverendpoint --endpoint=10.0.0.1:9527 --need_restore",
    ],
    specs: recoverEndpointSpecs,
    words: ["endpoint", "needRestore", "concurrency"],
    load: async () => (await import("../commands/operations.js")).OPERATIONS.recoverEndpoint,
  }),
  clusterEntryOf({
    name: "addreplica",
    summary: "add followers of partitions on a tablet",
    examples: [
      "addreplica t1 0,2,5-7 127.0.0.1:10921",
      "addreplica --db=demo_db --table=t1 --pid=0 --endpoint=127.0.0.1:10921",
    ],
    specs: replicaSpecs,
    words: ["table", "pids", "endpoint"],
    load: async () => (await import("../commands/operations.js")).OPERATIONS.addReplica,
  }),
  clusterEntryOf({
    name: "delreplica",
    summary: "delete followers of partitions from a tablet",
    examples: [
      "delreplica t1 0 127.0.0.1:10921",
      "delreplica --db=demo_db --table=t1 --pid=0 --endpoint=127.0.0.1:10921",
    ],
    specs: replicaSpecs,
    words: ["table", "pids", "endpoint"],
    load: async () => (await import("../commands/operations.js")).OPERATIONS.delReplica,
  }),
  clusterEntryOf({
    name: "migrate",
    summary: "move followers from one tablet to another",
    examples: [
      "migrate 127.0.0.1:10921 t1 0 127.0.0.1:10922",
      "migrate --src=127.0.0.1:10921 --des=127.0.0.1:10922 --db=demo_db --table=t1 --pid=0",
    ],
    specs: migrateSpecs,
    words: ["from", "table", "pids", "to"],
    load: async () => (await import("../commands/operations.js")).OPERATIONS.migrate,
  }),
  clusterEntryOf({
    name: "updatetablealive",
    summary: "mark replicas alive or not in the nameserver's record",
    examples: [
      "updatetablealive t1 '*' 127.0.0.1:10921 no",
      "updatetablealive --db=demo_db --table=t1 --pid=0 --endpoint=127.0.0.1:10921 --alive=no",
    ],
    specs: tableAliveSpecs,
    words: ["table", "pids", "endpoint", "isAlive"],
    load: async () => (await import("../commands/operations.js")).OPERATIONS.updateTableAlive,
  }),
  clusterEntryOf({
    name: "loadtable",
    summary: "load replicas from a tablet's own disk",
    examples: [
      "loadtable t1 7 0 --endpoint=127.0.0.1:10921",
      "loadtable --db=demo_db --table=t1 --pid=0 --endpoint=127.0.0.1:10921",
    ],
    specs: loadTableSpecs,
    words: ["table", "tid", "pids", "ttl", "segmentCount"],
    check: checkLoadTable,
    load: async () => (await import("../commands/operations.js")).OPERATIONS.loadTable,
  }),
  clusterEntryOf({
    name: "cancelop",
    summary: "end an op of the nameserver that is queued or running",
    examples: ["cancelop 42", "cancelop --op_id=42 --dry_run"],
    specs: cancelOpSpecs,
    words: ["op"],
    load: async () => (await import("../commands/operations.js")).OPERATIONS.cancelOp,
  }),
  clusterEntryOf({
    name: "deleteop",
    summary: "remove ended ops from the nameserver's list (OpenMLDB 0.8 and later)",
    examples: ["deleteop 42", "deleteop failed", "deleteop --status=failed --dry_run"],
    specs: deleteOpSpecs,
    words: ["op"],
    check: checkDeleteOp,
    load: async () => (await import("../commands/operations.js")).OPERATIONS.deleteOp,
  }),
];
