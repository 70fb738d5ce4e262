import { statSync } from "node:fs";
import { OpsError } from "../errors.js";
import { nearest } from "../util/nearest.js";
import { safe, shellWord } from "../util/text.js";
import type { CommandEntry } from "./command-entry.js";
import { COMMANDS } from "./command-table.js";
import {
  type CommandLine,
  type Environment,
  splitCommandLine,
  VARIABLE_PREFIX,
  variableOf,
} from "./flag-parse.js";
import { shown } from "./flag-values.js";
import type { FlagSpec } from "./spec.js";

/** What a command line asks for. */
export type Invocation =
  | { readonly kind: "help"; readonly of: CommandEntry | undefined }
  | { readonly kind: "version" }
  /** Neither a command nor a flag: nothing is asked for. */
  | { readonly kind: "nothing" }
  | { readonly kind: "command"; readonly entry: CommandEntry; readonly line: CommandLine };

/** Flags that are no flags of a command. */
export const META_SWITCHES = ["help", "version"] as const;
const META_FLAGS = [...META_SWITCHES, "cmd", "openmldb_bin_path"];
/** Variables that are no flags: of this tool's tests, and what it tells its `--post_hook`. */
const FOREIGN_PREFIXES = ["OPENMLDB_OPS_TEST_", "OPENMLDB_OPS_RUN_"];

/** Names of the flags that need no value in any of these commands. */
function switchesOf(entries: readonly CommandEntry[]): ReadonlySet<string> {
  const specs = entries.flatMap((entry) => entry.specs);
  const valued = new Set(
    specs.filter((one) => one.placeholder !== undefined).map((one) => one.name),
  );
  const names = specs.map((one) => one.name).filter((name) => !valued.has(name));
  return new Set([...META_SWITCHES, ...names]);
}

/**
 * Names of the flags that need no value on this command line. One flag can need a value with one
 * command and none with another, so the command is found out first.
 */
export function switchesFor(argv: readonly string[]): ReadonlySet<string> {
  const everywhere = switchesOf(COMMANDS);
  const line = splitCommandLine(argv, everywhere);
  const name = line.flags.get("cmd")?.[0] ?? line.words[0];
  const entry = COMMANDS.find((known) => known.name === name);
  return entry === undefined ? everywhere : switchesOf([entry]);
}

/**
 * Finds out what a command line asks for, and whether its flags belong to that.
 *
 * @param argv Without `node` and the script.
 * @throws OpsError `usage` for an unknown command or flag, with the nearest known one.
 */
export function readInvocation(argv: readonly string[]): Invocation {
  if (argv.length === 0) return { kind: "nothing" };
  const line = splitCommandLine(argv, switchesFor(argv));
  const { name, words } = commandName(line);
  if (name === "help") return { kind: "help", of: helpTopic(words[0]) };
  const entry = name === undefined ? undefined : findCommand(name);
  if (line.flags.has("help")) return { kind: "help", of: entry };
  if (line.flags.has("version")) return { kind: "version" };
  checkFlags(line, entry);
  if (entry === undefined) {
    throw new OpsError({ code: "usage", message: "no command given", hint: COMMAND_HINT });
  }
  return { kind: "command", entry, line: { words, flags: line.flags } };
}

/** More commands that know a flag are only counted. */
const OWNERS_SHOWN = 3;

const COMMAND_HINT = `commands: ${COMMANDS.map(({ name }) => name).join(", ")}, help`;

/** The command, as the value of `--cmd` or the first word, and the words that are left then. */
function commandName(line: CommandLine): {
  readonly name: string | undefined;
  readonly words: readonly string[];
} {
  const given = line.flags.get("cmd");
  const [first, ...others] = line.words;
  if (given === undefined) return { name: first, words: others };
  const [name = "", second] = given;
  if (second !== undefined) {
    throw new OpsError({ code: "usage", message: `--cmd: given ${given.length} times` });
  }
  if (name === "") {
    throw new OpsError({ code: "usage", message: "--cmd: it needs a value", hint: COMMAND_HINT });
  }
  // `--cmd=confset auto_failover true`: the first word is an argument unless it is a command.
  const isCommand = first !== undefined && COMMANDS.some((entry) => entry.name === first);
  if (!isCommand) return { name, words: line.words };
  if (first === name) return { name, words: others };
  throw new OpsError({
    code: "usage",
    message: `two commands: --cmd=${safe(name)} and ${first}`,
    hint: "give one of them",
  });
}

function helpTopic(word: string | undefined): CommandEntry | undefined {
  return word === undefined || word === "help" ? undefined : findCommand(word);
}

function findCommand(name: string): CommandEntry {
  const entry = COMMANDS.find((known) => known.name === name);
  if (entry !== undefined) return entry;
  const near = nearest(name, [...COMMANDS.map((known) => known.name), "help"]);
  throw unknown(`unknown command "${shown(name)}"`, near, COMMAND_HINT);
}

function checkFlags(line: CommandLine, entry: CommandEntry | undefined): void {
  const all = COMMANDS.flatMap(({ specs }) => specs);
  const known = flagNames(entry?.specs ?? all);
  for (const name of line.flags.keys()) {
    if (known.includes(name) || META_FLAGS.includes(name)) continue;
    throw unknownFlag(name, entry, known);
  }
}

function flagNames(specs: readonly FlagSpec<unknown>[]): string[] {
  return specs.map((spec) => spec.name);
}

function unknownFlag(
  name: string,
  entry: CommandEntry | undefined,
  known: readonly string[],
): OpsError {
  const owners = COMMANDS.filter(({ specs }) => flagNames(specs).includes(name));
  const help = `see openmldb-ops help${entry === undefined ? "" : ` ${entry.name}`}`;
  if (owners.length > 0) {
    const names = owners.slice(0, OWNERS_SHOWN).map((owner) => owner.name);
    const more = owners.length > OWNERS_SHOWN ? ` and ${owners.length - OWNERS_SHOWN} more` : "";
    const of = `${names.join(", ")}${more}`;
    return unknown(`--${name} is a flag of ${of}, not of ${entry?.name}`, undefined, help);
  }
  const dashes = name.length === 1 ? "-" : "--";
  const near = dashes === "-" ? undefined : nearest(name, [...known, ...META_FLAGS]);
  return unknown(`unknown flag ${dashes}${safe(name)}`, near && `--${near}`, help);
}

function unknown(message: string, near: string | undefined, hint: string): OpsError {
  return near === undefined
    ? new OpsError({ code: "usage", message, hint })
    : new OpsError({ code: "usage", message: `${message}: did you mean ${near}?` });
}

/**
 * What the user should know of a command line and environment that are right but odd: one line
 * each.
 */
export function notesOn(line: CommandLine, environment: Environment): string[] {
  const notes = passwordFileNotes(line, environment);
  if (line.flags.has("openmldb_bin_path")) {
    notes.push("--openmldb_bin_path is not needed and ignored: no program of OpenMLDB is started");
  }
  const specs = COMMANDS.flatMap((entry) => entry.specs);
  const known = specs.flatMap((spec) => [
    ...(spec.hasEnvironment === false ? [] : [variableOf(spec.name)]),
    ...(spec.verbatimVariable === undefined ? [] : [spec.verbatimVariable.name]),
  ]);
  for (const name of Object.keys(environment)) {
    if (
      !name.startsWith(VARIABLE_PREFIX) ||
      FOREIGN_PREFIXES.some((prefix) => name.startsWith(prefix))
    )
      continue;
    if (known.includes(name)) continue;
    const near = nearestVariable(name, known);
    const question = near === undefined ? "" : `; did you mean ${near}?`;
    notes.push(`the environment variable ${safe(name)} is unknown and ignored${question}`);
  }
  return notes;
}

/** Bits of a file's mode that let its group and all others read it. */
const READABLE_BY_OTHERS = 0o044;

function passwordFileNotes(line: CommandLine, environment: Environment): string[] {
  const given = line.flags.get("password_file")?.[0];
  const path = given ?? environment[variableOf("password_file")] ?? "";
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats?.isFile() || (stats.mode & READABLE_BY_OTHERS) === 0) return [];
  return [`other users can read the password file: chmod 600 ${shellWord(path)}`];
}

/** Compares what comes after the prefix: with it, all names would be near each other. */
function nearestVariable(name: string, known: readonly string[]): string | undefined {
  const bare = (variable: string) => variable.slice(VARIABLE_PREFIX.length).toLowerCase();
  const near = nearest(bare(name), known.map(bare));
  return near === undefined ? undefined : variableOf(near);
}
