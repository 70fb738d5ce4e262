import { hostPortText, parseZkHosts } from "../cluster/zookeeper-hosts.js";
import { type OpsError, usageError } from "../errors.js";
import { type Loss, lossOfFlagValue } from "../model/loss.js";
import {
  type PartitionRef,
  parsePartitionName,
  readingsOf,
  splitNames,
} from "../model/partition-name.js";
import { partitionName } from "../model/partition-view.js";
import type { PidList } from "../model/step.js";
import { isSecretName, MASK } from "../util/secret-name.js";
import { clipped, safe, shellWord } from "../util/text.js";
import {
  assertAppendable,
  assertReplaceable,
  assertUserFile,
  readUserFile,
} from "../util/user-file.js";

/**
 * Parses the value of a flag.
 *
 * @param text The user's text; empty only if `takesEmpty`.
 * @param where The flag or variable with its value, escaped for messages.
 * @throws OpsError `usage` with `where` in its message.
 */
export interface ValueParser<T> {
  (text: string, where: string): T;
  /** All valid values, if the set is fixed; for completion. */
  readonly words?: readonly string[];
  /** True if blanks and line ends around the value belong to it; otherwise they are removed. */
  readonly keepsBlanks?: boolean;
  /** True if an empty text is a valid value. */
  readonly takesEmpty?: boolean;
}

/** For names and paths, which can contain any character. */
const KEEPS_BLANKS = { keepsBlanks: true } as const;

/** Number of characters of a given value that a message repeats. */
const SHOWN_MAX = 200;

/**
 * A given value for messages: escaped and shortened. If the value is itself a secret flag, such as
 * `zk_cert=user:password`, its secret is masked.
 */
export function shown(text: string): string {
  const secret = secretWord(text);
  return secret ?? safe(clipped(text, SHOWN_MAX));
}

/** Masks a word that contains a secret: `zk_cert=***`, `--password ***`; undefined for any other word. */
export function secretWord(text: string): string | undefined {
  const [, name = "", between = ""] = /^-*([\w-]{1,40})(=|\s)/.exec(text) ?? [];
  if (isSecretName(name)) return `${name}${between === "=" ? "=" : " "}${MASK}`;
  // Some database clients take the password directly after -p.
  return /^-[pP]./.test(text) ? `${text.slice(0, 2)}${MASK}` : undefined;
}

/** Creates an OpsError `usage` with the place, the reason, and a hint. */
export function badValue(where: string, reason: string, hint?: string): OpsError {
  return usageError(`${where}: ${reason}`, hint);
}

/** Any text; names can begin or end with a blank. */
export const anyText: ValueParser<string> = Object.assign((text: string) => text, KEEPS_BLANKS);

/** The database of one table; empty for a table without one. */
export const databaseOfTable: ValueParser<string> = Object.assign((text: string) => text, {
  ...KEEPS_BLANKS,
  takesEmpty: true,
});

/** A whole number in decimal digits from `min` to `max`, both included. */
export function integer(min: number, max: number): ValueParser<number> {
  return (text, where) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      throw badValue(where, `not a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

/** A tid or pid: unsigned 32 bits on the wire. */
export const tidOrPid = integer(0, 2 ** 32 - 1);

/** A whole number as {@link integer} parses it, or `all`. */
export function integerOrAll(min: number, max: number): ValueParser<number | "all"> {
  const number = integer(min, max);
  return (text, where) => (text.toLowerCase() === "all" ? "all" : number(text, where));
}

/** One of the words given. */
export function choice<T extends string>(...words: readonly T[]): ValueParser<T> {
  const parse = (text: string, where: string): T => {
    const word = words.find((known) => known === text.toLowerCase());
    if (word === undefined) throw badValue(where, `not one of ${words.join(", ")}`);
    return word;
  };
  return Object.assign(parse, { words });
}

/** `true` or `false`. */
export const trueOrFalse: ValueParser<boolean> = (text, where) =>
  choice("true", "false")(text, where) === "true";

const UNIT_MS = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/**
 * A time: a whole number with the unit `ms`, `s`, `m` or `h`, in seconds without one.
 *
 * @param maxMs At most 24 days: the timers of Node.js can wait no longer.
 * @returns Milliseconds.
 */
export function duration(minMs: number, maxMs: number): ValueParser<number> {
  return (text, where) => {
    const [, digits, unit = "s"] = /^(\d{1,12})(ms|s|m|h)?$/.exec(text) ?? [];
    if (digits === undefined) {
      throw badValue(where, "not a time", "write it like 30, 30s, 500ms, 5m or 1h");
    }
    const ms = Number(digits) * (UNIT_MS.get(unit) ?? 1000);
    if (ms < minMs || ms > maxMs) {
      throw badValue(where, `not between ${flagDuration(minMs)} and ${flagDuration(maxMs)}`);
    }
    return ms;
  };
}

/** Formats a time for {@link duration}, in the largest unit that needs no fraction. */
export function flagDuration(ms: number): string {
  if (ms === 0) return "0";
  const unit =
    (["h", "m", "s"] as const).find((name) => ms % (UNIT_MS.get(name) ?? 1) === 0) ?? "ms";
  return `${ms / (UNIT_MS.get(unit) ?? 1)}${unit}`;
}

const UNIT_BYTES = new Map([
  ["K", 1024],
  ["M", 1024 ** 2],
  ["G", 1024 ** 3],
]);

/** A size such as `128M`: a whole number with the unit `K`, `M` or `G` (powers of 1024). @returns Bytes. */
export function byteSize(min: number, max: number): ValueParser<number> {
  return (text, where) => {
    const [, digits, unit] = /^(\d{1,10})([KMG])(?:i?B)?$/i.exec(text) ?? [];
    if (digits === undefined) throw badValue(where, "not a size", "write it like 512K, 128M or 1G");
    const bytes = Number(digits) * (UNIT_BYTES.get(unit?.toUpperCase() ?? "") ?? 1);
    if (bytes < min || bytes > max) {
      throw badValue(where, `not between ${sizeText(min)} and ${sizeText(max)}`);
    }
    return bytes;
  };
}

function sizeText(bytes: number): string {
  const unit = (["G", "M", "K"] as const).find((name) => bytes % (UNIT_BYTES.get(name) ?? 1) === 0);
  return unit === undefined ? String(bytes) : `${bytes / (UNIT_BYTES.get(unit) ?? 1)}${unit}`;
}

/** Values separated by commas that each match `form`; `what` names the form in errors. */
function listOf(form: RegExp, what: string): ValueParser<readonly string[]> {
  return (text, source) => {
    const values = text.split(",");
    const bad = values.find((value) => !form.test(value));
    if (bad === undefined) return values;
    throw badValue(source, `"${shown(bad)}" is not ${what}`);
  };
}

/** Limit of pids, above that of any table. It keeps a mistyped range from exhausting the memory. */
const PID_MAX = 999_999;

/**
 * Partitions of a table: numbers and ranges such as `0,2,5-7`, or `*` for all of them.
 *
 * @returns The numbers in ascending order, each once.
 */
export const pidList: ValueParser<PidList> = (text, where) => {
  if (text === "*") return "all";
  const ranges = text.split(",").map((part) => {
    const [, first, last = first] = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (first === undefined || from > to || to > PID_MAX) {
      throw badValue(
        where,
        `"${shown(part)}" is not a partition`,
        "write it like 3, 0,2,5-7 or '*'",
      );
    }
    return { from, to };
  });
  const pids: number[] = [];
  // In ascending order, so that a range adds only pids above those of earlier ranges.
  for (const { from, to } of ranges.sort((a, b) => a.from - b.from)) {
    const next = Math.max(from, (pids.at(-1) ?? -1) + 1);
    for (let pid = next; pid <= to; pid += 1) pids.push(pid);
  }
  return pids;
};

/** Partitions by full name, such as `db1.t1:0`; see `tableName` for names that are not plain. */
export const partitionNames: ValueParser<readonly PartitionRef[]> = (text, where) =>
  splitNames(text).map((name) => onePartition(name, where));

/** Parses the full name of one partition. @throws OpsError `usage`, with the possible meanings. */
function onePartition(name: string, where: string): PartitionRef {
  const ref = parsePartitionName(name);
  if (ref !== undefined) return ref;
  const meant = readingsOf(name).map((one) => shellWord(partitionName(one)));
  throw badValue(
    where,
    `"${shown(name)}" is not the name of one partition, such as db1.t1:0`,
    meant.length === 0
      ? "put a name with other characters than letters, digits, _ and - in back quotes, as in 'db1.`my table`:0'"
      : `which one is meant? ${meant.join(" or ")}`,
  );
}

/** Partitions by full name, or the accepted loss with lost tablets, such as `lost=3..12`. */
export const partitionsOrLoss: ValueParser<readonly (PartitionRef | Loss)[]> = (text, where) =>
  splitNames(text).map((name) => lossOfFlagValue(name) ?? onePartition(name, where));

/** Endpoints or server names of tablets, separated by commas. */
export const endpointList = listOf(/^\S+$/, "an endpoint");

/** The endpoint or server name of one tablet. */
export const oneEndpoint: ValueParser<string> = (text, where) => {
  if (!text.includes(",")) return text;
  throw badValue(where, "it takes one tablet", "run the command again for the next one");
};

/** The largest op id: unsigned 64 bits on the wire. */
const OP_ID_MAX = 2n ** 64n - 1n;

/** The id of an op. */
export const opId: ValueParser<bigint> = (text, where) => {
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
  if (value === undefined || value > OP_ID_MAX) throw badValue(where, "not the id of an op");
  return value;
};

/** Ids of ops: `12,13`. */
export const opIdList: ValueParser<readonly bigint[]> = (text, where) =>
  text.split(",").map((part) => opId(part, where));

/** ZooKeeper servers, each written as `host:port`. */
export const zkServers: ValueParser<readonly string[]> = (text) =>
  parseZkHosts(text).map(hostPortText);

/** Limit of bytes of a password file. */
const PASSWORD_BYTES_MAX = 4096;

/** A password, and the path of the file that holds it; undefined if it came from the environment. */
export interface Password {
  readonly text: string;
  readonly file: string | undefined;
}

/** The single line of the named file, without its line break. */
export const passwordInFile: ValueParser<Password> = Object.assign(
  (path: string, where: string) => {
    const text = readUserFile(path, { where, maxBytes: PASSWORD_BYTES_MAX }).replace(/\r?\n$/, "");
    if (/[\r\n]/.test(text)) {
      throw badValue(
        where,
        "the file does not contain exactly one line",
        "it must contain the password and nothing else",
      );
    }
    return { text, file: path };
  },
  KEEPS_BLANKS,
);

/** The path of a file that can be appended to. It is created if it does not exist. */
export const appendableFile: ValueParser<string> = Object.assign((path: string, where: string) => {
  assertAppendable(path, where);
  return path;
}, KEEPS_BLANKS);

/** The path of a file that can be read. */
export const readableFile: ValueParser<string> = Object.assign((path: string, where: string) => {
  assertUserFile(path, where);
  return path;
}, KEEPS_BLANKS);

/**
 * The path of a file that is written as a whole at the end of a run. Its name must end with one of `endings`, which
 * determine the format; any name is valid if there are none.
 */
export function replaceableFile(...endings: readonly string[]): ValueParser<string> {
  const parse = (path: string, where: string): string => {
    if (endings.length > 0 && !endings.some((ending) => path.endsWith(ending))) {
      throw badValue(where, `the name does not end with ${endings.join(" or ")}`);
    }
    assertReplaceable(path, where);
    return path;
  };
  return Object.assign(parse, KEEPS_BLANKS);
}
