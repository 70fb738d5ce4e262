import { OpsError } from "../errors.js";
import { type CommandEntry, clusterEntryOf, entryOf } from "./command-entry.js";
import type { GetTableStatusFlags } from "./flags-show.js";
import {
  completionSpecs,
  getFollowerSpecs,
  getTableStatusSpecs,
  showOpStatusSpecs,
  showSpecs,
  showTableSpecs,
  showTableStatusSpecs,
} from "./show-specs.js";

function checkReplica({ tid, pid }: GetTableStatusFlags): void {
  if (pid === undefined || tid !== undefined) return;
  throw new OpsError({
    code: "usage",
    message: `--pid=${pid} needs the table`,
    hint: "give --tid too; showtable tells the tid of each table",
  });
}

/** Commands that only show, in the order in which help lists them. */
export const SHOW_COMMANDS: readonly CommandEntry[] = [
  clusterEntryOf({
    name: "showns",
    summary: "show the nameservers, and which of them leads",
    examples: ["showns"],
    specs: showSpecs,
    load: () => import("../commands/showns.js"),
  }),
  clusterEntryOf({
    name: "showtablet",
    summary: "show the tablets, their state, and since when",
    examples: ["showtablet"],
    specs: showSpecs,
    load: () => import("../commands/showtablet.js"),
  }),
  clusterEntryOf({
    name: "showdb",
    summary: "show the databases, OpenMLDB's own included",
    examples: ["showdb"],
    specs: showSpecs,
    load: () => import("../commands/showdb.js"),
  }),
  clusterEntryOf({
    name: "showtable",
    summary: "show tables replica by replica, as the nameserver keeps them",
    examples: ["showtable", "showtable --db=demo_db --table=t1"],
    specs: showTableSpecs,
    load: () => import("../commands/showtable.js"),
  }),
  clusterEntryOf({
    name: "showtablestatus",
    summary: "sum tables up as SQL's SHOW TABLE STATUS does, with warnings",
    examples: ["showtablestatus", "showtablestatus --filter='demo\\_%'"],
    specs: showTableStatusSpecs,
    load: () => import("../commands/showtablestatus.js"),
  }),
  clusterEntryOf({
    name: "showopstatus",
    summary: "show the nameserver's ops, or wait until they have ended",
    examples: ["showopstatus", "showopstatus --filter=kFailed", "showopstatus --op_id=12 --wait"],
    specs: showOpStatusSpecs,
    load: () => import("../commands/showopstatus.js"),
  }),
  clusterEntryOf({
    name: "gettablestatus",
    summary: "show what one tablet has loaded, asked of the tablet itself",
    examples: [
      "gettablestatus --endpoint=127.0.0.1:10921",
      "gettablestatus --endpoint=127.0.0.1:10921 --tid=7 --pid=0",
    ],
    specs: getTableStatusSpecs,
    check: checkReplica,
    load: () => import("../commands/gettablestatus.js"),
  }),
  clusterEntryOf({
    name: "getfollower",
    summary: "show whom a leader feeds, and how far each follower is",
    examples: ["getfollower --endpoint=127.0.0.1:10921 --tid=7 --pid=0"],
    specs: getFollowerSpecs,
    load: () => import("../commands/getfollower.js"),
  }),
  entryOf({
    name: "completion",
    summary: "print the script that completes commands, flags and names in SHELL",
    examples: ['completion bash > "$HOME/.local/share/bash-completion/completions/openmldb-ops"'],
    specs: completionSpecs,
    announcement: (flags) => `the script for ${flags.shell} follows on stdout`,
    load: () => import("../commands/completion.js"),
  }),
];
