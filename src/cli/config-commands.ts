import type { ConfigRow } from "../commands/config.js";
import { readSettings } from "./cluster-file.js";
import type { CommandEntry } from "./command-entry.js";
import { commonSpecs, globalSpecs } from "./common-specs.js";
import { givenValue, readFlags } from "./flag-parse.js";
import { choice } from "./flag-values.js";
import { type FlagSpec, noVariable, required } from "./spec.js";

const EXAMPLE = "config show";

const action = noVariable(required(["action", "ACTION", "show"], choice("show"), EXAMPLE));

const configSpecs = { action, ...globalSpecs };

/** The entry of `config show`. It is special because it needs the source of each value. */
export const CONFIG_ENTRY: CommandEntry = {
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
