import type { CommandEntry } from "./command-entry.js";

/** Commands that only show. */
export const SHOW_COMMANDS: readonly CommandEntry[] = [];
