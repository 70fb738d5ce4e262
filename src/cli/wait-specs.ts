import { LONGEST } from "./common-specs.js";
import { duration, integerOrAll } from "./flag-values.js";
import { type FlagsOf, optional, withDefault } from "./spec.js";

/** Flags of commands that can wait until the tablets are back. */
export const waitSpecs = {
  /** How many tablets of the record must be registered before the command starts; undefined not to wait. */
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

/** Flags of commands that can wait until the tablets are back. */
export type WaitFlags = FlagsOf<typeof waitSpecs>;
