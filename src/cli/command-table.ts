import type { CommandEntry } from "./command-entry.js";
import { OPERATE_COMMANDS } from "./operate-commands.js";
import { RECOVERY_COMMANDS } from "./recovery-commands.js";
import { SCALE_COMMANDS } from "./scale-commands.js";
import { SHOW_COMMANDS } from "./show-commands.js";
import { CONF_COMMANDS, TOOL_COMMANDS } from "./tool-commands.js";

/** All commands by task, in the order of help. */
export const TASKS: readonly {
  readonly task: string;
  readonly commands: readonly CommandEntry[];
}[] = [
  { task: "Recover after an outage", commands: RECOVERY_COMMANDS },
  { task: "Observe the cluster", commands: SHOW_COMMANDS },
  { task: "Change single tablets, partitions and ops", commands: OPERATE_COMMANDS },
  { task: "Scale and upgrade", commands: SCALE_COMMANDS },
  { task: "The nameserver's configuration", commands: CONF_COMMANDS },
  { task: "This tool", commands: TOOL_COMMANDS },
];

/** All commands. */
export const COMMANDS: readonly CommandEntry[] = TASKS.flatMap(({ commands }) => commands);
