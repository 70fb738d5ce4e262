import { EXIT_MEANINGS } from "../exit-codes.js";
import { maxOf } from "../util/extremes.js";
import type { CommandEntry } from "./command-entry.js";
import { COMMANDS } from "./command-table.js";
import { commonSpecs } from "./common-specs.js";
import type { FlagSpec } from "./spec.js";

const NAME = "openmldb-ops";
const WIDTH = 100;

/** The help of the whole tool. */
export function mainHelp(version: string): string {
  return [
    `${NAME} ${version}: brings the partitions of an OpenMLDB cluster back after an outage`,
    "",
    "Examples:",
    ...examples(COMMANDS.map((entry) => entry.examples[0] ?? entry.name)),
    "",
    "Commands:",
    ...columns([
      ...COMMANDS.map((entry): [string, string] => [entry.name, entry.summary]),
      ["help COMMAND", "the flags of a command (or: COMMAND --help)"],
    ]),
    "",
    ...COMMON_TEXT,
    "",
    `Next: ${NAME} help recoverdata`,
    "",
  ].join("\n");
}

const COMMON_TEXT: readonly string[] = [
  "--cmd=COMMAND is the same as COMMAND. Flags may be written with - instead of _, in any order,",
  "and their defaults may come from the environment: OPENMLDB_OPS_ZK_CLUSTER for --zk_cluster.",
];

/** Flags that say nothing about a command come after its own. */
const COMMON = new Set(Object.values<FlagSpec<unknown>>(commonSpecs).map((spec) => spec.name));

function flagLines(title: string, flags: readonly FlagSpec<unknown>[]): string[] {
  if (flags.length === 0) return [];
  return [title, ...columns(flags.map((spec) => [flagUsage(spec), flagText(spec)])), ""];
}

/** The help of one command. */
export function commandHelp(entry: CommandEntry): string {
  const { specs: flags } = entry;
  const usage = entry.words.map((spec) => `[${spec.name.toUpperCase()}]`);
  return [
    `${NAME} ${entry.name}: ${entry.summary}`,
    "",
    "Examples:",
    ...examples(entry.examples),
    "",
    `Usage: ${[NAME, entry.name, ...usage, "[FLAGS]"].join(" ")}`,
    "",
    ...flagLines(
      "Flags:",
      flags.filter((spec) => !COMMON.has(spec.name)),
    ),
    ...flagLines(
      "Flags of all commands:",
      flags.filter((spec) => COMMON.has(spec.name)),
    ),
    ...COMMON_TEXT,
    "TIME is in seconds, or has a unit: 500ms, 30s, 5m, 1h.",
    "",
    "Exit codes:",
    ...columns(EXIT_MEANINGS),
    "",
  ].join("\n");
}

function examples(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${NAME} ${line}`);
}

function flagUsage(spec: FlagSpec<unknown>): string {
  return spec.placeholder === undefined ? `--${spec.name}` : `--${spec.name}=${spec.placeholder}`;
}

function flagText(spec: FlagSpec<unknown>): string {
  if ("example" in spec.absent) return `${spec.help} (needed)`;
  return spec.defaultText === undefined ? spec.help : `${spec.help} [${spec.defaultText}]`;
}

/** Two columns, the second one wrapped. */
function columns(rows: readonly (readonly [string, string])[]): string[] {
  const left = maxOf(rows.map(([name]) => name.length));
  return rows.flatMap(([name, text]) =>
    wrap(text, WIDTH - left - 4).map(
      (line, index) => `  ${(index === 0 ? name : "").padEnd(left)}  ${line}`,
    ),
  );
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}
