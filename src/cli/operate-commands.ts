import type { CommandEntry } from "./command-entry.js";
import { LEADER_COMMANDS } from "./leader-commands.js";
import { REPLICA_COMMANDS } from "./replica-commands.js";

/** Commands that change single partitions, replicas or tablets. */
export const OPERATE_COMMANDS: readonly CommandEntry[] = [...LEADER_COMMANDS, ...REPLICA_COMMANDS];
