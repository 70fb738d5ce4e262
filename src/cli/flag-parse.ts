import { existsSync } from "node:fs";
import { Parser } from "yargs/helpers";
import { usageError } from "../errors.js";
import { isSecretName, MASK } from "../util/secret-name.js";
import { badValue, pidList, secretWord, shown } from "./flag-values.js";
import type { FlagSpec, FlagsOf, Specs } from "./spec.js";

/** Variables of the environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A parsed command line, not validated yet. */
export interface CommandLine {
  /** The arguments that are not flags, in order. */
  readonly words: readonly string[];
  /** Values by flag name (with underscores), in order; an empty text for a flag without a value. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
}

/** Prefix of this tool's environment variables. */
export const VARIABLE_PREFIX = "OPENMLDB_OPS_";

const SHORT: ReadonlyMap<string, string> = new Map([
  ["-h", "--help"],
  ["-V", "--version"],
]);

/**
 * Number of arguments that are passed to the yargs parser at once. Its time grows with the square of the number of
 * flags (3 s for 2,000 flags with yargs 18.2).
 */
const PARSED_AT_ONCE = 100;

/**
 * Parses a command line, in time proportional to its length. Hyphens in flag names become underscores, `--flag value`
 * is `--flag=value`, and a switch without a value is `true`.
 *
 * @param switches Names of the flags that need no value.
 */
export function splitCommandLine(
  argv: readonly string[],
  switches: ReadonlySet<string>,
): CommandLine {
  const end = argv.indexOf("--");
  const flagged = end === -1 ? argv : argv.slice(0, end);
  const rest = end === -1 ? [] : argv.slice(end + 1);
  const args = normalized(flagged, switches);
  const words: string[] = [];
  const flags = new Map<string, string[]>();
  for (let from = 0; from < args.length; from += PARSED_AT_ONCE) {
    const parsed = parse(args.slice(from, from + PARSED_AT_ONCE));
    for (const word of parsed.words) words.push(word);
    for (const [name, values] of parsed.flags) {
      flags.set(name, [...(flags.get(name) ?? []), ...values]);
    }
  }
  return { words: [...words, ...rest], flags };
}

/** Parses normalized arguments with yargs. */
function parse(args: readonly string[]): CommandLine {
  const { _: words, ...values } = Parser([...args], {
    // All values are text: "0,2" or "1e9" must not be converted to numbers.
    string: args.flatMap((arg) => /^--([^=]+)/.exec(arg)?.[1] ?? []),
    configuration: {
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "duplicate-arguments-array": true,
      "parse-numbers": false,
      "parse-positional-numbers": false,
      "short-option-groups": false,
    },
  });
  const flags = Object.entries(values).map(([name, value]): [string, string[]] => [
    name,
    (Array.isArray(value) ? value : [value]).map(String),
  ]);
  return { words: words.map(String), flags: new Map(flags) };
}

/** Normalizes arguments: each flag becomes one argument with its value, which is empty if none was given. */
function normalized(argv: readonly string[], switches: ReadonlySet<string>): string[] {
  const args: string[] = [];
  for (let at = 0; at < argv.length; at += 1) {
    const given = argv[at] ?? "";
    const arg = SHORT.get(given) ?? given;
    const [, dashedName, value] = /^--([^=]+)(=[\s\S]*)?$/.exec(arg) ?? [];
    if (dashedName === undefined) {
      // A single dash: kept in the name, so that the flag is reported as unknown.
      args.push(/^-[^-]/.test(arg) ? `--${arg}=` : arg);
      continue;
    }
    const name = dashedName.replaceAll("-", "_");
    const next = argv[at + 1];
    if (value !== undefined) args.push(`--${name}=${keepQuotes(value.slice(1))}`);
    else if (switches.has(name)) args.push(`--${name}=true`);
    else if (next === undefined || next.startsWith("-")) args.push(`--${name}=`);
    else {
      args.push(`--${name}=${keepQuotes(next)}`);
      at += 1;
    }
  }
  return args;
}

/** Adds quotes to a quoted value, because yargs removes one pair, which the shell has already done. */
function keepQuotes(value: string): string {
  const isQuoted = value.length > 1 && /^['"]/.test(value) && value.at(0) === value.at(-1);
  return isQuoted ? `"${value}"` : value;
}

/** The environment variable for a flag's default. */
export function variableOf(flagName: string): string {
  return VARIABLE_PREFIX + flagName.toUpperCase();
}

/** The text given for a flag on the command line, else in the environment; undefined if there is none. */
export function givenText(
  name: string,
  line: CommandLine,
  environment: Environment,
): string | undefined {
  return line.flags.get(name)?.[0] ?? (environment[variableOf(name)] || undefined);
}

/**
 * Reads the flags of one command: from positional words and the command line, else from the environment, else from
 * files, else the defaults. An empty variable counts as not set.
 *
 * @param line Contains only known flags, and no command name.
 * @param words The flags that can be given as positional words, in order.
 * @param settings Values from files, for flags that can also come from the environment.
 * @throws OpsError `usage` for the first error.
 */
export function readFlags<S extends Specs>(
  specs: S,
  line: CommandLine,
  environment: Environment,
  words: readonly (keyof S & string)[] = [],
  settings: Settings = new Map(),
): FlagsOf<S> {
  checkWords(specs, line.words, words);
  const given = new Map<string, Given>();
  for (const [key, spec] of Object.entries(specs)) {
    const found = givenValue(spec, { line, environment, settings }, line.words[words.indexOf(key)]);
    if (found !== undefined) given.set(key, found);
  }
  checkRequired(specs, given);
  const values = Object.entries(specs).map(([key, spec]): [string, unknown] => {
    const found = given.get(key);
    return [key, found === undefined ? absentValue(spec, environment) : readValue(spec, found)];
  });
  // One value of the right type for each spec of S, and nothing else.
  return Object.fromEntries(values) as FlagsOf<S>;
}

/** A given value with its source. */
export interface Given {
  readonly text: string;
  /** The flag, the variable, or the file with its field; undefined for a word. */
  readonly source: string | undefined;
}

/** The name of a flag as a positional word. */
function wordName({ name }: FlagSpec<unknown>): string {
  return name.toUpperCase();
}

function readValue(spec: FlagSpec<unknown>, { text, source }: Given): unknown {
  const given = spec.parse.keepsBlanks === true ? text : text.trim();
  const value = given === "" ? (spec.bareText ?? "") : given;
  const name = source ?? wordName(spec);
  if (value === "" && spec.parse.takesEmpty !== true) {
    throw badValue(name, "it needs a value", `write --${spec.name}=${spec.placeholder ?? "true"}`);
  }
  if (spec.isSecret === true) return spec.parse(value, name);
  const where = source === undefined ? `${name} "${shown(value)}"` : `${name}=${shown(value)}`;
  return spec.parse(value, where);
}

function checkWords(specs: Specs, given: readonly string[], words: readonly string[]): void {
  const secret = given.map(secretWord).find((word) => word !== undefined);
  if (secret !== undefined) throw badValue(`unexpected word "${secret}"`, "flags begin with --");
  const star = words.findIndex((key) => specs[key]?.parse === pidList);
  const more = given.length - words.length;
  const files = star < 0 || more < 0 ? [] : given.slice(star, star + Math.min(2, 1 + more));
  // A single word that begins with a digit is taken as a partition even if a file has that name.
  const isPid = more === 0 && /^\d/.test(files[0] ?? "");
  if (files.length > 0 && !isPid && files.every((word) => existsSync(word))) {
    throw badValue(
      files.map((word) => `"${shown(word)}"`).join(" and "),
      `the shell has put ${more === 0 ? "the name of a file" : "the names of files"} in place of a *`,
      "quote it: '*'",
    );
  }
  const extra = given[words.length];
  if (extra === undefined) return;
  const isOfSecret = isSecretName(given[words.length - 1] ?? "");
  throw badValue(`unexpected word "${isOfSecret ? MASK : shown(extra)}"`, "flags begin with --");
}

/** Reports all missing required flags in one error. */
function checkRequired(specs: Specs, given: ReadonlyMap<string, Given>): void {
  const missing = Object.entries(specs).flatMap(([key, spec]) => {
    if (given.has(key) || "value" in spec.absent) return [];
    const { example } = spec.absent;
    return [{ name: example.startsWith("--") ? `--${spec.name}` : wordName(spec), example }];
  });
  if (missing.length === 0) return;
  const names = missing.map((one) => one.name);
  const examples = [...new Set(missing.map(({ example }) => example))];
  throw usageError(
    `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} missing`,
    `such as ${examples.join(" ")}`,
  );
}

/** The sources of values, in order of precedence. */
export interface Sources {
  readonly line: CommandLine;
  readonly environment: Environment;
  readonly settings: Settings;
}

/**
 * The value that was given for a flag; undefined if there is none.
 *
 * @param word The positional word for the flag; undefined if there is none.
 * @throws OpsError `usage` if it was given twice.
 */
export function givenValue(
  spec: FlagSpec<unknown>,
  { line, environment, settings }: Sources,
  word?: string,
): Given | undefined {
  const source = `--${spec.name}`;
  const values = line.flags.get(spec.name);
  if (word !== undefined && values !== undefined) {
    const reason = `given twice, as the word "${shown(word)}" too`;
    throw badValue(source, reason, "give the word or the flag");
  }
  if (word !== undefined) return { text: word, source: undefined };
  if (values !== undefined) {
    if (spec.isList === true) return { text: values.join(","), source };
    if (values.length > 1) throw badValue(source, `given ${values.length} times`);
    return { text: values[0] ?? "", source };
  }
  if (spec.hasEnvironment === false) return undefined;
  const variable = variableOf(spec.name);
  const text = environment[variable] ?? "";
  return text === "" ? settings.get(spec.name) : { text, source: variable };
}

function absentValue(spec: FlagSpec<unknown>, environment: Environment): unknown {
  const { absent, verbatimVariable } = spec;
  const verbatim = verbatimVariable && environment[verbatimVariable.name];
  if (verbatim !== undefined) return verbatimVariable?.value(verbatim);
  return "value" in absent ? absent.value : undefined;
}

/** Values from configuration files, by flag name. */
export type Settings = ReadonlyMap<string, Setting>;

/** One value with its source. */
interface Setting {
  readonly text: string;
  /** File and field, such as `/etc/clusters.json: clusters.prod.user`. */
  readonly source: string;
}
