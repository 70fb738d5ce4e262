import { readdirSync } from "node:fs";
import type { CommandEntry } from "./command-entry.js";
import { COMMANDS } from "./command-table.js";
import { type Candidate, fittingOnes, shellReplies, typedWords } from "./complete-line.js";
import { type CommandLine, type Environment, splitCommandLine } from "./flag-parse.js";
import { META_SWITCHES, switchesFor } from "./invocation.js";
import type { FlagSpec } from "./spec.js";

/** Kinds of names that are read from the cluster. */
export type NameKind = "database" | "table" | "tablet";

/** Reads names from a cluster, within a time limit and without errors. */
export interface ClusterNames {
  /** @param line The line so far, which names the cluster and the database. */
  namesOf(kind: NameKind, line: CommandLine, environment: Environment): Promise<readonly string[]>;
}

/** The kind of name that a flag's value is, by flag. */
const NAMED_BY: ReadonlyMap<string, NameKind> = new Map([
  ["db", "database"],
  ["table", "table"],
  ["endpoint", "tablet"],
  ["endpoints", "tablet"],
  ["src", "tablet"],
  ["des", "tablet"],
  ["candidate", "tablet"],
  ["leader", "tablet"],
]);
/** Limit of listed files. */
const FILES_MAX = 1_000;

/**
 * Completes a command line.
 *
 * @param line The command line up to the cursor, as typed.
 * @param breaks See `typedWords`.
 * @param shell `fish` if the shell quotes the replies itself.
 * @param loadNames Loads the module that reads names from a cluster; called only if it is needed.
 * @returns One reply a line, ready for bash's COMPREPLY or for fish; empty if there are no candidates.
 */
export async function complete(
  [line = "", breaks = "", shell = ""]: readonly string[],
  environment: Environment,
  loadNames: () => Promise<ClusterNames>,
): Promise<string> {
  const words = typedWords(line, breaks);
  const current = words.at(-1);
  if (current === undefined || words.length < 2) return "";
  const before = words.slice(1, -1).map((word) => word.text);
  const candidates = await candidatesFor(before, current.text, environment, loadNames);
  const fitting = fittingOnes(current, candidates);
  const texts = shell === "fish" ? fitting.map(({ text }) => text) : shellReplies(current, fitting);
  const replies = [...new Set(texts)].sort();
  return replies.map((reply) => `${reply}\n`).join("");
}

async function candidatesFor(
  before: readonly string[],
  current: string,
  environment: Environment,
  loadNames: () => Promise<ClusterNames>,
): Promise<readonly Candidate[]> {
  const switches = switchesFor(before);
  const line = splitCommandLine(before, switches);
  const name = line.flags.get("cmd")?.[0] ?? line.words[0];
  const entry = COMMANDS.find((one) => one.name === name);
  const specs = entry?.specs ?? COMMANDS.flatMap((one) => one.specs);
  const [, given, typed] = /^--([^=]+)=([\s\S]*)$/.exec(current) ?? [];
  const last = before.at(-1) ?? "";
  const flag = given ?? (isWaiting(last, switches) ? last.slice(2) : undefined);
  const ask = (kind: NameKind) =>
    loadNames().then((names) => names.namesOf(kind, line, environment));
  if (flag !== undefined) {
    const head = given === undefined ? "" : `--${given}=`;
    const name = flag.replaceAll("-", "_");
    if (name === "cmd") return COMMANDS.map((one) => whole(head + one.name));
    const spec = specs.find((one) => one.name === name);
    return spec === undefined ? [] : valueCandidates(spec, { head, typed: typed ?? current }, ask);
  }
  if (current.startsWith("-")) return flagCandidates(entry, specs, line, current);
  const commands = COMMANDS.map((one) => one.name);
  if (name === undefined) return [...commands, "help"].map(whole);
  if (name === "help" && line.words.length === 1) return commands.map(whole);
  const taken = line.words.length - (line.flags.has("cmd") ? 0 : 1);
  const spec = entry?.words[taken];
  return spec === undefined ? [] : valueCandidates(spec, { head: "", typed: current }, ask);
}

/** True if the word is a flag whose value is the next word. */
function isWaiting(word: string, switches: ReadonlySet<string>): boolean {
  return /^--[^=]+$/.test(word) && !switches.has(word.slice(2).replaceAll("-", "_"));
}

function flagCandidates(
  entry: CommandEntry | undefined,
  specs: readonly FlagSpec<unknown>[],
  line: CommandLine,
  current: string,
): Candidate[] {
  const offered = specs.filter((spec) => spec.isList === true || !line.flags.has(spec.name));
  const all = [
    ...offered.map((spec) => ({ name: spec.name, isSwitch: spec.placeholder === undefined })),
    ...META_SWITCHES.map((name) => ({ name, isSwitch: true })),
    ...(entry === undefined ? [{ name: "cmd", isSwitch: false }] : []),
  ];
  // Both spellings are valid; keep the one that the user began.
  const hasHyphens = current.slice(2).includes("-");
  return all.map(({ name, isSwitch }) => ({
    text: `--${hasHyphens ? name.replaceAll("_", "-") : name}${isSwitch ? "" : "="}`,
    isWhole: isSwitch,
  }));
}

function whole(text: string): Candidate {
  return { text, isWhole: true };
}

/** A value to complete. */
interface TypedValue {
  /** The part of the word before the value: `--db=`, or empty. */
  readonly head: string;
  readonly typed: string;
}

async function valueCandidates(
  spec: FlagSpec<unknown>,
  { head, typed }: TypedValue,
  namesOf: (kind: NameKind) => Promise<readonly string[]>,
): Promise<Candidate[]> {
  if (/^(FILE|FOLDER)$/.test(spec.placeholder ?? "")) return fileCandidates(head, typed);
  const kind = NAMED_BY.get(spec.name);
  const values = spec.parse.words ?? (kind === undefined ? [] : await namesOf(kind));
  const isList = spec.isList === true;
  const done = isList ? typed.slice(0, typed.lastIndexOf(",") + 1) : "";
  const used = new Set(done.split(","));
  return values
    .filter((value) => value !== "" && !used.has(value))
    .map((value) => ({ text: head + done + value, isWhole: !isList }));
}

/** Files and folders whose paths begin with the typed text. */
function fileCandidates(head: string, typed: string): Candidate[] {
  const folder = typed.slice(0, typed.lastIndexOf("/") + 1);
  const begin = typed.slice(folder.length);
  try {
    return readdirSync(folder === "" ? "." : folder, { withFileTypes: true })
      .filter(({ name }) => name.startsWith(begin) && (begin !== "" || !name.startsWith(".")))
      .slice(0, FILES_MAX)
      .map((one) => ({
        text: `${head}${folder}${one.name}${one.isDirectory() ? "/" : ""}`,
        isWhole: !one.isDirectory(),
      }));
  } catch {
    return [];
  }
}
