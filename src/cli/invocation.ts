import { statSync } from "node:fs";
import { type OpsError, usageError } from "../errors.js";
import { nearest, nearestOnes } from "../util/nearest.js";
import { shellWord } from "../util/text.js";
import type { CommandEntry } from "./command-entry.js";
import { COMMANDS } from "./command-table.js";
import {
  type CommandLine,
  type Environment,
  givenText,
  splitCommandLine,
  VARIABLE_PREFIX,
  variableOf,
} from "./flag-parse.js";
import { shown } from "./flag-values.js";
import type { FlagSpec } from "./spec.js";

/** The request of a command line. */
export type Invocation =
  | { readonly kind: "help"; readonly of: CommandEntry | undefined }
  | { readonly kind: "version" }
  /** There are no arguments. */
  | { readonly kind: "nothing" }
  | { readonly kind: "command"; readonly entry: CommandEntry; readonly line: CommandLine };

/** Limit of arguments, above what any command needs: parsing more would take seconds. */
const ARGUMENTS_MAX = 10_000;

/** Switches that belong to no command. */
export const META_SWITCHES = ["help", "version"] as const;
/** Flags of `openmldb_ops.py` and of OpenMLDB's own clients, which are accepted and ignored. */
const OLD_FLAGS: readonly string[] = ["openmldb_bin_path", "role", "interactive"];
const META_FLAGS: readonly string[] = [...META_SWITCHES, "cmd", ...OLD_FLAGS];
/** Synonyms of flags: used if a command has only the other one. */
const SAME: ReadonlyMap<string, string> = new Map([
  ["endpoint", "endpoints"],
  ["endpoints", "endpoint"],
]);
/** Prefixes of variables that are not flags: those of this tool's tests, and those of its `--post_hook`. */
const FOREIGN_PREFIXES = ["OPENMLDB_OPS_TEST_", "OPENMLDB_OPS_RUN_"];

/** Names of the flags that need no value in any of these commands. */
function switchesOf(entries: readonly CommandEntry[]): ReadonlySet<string> {
  const specs = entries.flatMap((entry) => entry.specs);
  const valued = new Set(
    specs.filter((one) => one.placeholder !== undefined).map((one) => one.name),
  );
  const names = specs.map((one) => one.name).filter((name) => !valued.has(name));
  return new Set([...META_SWITCHES, "interactive", ...names]);
}

/**
 * Names of the flags that need no value on this command line. A flag can need a value with one command and none with
 * another, so the command is determined first.
 */
export function switchesFor(argv: readonly string[]): ReadonlySet<string> {
  const everywhere = switchesOf(COMMANDS);
  const line = splitCommandLine(argv, everywhere);
  const name = (line.flags.get("cmd")?.[0] ?? line.words[0])?.split(/\s/)[0];
  const entry = COMMANDS.find((known) => known.name === name);
  return entry === undefined ? everywhere : switchesOf([entry]);
}

/**
 * Determines the request of a command line, and checks that its flags exist.
 *
 * @param argv Without `node` and the script.
 * @throws OpsError `usage` for an unknown command or flag, with the nearest known one.
 */
export function readInvocation(argv: readonly string[]): Invocation {
  if (argv.length === 0) return { kind: "nothing" };
  if (argv.length > ARGUMENTS_MAX) {
    throw usageError(
      `${argv.length} arguments are more than ${ARGUMENTS_MAX}`,
      "where a * is meant, quote it: '*'",
    );
  }
  const line = splitCommandLine(argv, switchesFor(argv));
  const { name, words } = commandName(line);
  if (name === "help") return { kind: "help", of: helpTopic(words[0]) };
  const entry = name === undefined ? undefined : findCommand(name);
  if (line.flags.has("help")) return { kind: "help", of: entry };
  if (line.flags.has("version")) return { kind: "version" };
  const flags = checkedFlags(line, entry);
  if (entry === undefined) {
    if (line.flags.has("role") || line.flags.has("interactive")) throw noClient();
    throw usageError("no command given", COMMAND_HINT);
  }
  return { kind: "command", entry, line: { words, flags } };
}

function noClient(): OpsError {
  return usageError(
    "this tool has no prompt; each command is typed after its name",
    "such as: openmldb-ops showtable t1 --zk_cluster=127.0.0.1:2181 --zk_root_path=/openmldb",
  );
}

/** Number of commands with a flag that a message names; the others are counted. */
const OWNERS_SHOWN = 3;

const COMMAND_HINT = "openmldb-ops help lists the commands";

/**
 * The command's name, from `--cmd` or the first word, and the remaining words. OpenMLDB's old client takes a command
 * with its arguments in `--cmd`, separated by blanks.
 */
function commandName(line: CommandLine): {
  readonly name: string | undefined;
  readonly words: readonly string[];
} {
  const given = line.flags.get("cmd");
  const [first, ...others] = line.words;
  if (given === undefined) return { name: first, words: others };
  if (given.length > 1) {
    throw usageError(`--cmd: given ${given.length} times`);
  }
  const [name = "", ...words] = (given[0] ?? "").trim().split(/\s+/);
  if (name === "") {
    throw usageError("--cmd: it needs a value", COMMAND_HINT);
  }
  // `--cmd=confset auto_failover true`: the first word is an argument unless it is a command.
  const isCommand = first !== undefined && COMMANDS.some((entry) => entry.name === first);
  if (!isCommand) return { name, words: [...words, ...line.words] };
  if (first === name) return { name, words: [...words, ...others] };
  throw usageError(`two commands: --cmd=${shown(name)} and ${first}`, "give one of them");
}

function helpTopic(word: string | undefined): CommandEntry | undefined {
  return word === undefined || word === "help" ? undefined : findCommand(word);
}

function findCommand(name: string): CommandEntry {
  const entry = COMMANDS.find((known) => known.name === name);
  if (entry !== undefined) return entry;
  const message = `unknown command "${shown(name)}"`;
  const hint = OLD_COMMANDS.get(name);
  if (hint !== undefined) throw usageError(message, hint);
  throw unknown(message, nearestOnes(name, [...COMMANDS.map((known) => known.name), "help"]));
}

/** Commands of OpenMLDB's clients that this tool does not have, with a hint for each. */
const OLD_COMMANDS: ReadonlyMap<string, string> = new Map([
  ["use", "give the database to the command that needs it, with --db"],
  ["man", "openmldb-ops help COMMAND"],
  ["exit", "this tool has no prompt; each command ends by itself"],
  ["quit", "this tool has no prompt; each command ends by itself"],
  ["create", "this tool creates no tables; use OpenMLDB's SQL: CREATE TABLE"],
  ["drop", "this tool drops no tables; use OpenMLDB's SQL: DROP TABLE"],
  ["showschema", "use OpenMLDB's SQL: DESC"],
  ["changerole", "changeleader changes the leader of a partition; loadtable --leader loads one"],
]);

/** The flags by the command's own names (see {@link SAME}). @throws OpsError `usage` for an unknown flag. */
function checkedFlags(line: CommandLine, entry: CommandEntry | undefined): CommandLine["flags"] {
  const known = new Set(flagNames(entry?.specs ?? COMMANDS.flatMap(({ specs }) => specs)));
  const flags = new Map<string, readonly string[]>();
  for (const [given, values] of line.flags) {
    const same = SAME.get(given);
    const name = !known.has(given) && same !== undefined && known.has(same) ? same : given;
    if (!known.has(name) && !META_FLAGS.includes(name)) throw unknownFlag(name, entry, known);
    flags.set(name, [...(flags.get(name) ?? []), ...values]);
  }
  return flags;
}

function flagNames(specs: readonly FlagSpec<unknown>[]): string[] {
  return specs.map((spec) => spec.name);
}

function unknownFlag(
  name: string,
  entry: CommandEntry | undefined,
  known: ReadonlySet<string>,
): OpsError {
  const owners = COMMANDS.filter(({ specs }) => flagNames(specs).includes(name));
  const help = `see openmldb-ops help${entry === undefined ? "" : ` ${entry.name}`}`;
  if (owners.length > 0) {
    const names = owners.slice(0, OWNERS_SHOWN).map((owner) => owner.name);
    const more = owners.length > OWNERS_SHOWN ? ` and ${owners.length - OWNERS_SHOWN} more` : "";
    const of = `${names.join(", ")}${more}`;
    return unknown(`--${name} is a flag of ${of}, not of ${entry?.name}`, [], help);
  }
  const dashes = name.startsWith("-") ? "" : "--";
  const near = dashes === "" ? [] : nearestOnes(name, [...known, ...META_FLAGS]).slice(0, 1);
  const message = `unknown flag ${dashes}${shown(name)}`;
  return unknown(
    message,
    near.map((one) => `--${one}`),
    help,
  );
}

function unknown(message: string, near: readonly string[], hint = COMMAND_HINT): OpsError {
  return near.length === 0
    ? usageError(message, hint)
    : usageError(`${message}: did you mean ${near.join(" or ")}?`);
}

/** Notes on ignored or unsafe parts of a valid command line and of the environment, one line each. */
export function notesOn(line: CommandLine, environment: Environment): string[] {
  const notes = passwordFileNotes(line, environment);
  const old = OLD_FLAGS.filter((name) => line.flags.has(name)).map((name) => `--${name}`);
  if (old.length > 0) {
    const are = old.length > 1 ? "are" : "is";
    notes.push(
      `${old.join(" and ")} ${are} not needed and ignored: no program of OpenMLDB is started`,
    );
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
    notes.push(`the environment variable ${shown(name)} is unknown and ignored${question}`);
  }
  return notes;
}

/** Mode bits that allow group and others to read a file. */
const READABLE_BY_OTHERS = 0o044;

function passwordFileNotes(line: CommandLine, environment: Environment): string[] {
  const path = givenText("password_file", line, environment) ?? "";
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats?.isFile() || (stats.mode & READABLE_BY_OTHERS) === 0) return [];
  return [`other users can read the password file: chmod 600 ${shellWord(path)}`];
}

/** Compares names without their prefix, with which all names would be similar. */
function nearestVariable(name: string, known: readonly string[]): string | undefined {
  const bare = (variable: string) => variable.slice(VARIABLE_PREFIX.length).toLowerCase();
  const near = nearest(bare(name), known.map(bare));
  return near === undefined ? undefined : variableOf(near);
}
