import { LONGEST } from "./common-specs.js";
import { duration, integerOrAll } from "./flag-values.js";
import { type FlagsOf, optional, withDefault } from "./spec.js";

/** Flags of commands that can wait for tablets. */
export const waitSpecs = {
  /** Number of tablets of the record that must be registered before the command starts; undefined: no wait. */
  waitTablets: optional(
    ["wait_tablets", "N|all", "start when that many tablets of the record are registered"],
    integerOrAll(1, 10_000),
  ),
  waitTimeoutMs: withDefault(
    ["wait_timeout", "TIME", "how long to wait for --wait_tablets"],
    duration(0, LONGEST),
    "5m",
  ),
};

/** Flags of commands that can wait for tablets. */
export type WaitFlags = FlagsOf<typeof waitSpecs>;

/** The flag of commands that can repeat their observation. */
export const watchSpecs = {
  /** Pause between two observations in milliseconds; undefined: observe once. */
  watchMs: {
    ...optional(
      ["watch", "TIME", "repeat at that interval (2s), until q, Ctrl-C or a signal"],
      duration(100, LONGEST),
    ),
    bareText: "2s",
  },
};
