import { Parser } from "yargs/helpers";
import { OpsError } from "../errors.js";
import { safe } from "../util/text.js";
import { badValue } from "./flag-values.js";
import type { FlagSpec, SpecsFor } from "./spec-makers.js";

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

const SHORT: Readonly<Record<string, string>> = { "-h": "--help=true", "-V": "--version=true" };

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
    if (dashedName === undefined) return SHORT[arg] ?? arg;
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
 * Reads the flags of one command: from the command line, else from the environment, else the
 * defaults. An empty variable counts as not set.
 *
 * @param line Holds only flags that the command knows, and no command word any more.
 * @throws OpsError `usage` for the first thing that is wrong.
 */
export function readFlags<F>(specs: SpecsFor<F>, line: CommandLine, environment: Environment): F {
  const entries: [string, FlagSpec<unknown>][] = Object.entries(specs);
  checkWords(entries, line.words);
  checkNeeded(entries, line, environment);
  let position = 0;
  const values = entries.map(([key, spec]): [string, unknown] => {
    if (spec.isWord !== true) return [key, flagValue(spec, line, environment)];
    const word = line.words[position++];
    return [key, word === undefined ? absentValue(spec) : spec.parse(word, `"${safe(word)}"`)];
  });
  // SpecsFor has a spec of the right type for each field of F, and nothing else.
  return Object.fromEntries(values) as F;
}

function checkWords(
  entries: readonly (readonly [string, FlagSpec<unknown>])[],
  words: readonly string[],
): void {
  const count = entries.filter(([, spec]) => spec.isWord === true).length;
  const extra = words[count];
  if (extra !== undefined) {
    throw badValue(`unexpected word "${safe(extra)}"`, "flags begin with --");
  }
}

/** Names everything that is missing at once. */
function checkNeeded(
  entries: readonly (readonly [string, FlagSpec<unknown>])[],
  line: CommandLine,
  environment: Environment,
): void {
  let position = 0;
  const missing = entries.flatMap(([, spec]) => {
    const isGiven =
      spec.isWord === true
        ? line.words[position++] !== undefined
        : line.flags.has(spec.name) || variableValue(spec, environment) !== undefined;
    return isGiven || "value" in spec.absent ? [] : [{ spec, example: spec.absent.example }];
  });
  if (missing.length === 0) return;
  const names = missing.map(({ spec }) =>
    spec.isWord === true ? (spec.placeholder ?? spec.name) : `--${spec.name}`,
  );
  const examples = [...new Set(missing.map(({ example }) => example))];
  throw new OpsError({
    code: "usage",
    message: `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} missing`,
    hint: `such as ${examples.join(" ")}`,
  });
}

function flagValue(spec: FlagSpec<unknown>, line: CommandLine, environment: Environment): unknown {
  const given = line.flags.get(spec.name);
  if (given !== undefined) {
    return spec.parse(onlyValue(spec, given), shown(`--${spec.name}`, given[0] ?? "", spec));
  }
  const variable = variableValue(spec, environment);
  if (variable !== undefined) {
    return spec.parse(variable, shown(variableOf(spec.name), variable, spec));
  }
  const { verbatimVariable } = spec;
  const verbatim = verbatimVariable && environment[verbatimVariable.name];
  return verbatim === undefined ? absentValue(spec) : verbatimVariable?.value(verbatim);
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

function shown(source: string, value: string, spec: FlagSpec<unknown>): string {
  return spec.isSecret === true ? source : `${source}=${safe(value)}`;
}

function absentValue(spec: FlagSpec<unknown>): unknown {
  return "value" in spec.absent ? spec.absent.value : undefined;
}

function variableValue(spec: FlagSpec<unknown>, environment: Environment): string | undefined {
  if (spec.hasEnvironment === false) return undefined;
  const value = environment[variableOf(spec.name)];
  return value === "" ? undefined : value;
}
