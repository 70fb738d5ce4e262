import { trueOrFalse, type ValueParser } from "./flag-values.js";

/** One flag of a command: its spelling, what it means, and how its value is read. */
export interface FlagSpec<T> {
  /** With underscores and without dashes, such as `zk_cluster`. */
  readonly name: string;
  /** What stands for the value in help; undefined for a switch, which needs no value. */
  readonly placeholder: string | undefined;
  readonly help: string;
  readonly parse: ValueParser<T>;
  /** The value if nothing was given, or the example that is shown if something must be. */
  readonly absent: { readonly value: T } | { readonly example: string };
  /** The default as help shows it; left out if there is nothing to show. */
  readonly defaultText?: string;
  /** The value of a flag that is given without one; left out if it needs one. */
  readonly bareText?: string;
  /** A value that is never shown or logged. */
  readonly isSecret?: boolean;
  /** May be given more than once; the values are joined by commas. */
  readonly isList?: boolean;
  /** Whether `OPENMLDB_OPS_<NAME>` gives the default; true if left out. */
  readonly hasEnvironment?: boolean;
  /** A second variable whose value is taken as it is, for secrets without a file. */
  readonly verbatimVariable?: { readonly name: string; readonly value: (text: string) => T };
}

/** The flags of a command, by the name under which the command gets the value. */
export type Specs = Readonly<Record<string, FlagSpec<unknown>>>;

/** The values of flags, derived from their specs: a flag is added by adding its spec. */
export type FlagsOf<S extends Specs> = {
  readonly [K in keyof S]: S[K] extends FlagSpec<infer T> ? T : never;
};

/** Name, placeholder and explanation of a flag. */
type Naming = readonly [name: string, placeholder: string, help: string];

/** A flag that must be given. */
export function needed<T>(
  [name, placeholder, help]: Naming,
  parse: ValueParser<T>,
  example: string,
): FlagSpec<T> {
  return { name, placeholder, help, parse, absent: { example } };
}

/** A flag whose value is undefined if it is not given. */
export function optional<T>(
  [name, placeholder, help]: Naming,
  parse: ValueParser<T>,
): FlagSpec<T | undefined> {
  return { name, placeholder, help, parse, absent: { value: undefined } };
}

/** A flag that may be given more than once, or with commas between its values; none by default. */
export function many<T>(
  [name, placeholder, help]: Naming,
  parse: ValueParser<readonly T[]>,
): FlagSpec<readonly T[]> {
  return { name, placeholder, help, parse, absent: { value: [] }, isList: true };
}

/** A flag with a default, written as a user would write it. */
export function withDefault<T>(
  [name, placeholder, help]: Naming,
  parse: ValueParser<T>,
  text: string,
): FlagSpec<T> {
  const absent = { value: parse(text, name) };
  return { name, placeholder, help, parse, absent, defaultText: text };
}

/** A switch, off unless `isOn`. */
export function toggle(name: string, help: string, isOn = false): FlagSpec<boolean> {
  const spec = { name, placeholder: undefined, help, parse: trueOrFalse, absent: { value: isOn } };
  return isOn ? { ...spec, defaultText: "true" } : spec;
}

/** The same, without a default from the environment: what a command acts on is typed. */
export function noVariable<T>(spec: FlagSpec<T>): FlagSpec<T> {
  return { ...spec, hasEnvironment: false };
}

/** The value of a flag that nothing was given for. @throws TypeError if it must be given. */
export function defaultOf<T>({ name, absent }: FlagSpec<T>): T {
  if ("value" in absent) return absent.value;
  throw new TypeError(`--${name} has no default`);
}
