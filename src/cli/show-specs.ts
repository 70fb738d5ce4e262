import { OP_WORDS } from "../show/op-words.js";
import { nearest } from "../util/nearest.js";
import { commonSpecs, globalSpecs, LONGEST, onlyDb } from "./flag-specs.js";
import { anyText, badValue, choice, duration, integer, type ValueParser } from "./flag-values.js";
import type { CommonFlags } from "./flags.js";
import type {
  CompletionFlags,
  GetFollowerFlags,
  GetTableStatusFlags,
  ShowOpStatusFlags,
  ShowTableFlags,
  ShowTableStatusFlags,
} from "./flags-show.js";
import {
  type FlagSpec,
  needed,
  optional,
  type SpecsFor,
  toggle,
  withDefault,
  wordOf,
} from "./spec-makers.js";

/** The largest number that tids and pids can be: unsigned 32 bits on the wire. */
const MAX_UINT32 = 4_294_967_295;
/** More partitions than any table has. */
const MAX_PIDS = 100_000;

/** A flag that may be given more than once, or with values separated by commas; none means any. */
function many<T>(
  [name, placeholder, help]: readonly [string, string, string],
  parse: ValueParser<readonly T[]>,
): FlagSpec<readonly T[]> {
  const absent: { readonly value: readonly T[] } = { value: [] };
  return { name, placeholder, help, parse, absent, isList: true, hasEnvironment: false };
}

/** Numbers of partitions: `0,2,5-7`. */
const pids: ValueParser<readonly number[]> = (text, where) => {
  const found = text.split(",").flatMap((part) => {
    const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (first === undefined || to < from || to - from >= MAX_PIDS) {
      throw badValue(where, "not numbers of partitions", "write them like 0,2,5-7");
    }
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
  return [...new Set(found)];
};

/** Ids of ops: `12,13`. */
const opIds: ValueParser<readonly bigint[]> = (text, where) =>
  text.split(",").map((part) => {
    if (!/^\d{1,20}$/.test(part)) throw badValue(where, "not ids of ops", "write them like 12,13");
    return BigInt(part);
  });

/** Statuses and types of ops, in OpenMLDB's words; upper and lower case and the `k` do not matter. */
const opWords: ValueParser<readonly string[]> = Object.assign(
  (text: string, where: string) =>
    text.split(",").map((part) => {
      const wanted = part.toLowerCase().replace(/^k/, "");
      const word = OP_WORDS.find((known) => known.slice(1).toLowerCase() === wanted);
      if (word !== undefined) return word;
      const near = nearest(part, OP_WORDS);
      throw badValue(
        where,
        "not a status or type of ops",
        near === undefined ? `such as ${OP_WORDS.slice(0, 6).join(", ")}` : `did you mean ${near}?`,
      );
    }),
  { words: OP_WORDS },
);

/** Flags of `showns`, `showtablet` and `showdb`. */
export const showSpecs: SpecsFor<CommonFlags> = commonSpecs;

/** Flags of `showtable`. */
export const showTableSpecs: SpecsFor<ShowTableFlags> = {
  ...commonSpecs,
  db: onlyDb,
  table: optional(["table", "NAME", "this table only, in whatever database"], anyText),
};

/** Flags of `showopstatus`. */
export const showOpStatusSpecs: SpecsFor<ShowOpStatusFlags> = {
  ...showTableSpecs,
  pid: many(["pid", "PIDS", "these partitions only, such as 0,2,5-7"], pids),
  filter: many(
    ["filter", "WORD,...", "ops of this status or type only, such as kFailed or kMigrateOP"],
    opWords,
  ),
  opId: many(["op_id", "ID,...", "these ops only"], opIds),
  wait: {
    ...toggle("wait", "wait until no such op is queued or running; exit 3 if one did not end well"),
    hasEnvironment: false,
  },
  timeoutMs: withDefault(
    ["timeout", "TIME", "how long --wait may take; 0 for no limit"],
    duration(0, LONGEST),
    "1h",
  ),
};

/** Flags of `showtablestatus`. */
export const showTableStatusSpecs: SpecsFor<ShowTableStatusFlags> = {
  ...commonSpecs,
  filter: {
    ...withDefault(
      ["filter", "PATTERN", "databases like this: % is any text, _ one character, \\ escapes"],
      anyText,
      "%",
    ),
    hasEnvironment: false,
  },
};

const tabletEndpoint = needed(
  ["endpoint", "ENDPOINT", "the tablet that is asked, by its endpoint or server name"],
  anyText,
  "--endpoint=127.0.0.1:10921",
);

const tid = ["tid", "TID", "id of the table (showtable tells it)"] as const;
const pid = ["pid", "PID", "number of the partition"] as const;

/** Flags of `gettablestatus`. */
export const getTableStatusSpecs: SpecsFor<GetTableStatusFlags> = {
  ...commonSpecs,
  endpoint: tabletEndpoint,
  tid: optional(tid, integer(0, MAX_UINT32)),
  pid: optional(pid, integer(0, MAX_UINT32)),
};

/** Flags of `getfollower`. */
export const getFollowerSpecs: SpecsFor<GetFollowerFlags> = {
  ...commonSpecs,
  endpoint: tabletEndpoint,
  tid: needed(tid, integer(0, MAX_UINT32), "--tid=7"),
  pid: needed(pid, integer(0, MAX_UINT32), "--pid=0"),
};

/** Flags of `completion`. */
export const completionSpecs: SpecsFor<CompletionFlags> = {
  ...globalSpecs,
  shell: wordOf(
    needed(["shell", "SHELL", "bash or zsh"], choice("bash", "zsh"), "completion bash"),
  ),
};
