import { trueOrFalse, type ValueParser } from "./flag-values.js";

/** One flag of a command: its name, its help, and the parser of its value. */
export interface FlagSpec<T> {
  /** With underscores and without dashes, such as `zk_cluster`. */
  readonly name: string;
  /** Placeholder of the value in help; undefined for a switch, which needs no value. */
  readonly placeholder: string | undefined;
  readonly help: string;
  readonly parse: ValueParser<T>;
  /** The default value, or for a required flag the example that the error shows. */
  readonly absent: { readonly value: T } | { readonly example: string };
  /** The default in help; left out if there is nothing to show. */
  readonly defaultText?: string;
  /** The value of a flag that is given without one; left out if a value is required. */
  readonly bareText?: string;
  /** True if the value is never shown or logged. */
  readonly isSecret?: boolean;
  /** True if the flag can be repeated; the values are joined by commas. */
  readonly isList?: boolean;
  /** True, or left out, if `OPENMLDB_OPS_<NAME>` is the default. */
  readonly hasEnvironment?: boolean;
  /** A second variable whose value is used verbatim, for secrets without a file. */
  readonly verbatimVariable?: { readonly name: string; readonly value: (text: string) => T };
}

/** The flags of a command, by property name. */
export type Specs = Readonly<Record<string, FlagSpec<unknown>>>;

/** The values of flags, with types derived from their specs. */
export type FlagsOf<S extends Specs> = {
  readonly [K in keyof S]: S[K] extends FlagSpec<infer T> ? T : never;
};

/** Name, placeholder and help of a flag. */
type Naming = readonly [name: string, placeholder: string, help: string];

/** A required flag. */
export function required<T>(
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

/** A flag that can be repeated or have values separated by commas; empty by default. */
export function many<T>(
  [name, placeholder, help]: Naming,
  parse: ValueParser<readonly T[]>,
): FlagSpec<readonly T[]> {
  return { name, placeholder, help, parse, absent: { value: [] }, isList: true };
}

/** A flag with a default, given in the syntax of the flag. */
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

/** The flag without a default from the environment, for flags that determine what a command acts on. */
export function noVariable<T>(spec: FlagSpec<T>): FlagSpec<T> {
  return { ...spec, hasEnvironment: false };
}

/** The default of a flag. @throws TypeError if the flag is required. */
export function defaultOf<T>({ name, absent }: FlagSpec<T>): T {
  if ("value" in absent) return absent.value;
  throw new TypeError(`--${name} has no default`);
}
