import type { CommandEntry } from "./command-entry.js";

/** Commands that change single partitions, replicas or tablets. */
export const OPERATE_COMMANDS: readonly CommandEntry[] = [];
