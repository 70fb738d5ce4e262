import { usageError } from "../errors.js";
import { OP_WORDS } from "../show/op-words.js";
import { nearest } from "../util/nearest.js";
import { commonSpecs, LONGEST, onlyDb, onlyPids, watchSpecs } from "./common-specs.js";
import {
  anyText,
  badValue,
  duration,
  oneEndpoint,
  opIdList,
  tidOrPid,
  type ValueParser,
} from "./flag-values.js";
import { type FlagsOf, many, noVariable, optional, required, toggle, withDefault } from "./spec.js";

/** Statuses and types of ops as OpenMLDB names them; case and the leading `k` do not matter. */
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

/** Flags of `showtable`. */
export const showTableSpecs = {
  ...commonSpecs,
  db: onlyDb,
  table: optional(["table", "NAME", "this table only, in any database"], anyText),
  /** Partitions by number. */
  pid: onlyPids,
};

/** Flags of `showtable`. */
export type ShowTableFlags = FlagsOf<typeof showTableSpecs>;

/** Flags of `showopstatus`. */
export const showOpStatusSpecs = {
  ...showTableSpecs,
  ...watchSpecs,
  /** Statuses and op types as OpenMLDB names them; empty for all. */
  filter: noVariable(
    many(
      ["filter", "WORD,...", "ops of this status or type only, such as kFailed or kMigrateOP"],
      opWords,
    ),
  ),
  /** Ids of ops; empty for all. */
  opId: noVariable(many(["op_id", "ID,...", "these ops only"], opIdList)),
  wait: noVariable(
    toggle("wait", "wait until no such op is queued or running; exit 3 if one did not end well"),
  ),
  timeoutMs: withDefault(
    ["timeout", "TIME", "how long --wait may take; 0 for no limit"],
    duration(0, LONGEST),
    "1h",
  ),
};

/** Flags of `showopstatus`. */
export type ShowOpStatusFlags = FlagsOf<typeof showOpStatusSpecs>;

/** Flags of `showtablet`. */
export const showTabletSpecs = { ...commonSpecs, ...watchSpecs };

/** Flags of `showtablet`. */
export type ShowTabletFlags = FlagsOf<typeof showTabletSpecs>;

/** Flags of `showtablestatus`. */
export const showTableStatusSpecs = {
  ...commonSpecs,
  /** SQL LIKE on the name of the database. */
  filter: noVariable(
    withDefault(
      ["filter", "PATTERN", "databases like this: % is any text, _ one character, \\ escapes"],
      anyText,
      "%",
    ),
  ),
};

/** Flags of `showtablestatus`. */
export type ShowTableStatusFlags = FlagsOf<typeof showTableStatusSpecs>;

/** Name and help of `--tid`. */
export const tid = ["tid", "TID", "id of the table (showtable shows it)"] as const;
/** Name and help of `--pid`. */
export const pid = ["pid", "PID", "number of the partition"] as const;

/** Flags of `gettablestatus`. */
export const getTableStatusSpecs = {
  ...commonSpecs,
  /** The tablet to query; undefined: every tablet. */
  endpoint: optional(
    ["endpoint", "ENDPOINT", "the tablet to query; every tablet if left out"],
    oneEndpoint,
  ),
  tid: optional(tid, tidOrPid),
  pid: optional(pid, tidOrPid),
};

/** Flags of `gettablestatus`. */
export type GetTableStatusFlags = FlagsOf<typeof getTableStatusSpecs>;

/** Flags of `getfollower`. */
export const getFollowerSpecs = {
  ...commonSpecs,
  /** The tablet to query, which must run the leader. */
  endpoint: required(
    ["endpoint", "ENDPOINT", "the tablet to query, by its endpoint or server name"],
    oneEndpoint,
    "--endpoint=127.0.0.1:10921",
  ),
  tid: required(tid, tidOrPid, "--tid=7"),
  pid: required(pid, tidOrPid, "--pid=0"),
};

/** Flags of `getfollower`. */
export type GetFollowerFlags = FlagsOf<typeof getFollowerSpecs>;

/** Checks the combination of flags. @throws OpsError `usage`. */
export function checkReplica({ tid, pid }: GetTableStatusFlags): void {
  if (pid === undefined || tid !== undefined) return;
  throw usageError(
    `--pid=${pid} needs the table`,
    "give --tid too; showtable shows the tid of each table",
  );
}

/** Checks that `--wait` and `--watch` are not combined. @throws OpsError `usage`. */
export function checkOneKindOfWaiting({ wait, watchMs }: ShowOpStatusFlags): void {
  if (!wait || watchMs === undefined) return;
  throw usageError(
    "--wait and --watch cannot be combined",
    "--wait ends when the ops have ended, --watch with q or Ctrl-C: give one of them",
  );
}
