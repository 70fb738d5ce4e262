import { type CommandEntry, clusterEntryOf } from "./command-entry.js";
import {
  checkMove,
  checkRecoverData,
  inspectSpecs,
  moveTabletSpecs,
  recoverDataSpecs,
  recoverTableSpecs,
} from "./recovery-specs.js";
import { checkVerify, verifySpecs } from "./verify-specs.js";

/** Recovery, and the commands that show whether it is needed. */
export const RECOVERY_COMMANDS: readonly CommandEntry[] = [
  clusterEntryOf({
    name: "recoverdata",
    summary: "recover every partition after tablets or nameservers restarted",
    examples: ["recoverdata", "recoverdata --db=demo_db --dry_run"],
    specs: recoverDataSpecs,
    check: checkRecoverData,
    load: async () => (await import("../commands/recover.js")).recoverDataCommand,
  }),
  clusterEntryOf({
    name: "recovertable",
    summary: "recover one table, some of its partitions, or its replicas on one tablet",
    examples: ["recovertable t1 0,2,5-7 127.0.0.1:10921", "recovertable --db=demo_db --table=t1"],
    specs: recoverTableSpecs,
    words: ["table", "pids", "endpoint"],
    check: checkRecoverData,
    load: async () => (await import("../commands/recover.js")).recoverTableCommand,
  }),
  clusterEntryOf({
    name: "movetablet",
    summary: "record the new address of a tablet, once its replicas are proven to be there",
    examples: [
      "movetablet --from=10.0.0.1:9527 --to=10.0.0.4:9527",
      "movetablet --from=10.0.0.1:9527 --to=10.0.0.4:9527 --dry_run",
    ],
    specs: moveTabletSpecs,
    words: ["from", "to"],
    check: checkMove,
    load: async () => (await import("../commands/operations.js")).OPERATIONS.moveTablet,
  }),
  clusterEntryOf({
    name: "inspect",
    summary: "report the health of servers, partitions and replication, with the next commands",
    examples: ["inspect", "inspect --db=demo_db --watch"],
    specs: inspectSpecs,
    load: () => import("../commands/inspect.js"),
  }),
  clusterEntryOf({
    name: "verify",
    summary: "print inspect's verdict in one line, for scripts; --deep compares all rows too",
    examples: ["verify", "verify --deep --db=demo_db"],
    specs: verifySpecs,
    check: checkVerify,
    load: () => import("../commands/verify.js"),
  }),
];
