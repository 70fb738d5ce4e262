import { LONGEST } from "./common-specs.js";
import { duration } from "./flag-values.js";
import { optional } from "./spec.js";

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
