import { type CommandEntry, clusterEntryOf, EXAMPLE_CLUSTER, entryOf } from "./command-entry.js";
import { CONFIG_ENTRY } from "./config-commands.js";
import {
  checkHistory,
  checkSandbox,
  completionSpecs,
  confGetSpecs,
  confSetSpecs,
  historySpecs,
  restoreSpecs,
  sandboxSpecs,
} from "./tool-specs.js";

/** The nameserver's configuration. */
export const CONF_COMMANDS: readonly CommandEntry[] = [
  clusterEntryOf({
    name: "confget",
    page: "conf",
    summary: "show the nameserver's configuration, or one KEY of it",
    examples: ["confget", "confget auto_failover"],
    specs: confGetSpecs,
    words: ["key"],
    load: () => import("../commands/confget.js"),
  }),
  clusterEntryOf({
    name: "confset",
    page: "conf",
    summary: "set a KEY of the nameserver's configuration: auto_failover to true or false",
    examples: ["confset auto_failover true", "confset auto_failover false --dry_run"],
    specs: confSetSpecs,
    words: ["key", "value"],
    load: () => import("../commands/confset.js"),
  }),
  clusterEntryOf({
    name: "restore",
    summary: "restore auto_failover after a run that was killed; does nothing else",
    examples: ["restore", "restore --dry_run"],
    specs: restoreSpecs,
    load: () => import("../commands/restore.js"),
  }),
];

/** Commands that concern the tool itself. */
export const TOOL_COMMANDS: readonly CommandEntry[] = [
  CONFIG_ENTRY,
  entryOf({
    name: "history",
    summary: "list the runs of this tool, or show the one with --id",
    examples: ["history", "history --id=20260102T030405Z-1a2b3c4d", `history ${EXAMPLE_CLUSTER}`],
    specs: historySpecs,
    words: ["id"],
    announcement: (flags) =>
      flags.zkCluster.length === 0 ? "reading journals" : "reading journals and ZooKeeper ...",
    check: checkHistory,
    load: () => import("../commands/history.js"),
  }),
  entryOf({
    name: "sandbox",
    summary: "run a small OpenMLDB cluster model on this machine, to try commands on",
    examples: ["sandbox", "sandbox --tablets=3 --tables=2 --rows=1000 --speed=10"],
    specs: sandboxSpecs,
    announcement: () => "starting a sandbox cluster ...",
    check: checkSandbox,
    load: () => import("../commands/sandbox.js"),
  }),
  entryOf({
    name: "completion",
    summary: "print the script that completes commands, flags and names in SHELL",
    examples: [
      'completion bash > "$HOME/.local/share/bash-completion/completions/openmldb-ops"',
      'completion fish > "$HOME/.config/fish/completions/openmldb-ops.fish"',
    ],
    specs: completionSpecs,
    words: ["shell"],
    announcement: (flags) => `the script for ${flags.shell} follows on stdout`,
    load: () => import("../commands/completion.js"),
  }),
];
