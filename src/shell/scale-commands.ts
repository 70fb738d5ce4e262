import type { CommandEntry } from "./command-entry.js";

/** Commands that move whole tablets' replicas: scaling and upgrades. */
export const SCALE_COMMANDS: readonly CommandEntry[] = [];
