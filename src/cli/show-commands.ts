import { type CommandEntry, clusterEntryOf } from "./command-entry.js";
import { commonSpecs } from "./common-specs.js";
import {
  checkOneKindOfWaiting,
  checkReplica,
  getFollowerSpecs,
  getTableStatusSpecs,
  showOpStatusSpecs,
  showTableSpecs,
  showTableStatusSpecs,
  showTabletSpecs,
} from "./show-specs.js";

/** Read-only commands, in the order of help. */
export const SHOW_COMMANDS: readonly CommandEntry[] = [
  clusterEntryOf({
    name: "showns",
    summary: "show the nameservers, and which of them leads",
    examples: ["showns", "showns --output=json"],
    specs: commonSpecs,
    load: async () => (await import("../commands/show-servers.js")).showNs,
  }),
  clusterEntryOf({
    name: "showtablet",
    summary: "show the tablets, their state, and since when",
    examples: ["showtablet", "showtablet --watch"],
    specs: showTabletSpecs,
    load: async () => (await import("../commands/show-servers.js")).showTablet,
  }),
  clusterEntryOf({
    name: "showdb",
    summary: "show the databases, OpenMLDB's own included",
    examples: ["showdb", "showdb --output=json"],
    specs: commonSpecs,
    load: async () => (await import("../commands/show-tables.js")).showDb,
  }),
  clusterEntryOf({
    name: "showtable",
    summary: "show the replicas of tables in the nameserver's record",
    examples: ["showtable t1", "showtable t1 --db=demo_db --pid=0,2 --output=wide"],
    specs: showTableSpecs,
    words: ["table"],
    load: async () => (await import("../commands/show-tables.js")).showTable,
  }),
  clusterEntryOf({
    name: "showtablestatus",
    summary: "summarise tables like SQL's SHOW TABLE STATUS, with warnings",
    examples: ["showtablestatus", "showtablestatus --filter='demo\\_%'"],
    specs: showTableStatusSpecs,
    load: async () => (await import("../commands/show-tables.js")).showTableStatus,
  }),
  clusterEntryOf({
    name: "showopstatus",
    summary: "show the nameserver's ops, or wait until they have ended",
    examples: [
      "showopstatus t1 0",
      "showopstatus --filter=kFailed",
      "showopstatus --op_id=12 --wait",
    ],
    specs: showOpStatusSpecs,
    words: ["table", "pid"],
    check: checkOneKindOfWaiting,
    load: async () => (await import("../commands/show-ops.js")).showOpStatus,
  }),
  clusterEntryOf({
    name: "gettablestatus",
    summary: "show what tablets have loaded, as they report it",
    examples: ["gettablestatus", "gettablestatus 7 0 --endpoint=127.0.0.1:10921"],
    specs: getTableStatusSpecs,
    words: ["tid", "pid"],
    check: checkReplica,
    load: async () => (await import("../commands/show-replicas.js")).getTableStatus,
  }),
  clusterEntryOf({
    name: "getfollower",
    summary: "show the followers that a leader replicates to, and their offsets",
    examples: [
      "getfollower 7 0 --endpoint=127.0.0.1:10921",
      "getfollower --tid=7 --pid=0 --endpoint=127.0.0.1:10921",
    ],
    specs: getFollowerSpecs,
    words: ["tid", "pid"],
    load: async () => (await import("../commands/show-replicas.js")).getFollower,
  }),
];
