import type { CommandEntry } from "./command-entry.js";
import { OPERATE_COMMANDS } from "./operate-commands.js";
import { RECOVERY_COMMANDS } from "./recovery-commands.js";
import { SCALE_COMMANDS } from "./scale-commands.js";
import { SHOW_COMMANDS } from "./show-commands.js";
import { CONF_COMMANDS, TOOL_COMMANDS } from "./tool-commands.js";

/** Every command, in the order in which help lists them. */
export const COMMANDS: readonly CommandEntry[] = [
  ...RECOVERY_COMMANDS,
  ...CONF_COMMANDS,
  ...SHOW_COMMANDS,
  ...OPERATE_COMMANDS,
  ...SCALE_COMMANDS,
  ...TOOL_COMMANDS,
];
