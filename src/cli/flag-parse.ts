import { existsSync } from "node:fs";
import { Parser } from "yargs/helpers";
import { OpsError } from "../errors.js";
import { badValue, pidList, shown } from "./flag-values.js";
import type { FlagSpec, FlagsOf, Specs } from "./spec.js";

/** Variables of the environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A command line taken apart, nothing judged yet. */
export interface CommandLine {
  /** What is no flag, in order. */
  readonly words: readonly string[];
  /** Values by flag name (with underscores), in order; an empty text where none was given. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
}

/** What variables of this tool begin with. */
export const VARIABLE_PREFIX = "OPENMLDB_OPS_";

const SHORT: ReadonlyMap<string, string> = new Map([
  ["-h", "--help=true"],
  ["-V", "--version=true"],
]);

/**
 * Takes a command line apart. Hyphens in flag names become underscores, `--flag value` is
 * `--flag=value`, and a switch without a value is `true`.
 *
 * @param switches Names of the flags that need no value.
 */
export function splitCommandLine(
  argv: readonly string[],
  switches: ReadonlySet<string>,
): CommandLine {
  const args = normalized(argv, switches);
  const names = args.flatMap((arg) => /^--([^=]+)/.exec(arg)?.[1] ?? []);
  const parsed = Parser(args, {
    // Text as it stands: nothing may turn "0,2" or "1e9" into something else.
    string: names,
    configuration: {
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "duplicate-arguments-array": true,
      "parse-numbers": false,
      "parse-positional-numbers": false,
      "populate--": true,
      "short-option-groups": false,
    },
  });
  const {
    _: words,
    "--": rest = [],
    ...values
  } = parsed as Record<string, unknown> & {
    readonly _: readonly (string | number)[];
    readonly "--"?: readonly (string | number)[];
  };
  const flags = Object.entries(values).map(([name, value]): [string, string[]] => [
    name,
    (Array.isArray(value) ? value : [value]).map(String),
  ]);
  return { words: [...words, ...rest].map(String), flags: new Map(flags) };
}

/** One spelling for everything that means the same. */
function normalized(argv: readonly string[], switches: ReadonlySet<string>): string[] {
  const end = argv.indexOf("--");
  const flagged = end === -1 ? argv : argv.slice(0, end);
  const args = flagged.map((arg) => {
    const [, dashedName, value] = /^--([^=]+)(=[\s\S]*)?$/.exec(arg) ?? [];
    if (dashedName === undefined) return SHORT.get(arg) ?? arg;
    const name = dashedName.replaceAll("-", "_");
    if (value !== undefined) return `--${name}=${keepQuotes(value.slice(1))}`;
    return switches.has(name) ? `--${name}=true` : `--${name}`;
  });
  return end === -1 ? args : [...args, ...argv.slice(end)];
}

/** The parser takes one pair of quotes off a value; the shell has done that already. */
function keepQuotes(value: string): string {
  const isQuoted = value.length > 1 && /^['"]/.test(value) && value.at(0) === value.at(-1);
  return isQuoted ? `"${value}"` : value;
}

/** The variable that gives a flag's default. */
export function variableOf(flagName: string): string {
  return VARIABLE_PREFIX + flagName.toUpperCase();
}

/**
 * Reads the flags of one command: from the words after it, from the command line, else from the
 * environment, else the defaults. An empty variable counts as not set.
 *
 * @param line Holds only flags that the command knows, and no command word any more.
 * @param words The flags that words stand for, in order.
 * @throws OpsError `usage` for the first thing that is wrong.
 */
export function readFlags<S extends Specs>(
  specs: S,
  line: CommandLine,
  environment: Environment,
  words: readonly (keyof S & string)[] = [],
): FlagsOf<S> {
  checkWordCount(specs, line.words, words);
  const given = new Map<string, Given>();
  for (const [key, spec] of Object.entries(specs)) {
    const found = givenValue(spec, line, environment, line.words[words.indexOf(key)]);
    if (found !== undefined) given.set(key, found);
  }
  checkNeeded(specs, given);
  const values = Object.entries(specs).map(([key, spec]): [string, unknown] => {
    const found = given.get(key);
    return [
      key,
      found === undefined ? absentValue(spec, environment) : spec.parse(found.text, found.where),
    ];
  });
  // One value of the right type for each spec of S, and nothing else.
  return Object.fromEntries(values) as FlagsOf<S>;
}

/** A value as it was given, and where. */
interface Given {
  readonly text: string;
  /** The flag, variable or word with its value, as the user would recognise it. */
  readonly where: string;
}

/** What a flag is called where it stands as a word. */
function wordName({ name }: FlagSpec<unknown>): string {
  return name.toUpperCase();
}

function checkWordCount(specs: Specs, given: readonly string[], words: readonly string[]): void {
  const extra = given[words.length];
  if (extra === undefined) return;
  const star = words.findIndex((key) => specs[key]?.parse === pidList);
  if (star >= 0 && existsSync(given[star] ?? "")) {
    throw badValue(
      `"${shown(given[star] ?? "")}" and what follows are files of this folder`,
      "the shell has put their names in place of a *",
      "quote it: '*'",
    );
  }
  throw badValue(`unexpected word "${shown(extra)}"`, "flags begin with --");
}

/** Names everything that is missing at once. */
function checkNeeded(specs: Specs, given: ReadonlyMap<string, Given>): void {
  const missing = Object.entries(specs).flatMap(([key, spec]) => {
    if (given.has(key) || "value" in spec.absent) return [];
    const { example } = spec.absent;
    return [{ name: example.startsWith("--") ? `--${spec.name}` : wordName(spec), example }];
  });
  if (missing.length === 0) return;
  const names = missing.map((one) => one.name);
  const examples = [...new Set(missing.map(({ example }) => example))];
  throw new OpsError({
    code: "usage",
    message: `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} missing`,
    hint: `such as ${examples.join(" ")}`,
  });
}

/** What was given for a flag; undefined if nothing was. */
function givenValue(
  spec: FlagSpec<unknown>,
  line: CommandLine,
  environment: Environment,
  word: string | undefined,
): Given | undefined {
  const flags = line.flags.get(spec.name);
  if (word !== undefined) {
    if (flags === undefined) return { text: word, where: `${wordName(spec)} "${shown(word)}"` };
    throw badValue(
      `--${spec.name}`,
      `given twice, as the word "${shown(word)}" too`,
      "give the word or the flag",
    );
  }
  const where = (source: string, text: string) =>
    spec.isSecret === true ? source : `${source}=${shown(text)}`;
  if (flags !== undefined) {
    const text = onlyValue(spec, flags);
    return { text, where: where(`--${spec.name}`, text) };
  }
  const name = variableOf(spec.name);
  const text = spec.hasEnvironment === false ? "" : (environment[name] ?? "");
  return text === "" ? undefined : { text, where: where(name, text) };
}

function onlyValue(spec: FlagSpec<unknown>, given: readonly string[]): string {
  const [first = "", second] = given;
  const value = spec.isList === true ? given.join(",") : first;
  if (spec.isList !== true && second !== undefined)
    throw badValue(`--${spec.name}`, `given ${given.length} times`);
  if (value === "") {
    throw badValue(
      `--${spec.name}`,
      "it needs a value",
      `write --${spec.name}=${spec.placeholder ?? "true"}`,
    );
  }
  return value;
}

function absentValue(spec: FlagSpec<unknown>, environment: Environment): unknown {
  const { absent, verbatimVariable } = spec;
  const verbatim = verbatimVariable && environment[verbatimVariable.name];
  if (verbatim !== undefined) return verbatimVariable?.value(verbatim);
  return "value" in absent ? absent.value : undefined;
}
