import { fileURLToPath } from "node:url";
import { EXIT_MEANINGS } from "../exit-codes.js";
import { textWidth } from "../util/width.js";
import { wrapped } from "../util/wrap.js";
import type { CommandEntry } from "./command-entry.js";
import { TASKS } from "./command-table.js";
import { commonSpecs } from "./common-specs.js";
import type { FlagSpec } from "./spec.js";

const NAME = "openmldb-ops";
/** Limit of the line width, because wider lines are hard to read. */
const WIDTH_MAX = 100;

const EXAMPLES: readonly string[] = [
  "export OPENMLDB_OPS_ZK_CLUSTER=zk1:2181 OPENMLDB_OPS_ZK_ROOT_PATH=/openmldb",
  `${NAME} inspect`,
  `${NAME} recoverdata --dry_run`,
  `${NAME} recoverdata`,
  `${NAME} recovertable t1 0,2,5-7 127.0.0.1:10921`,
  `${NAME} showtable t1 --db=demo_db`,
  `${NAME} showopstatus --filter=kFailed`,
  `${NAME} changeleader t1 0 auto`,
  `${NAME} scalein --endpoints=127.0.0.1:10921`,
  `${NAME} confget auto_failover`,
];

const COMMON_TEXT = [
  "--cmd=COMMAND is the same as COMMAND. Flags may be written with - instead of _, in any order,",
  "and their defaults may come from the environment: OPENMLDB_OPS_ZK_CLUSTER for --zk_cluster.",
].join(" ");

/** Names of the common flags, which are listed after a command's own. */
const COMMON: ReadonlySet<string> = new Set(Object.values(commonSpecs).map(({ name }) => name));

/**
 * The help of the whole tool: commands by task, then examples.
 *
 * @param columns Width of the terminal.
 */
export function mainHelp(version: string, columns: number): string {
  const width = Math.min(columns, WIDTH_MAX);
  const helpLine: Row = ["help COMMAND", "the flags of a command (or: COMMAND --help)"];
  const tasks = TASKS.map(({ task, commands }, index) => ({
    title: `${task}:`,
    rows: [
      ...commands.map(({ name, summary }): Row => [name, summary]),
      ...(index === TASKS.length - 1 ? [helpLine] : []),
    ],
  }));
  return joined([
    ...sentence(`${NAME} ${version}: recovers the partitions of an OpenMLDB cluster`, width),
    "",
    ...sections(tasks, width),
    ...sentence(COMMON_TEXT, width),
    "",
    "Examples:",
    ...EXAMPLES.map((line) => `  ${line}`),
  ]);
}

/**
 * The help of one command: flags, exit codes, examples, and the path of its reference page.
 *
 * @param columns Width of the terminal.
 */
export function commandHelp(entry: CommandEntry, columns: number): string {
  const width = Math.min(columns, WIDTH_MAX);
  const words = entry.words.map((spec) =>
    "value" in spec.absent ? `[${spec.name.toUpperCase()}]` : spec.name.toUpperCase(),
  );
  const rows = (isCommon: boolean) =>
    entry.specs
      .filter(({ name }) => COMMON.has(name) === isCommon)
      .map((spec): Row => [flagUsage(spec), flagText(spec)]);
  const flags = [
    { title: "Flags:", rows: rows(false) },
    { title: "Flags of all commands:", rows: rows(true) },
  ];
  const asFlags =
    words.length === 0 ? "" : " A word may be given as the flag of that name instead.";
  return joined([
    ...sentence(`${NAME} ${entry.name}: ${entry.summary}`, width),
    "",
    ...sentence(`Usage: ${[NAME, entry.name, ...words, "[FLAGS]"].join(" ")}`, width),
    "",
    ...sections(
      flags.filter((one) => one.rows.length > 0),
      width,
    ),
    ...sentence(
      `${COMMON_TEXT}${asFlags} TIME is in seconds, or has a unit: 500ms, 30s, 5m, 1h.`,
      width,
    ),
    "",
    ...sections([{ title: "Exit codes:", rows: EXIT_MEANINGS }], width),
    "Examples:",
    ...entry.examples.flatMap((line) => commandLines(`${NAME} ${line}`, width)),
    "",
    `More: ${fileURLToPath(new URL(`../../docs/reference/${entry.page}.md`, import.meta.url))}`,
  ]);
}

/** A command wrapped to the width, with a backslash at the end of each continued line. */
function commandLines(command: string, columns: number): string[] {
  const lines: string[] = [];
  let line = " ";
  for (const word of command.split(" ")) {
    const isFirst = line.trim() === "";
    // Reserve space for a blank and the backslash.
    if (!isFirst && textWidth(line) + 1 + textWidth(word) + 2 > columns) {
      lines.push(`${line} \\`);
      line = "     ";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

function joined(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}

function flagUsage(spec: FlagSpec<unknown>): string {
  if (spec.placeholder === undefined) return `--${spec.name}`;
  return spec.bareText === undefined
    ? `--${spec.name}=${spec.placeholder}`
    : `--${spec.name}[=${spec.placeholder}]`;
}

function flagText(spec: FlagSpec<unknown>): string {
  if ("example" in spec.absent) return `${spec.help} (required)`;
  return spec.defaultText === undefined ? spec.help : `${spec.help} [${spec.defaultText}]`;
}

type Row = readonly [name: string, text: string];

interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
}

/** Sections with a title and two columns of the same width in all sections; the second column is wrapped. */
function sections(all: readonly Section[], columns: number): string[] {
  const names = all.flatMap(({ rows }) => rows.map(([name]) => name));
  const left = names.reduce((widest, name) => Math.max(widest, textWidth(name)), 0);
  const rest = " ".repeat(left + 4);
  return all.flatMap(({ title, rows }) => [
    title,
    ...rows.flatMap(([name, text]) =>
      wrapped(text, { first: `  ${name.padEnd(left)}  `, rest }, { columns }),
    ),
    "",
  ]);
}

function sentence(text: string, columns: number): string[] {
  return wrapped(text, { first: "", rest: "" }, { columns });
}
