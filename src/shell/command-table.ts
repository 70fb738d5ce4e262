import type { CommandEntry } from "./command-entry.js";
import { OPERATE_COMMANDS } from "./operate-commands.js";
import { RECOVERY_COMMANDS } from "./recovery-commands.js";
import { SCALE_COMMANDS } from "./scale-commands.js";
import { SHOW_COMMANDS } from "./show-commands.js";

/** Every command, in the order in which help lists them. */
export const COMMANDS: readonly CommandEntry[] = [
  ...RECOVERY_COMMANDS,
  ...SHOW_COMMANDS,
  ...OPERATE_COMMANDS,
  ...SCALE_COMMANDS,
];

/**
 * Commands of `openmldb_ops.py` that this version does not have, and its flags that belong to them:
 * somebody who comes from there gets a better answer than "unknown".
 */
export const OLD_COMMANDS: readonly string[] = [
  "scaleout",
  "scalein",
  "pre-upgrade",
  "post-upgrade",
  "showopstatus",
  "showtablestatus",
];

/** See {@link OLD_COMMANDS}. */
export const OLD_FLAGS: readonly string[] = [
  "endpoints",
  "statfile",
  "allow_single_replica",
  "filter",
];
