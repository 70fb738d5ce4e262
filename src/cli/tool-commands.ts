import type { ConfigRow } from "../commands/config.js";
import { readSettings } from "./cluster-file.js";
import { type CommandEntry, clusterEntryOf, EXAMPLE_CLUSTER, entryOf } from "./command-entry.js";
import { commonSpecs, globalSpecs } from "./common-specs.js";
import { givenValue, readFlags } from "./flag-parse.js";
import { choice } from "./flag-values.js";
import { type FlagSpec, noVariable, required } from "./spec.js";
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

const EXAMPLE = "config show";

const action = noVariable(required(["action", "ACTION", "show"], choice("show"), EXAMPLE));

const configSpecs = { action, ...globalSpecs };

/** The entry of `config show`. It is special because it needs the source of each value. */
const CONFIG_ENTRY: CommandEntry = {
  name: "config",
  summary: "show the connection settings in force, and where each of them comes from",
  examples: [EXAMPLE, `${EXAMPLE} --zk_cluster=127.0.0.1:2181 --output=json`],
  page: "config",
  specs: [action, ...Object.values(commonSpecs)],
  words: [action],
  prepare(line, environment) {
    const settings = readSettings(line, environment);
    const global = readFlags(configSpecs, line, environment, ["action"]);
    const sources = { line, environment, settings };
    const rows = Object.entries(commonSpecs).flatMap(([key, spec]) =>
      key in globalSpecs ? [] : [rowOf(spec, sources)],
    );
    const isStream = global.output === "ndjson";
    const flags = { ...global, ...(isStream ? { output: "json" as const } : {}), rows };
    return {
      flags,
      isStream,
      announcement: "reading the configuration",
      run: async (io) => (await import("../commands/config.js")).run(flags, io),
    };
  },
};

function rowOf(spec: FlagSpec<unknown>, sources: Parameters<typeof givenValue>[1]): ConfigRow {
  const { name, verbatimVariable, isSecret = false, defaultText } = spec;
  const found = givenValue(spec, sources);
  if (found !== undefined) {
    const { text, source = "" } = found;
    // Secrets are not shown. This includes the path of a password file, because users type the password by mistake.
    return { name, value: isSecret ? "set" : text, source };
  }
  const variable = verbatimVariable?.name;
  if (variable !== undefined && sources.environment[variable] !== undefined) {
    return { name, value: "set", source: variable };
  }
  return { name, value: defaultText ?? null, source: "default" };
}

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
