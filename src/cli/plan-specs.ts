import { anyText, choice, readableFile } from "./flag-values.js";
import type { PlanFlags } from "./flags.js";
import { optional, type SpecsFor, toggle } from "./spec-makers.js";

/**
 * Flags of every command that plans before it changes anything. None of them comes from the
 * environment: they decide whether anything is changed at all.
 */
export const planSpecs: SpecsFor<PlanFlags> = {
  method: {
    ...optional(
      ["method", "METHOD", "how: direct (by true offsets) or documented (OpenMLDB's manual)"],
      choice("direct", "documented"),
    ),
    defaultText: "direct",
    hasEnvironment: false,
  },
  dryRun: { ...toggle("dry_run", "show the plan and change nothing"), hasEnvironment: false },
  detailedExitcode: {
    ...toggle("detailed_exitcode", "with --dry_run: exit 10 if something is not healthy"),
    hasEnvironment: false,
  },
  planOut: {
    ...optional(["plan_out", "FILE", "save the plan in a new file and change nothing"], anyText),
    hasEnvironment: false,
  },
  apply: {
    ...optional(
      ["apply", "FILE", "execute this plan, if the cluster still is as it says"],
      readableFile,
    ),
    hasEnvironment: false,
  },
  yes: { ...toggle("yes", "do not ask before the first change"), hasEnvironment: false },
  noInput: { ...toggle("no_input", "fail instead of asking"), hasEnvironment: false },
};
