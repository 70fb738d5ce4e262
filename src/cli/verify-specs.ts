import { usageError } from "../errors.js";
import type { Sample } from "../model/rows.js";
import { commonSpecs, onlyDb, outputSpecs, stateSpecs, waitSpecs } from "./common-specs.js";
import { anyText, badValue, integer, pidList, type ValueParser } from "./flag-values.js";
import { type FlagsOf, noVariable, optional, toggle, withDefault } from "./spec.js";

/** Flags of `inspect` and `verify`. */
export const healthSpecs = {
  ...commonSpecs,
  ...outputSpecs,
  ...waitSpecs,
  db: onlyDb,
  table: optional(["table", "NAME", "tables of this name only"], anyText),
};

/** Flags of `inspect` and `verify`. */
export type HealthFlags = FlagsOf<typeof healthSpecs>;

const MEGABYTE = 1_000_000;

/** Megabytes a second, such as `4` or `0.5`. @returns Bytes a second. */
const rate: ValueParser<number> = (text, where) => {
  const [, number = ""] = /^(\d{1,5}(?:\.\d{1,3})?)(?:MB\/s)?$/i.exec(text) ?? [];
  const bytes = Number(number || Number.NaN) * MEGABYTE;
  if (!(bytes >= MEGABYTE / 100))
    throw badValue(where, "not a rate", "write it like 4 or 0.5, in MB/s");
  return bytes;
};

/** `1000`, `1000rows` or `5%`. */
const sample: ValueParser<Sample> = (text, where) => {
  const [, rows] = /^(\d{1,12})(?: ?rows)?$/i.exec(text) ?? [];
  const [, percent] = /^(\d{1,3}(?:\.\d{1,6})?)%$/.exec(text) ?? [];
  if (Number(rows) > 0) return { rows: Number(rows) };
  if (Number(percent) > 0 && Number(percent) <= 100) return { percent: Number(percent) };
  throw badValue(where, "not a sample", "write it like 1000 (rows of each index) or 5%");
};

/** Default rate at which rows are read from a tablet, MB/s. */
const DEFAULT_RATE = "4";
/** Default limit of partitions that are compared concurrently. */
const DEFAULT_CONCURRENCY = "2";

/** The default options of a row comparison. */
export const DEEP_DEFAULTS = {
  bytesPerSecond: Number(DEFAULT_RATE) * MEGABYTE,
  concurrency: Number(DEFAULT_CONCURRENCY),
  sample: undefined,
  showsKeys: false,
};

/** Flags of `verify`. */
export const verifySpecs = {
  ...healthSpecs,
  ...stateSpecs,
  /** True if rows are compared. Not from the environment, because it reads all rows of every replica. */
  isDeep: noVariable(
    toggle("deep", "compare the rows of all replicas too; reads them all from the tablets"),
  ),
  pids: noVariable(
    optional(["pid", "LIST", "with --deep and --table: these partitions only"], pidList),
  ),
  sample: noVariable(
    optional(
      ["sample", "N|P%", "with --deep: that many rows of each index, or that share"],
      sample,
    ),
  ),
  /** Bytes a second. */
  bytesPerSecond: withDefault(
    ["rate", "MB/s", "with --deep: read no faster than this from each tablet"],
    rate,
    DEFAULT_RATE,
  ),
  concurrency: withDefault(
    ["concurrency", "N", "with --deep: partitions at the same time, none that share a tablet"],
    integer(1, 64),
    DEFAULT_CONCURRENCY,
  ),
  showsKeys: noVariable(
    toggle("show_keys", "with --deep: show keys of differing rows as they are, not hashed"),
  ),
  resume: noVariable(toggle("resume", "with --deep: continue the last interrupted run")),
};

/** Flags of `verify`. */
export type VerifyFlags = FlagsOf<typeof verifySpecs>;

/** Checks the combination of flags. @throws OpsError `usage`. */
export function checkVerify({ isDeep, pids, sample, showsKeys, resume, table }: VerifyFlags): void {
  const isNarrowed = pids !== undefined && pids !== "all";
  const given = [
    isNarrowed ? "--pid" : "",
    sample === undefined ? "" : "--sample",
    showsKeys ? "--show_keys" : "",
    resume ? "--resume" : "",
  ].filter((one) => one !== "");
  if (!isDeep && given.length > 0) {
    throw usageError(
      `${given.join(", ")} ${given.length === 1 ? "belongs" : "belong"} to --deep`,
      "give --deep too",
    );
  }
  if (isNarrowed && table === undefined) {
    throw usageError("--pid needs --table", "say which table: --table=NAME");
  }
}
