import { type CommandEntry, clusterEntryOf } from "./command-entry.js";
import {
  checkDistinct,
  checkOne,
  postUpgradeSpecs,
  preUpgradeSpecs,
  scaleInSpecs,
  scaleOutSpecs,
} from "./scale-specs.js";

/** Commands that move replicas or leaders of whole tablets: scaling and upgrades. */
export const SCALE_COMMANDS: readonly CommandEntry[] = [
  clusterEntryOf({
    name: "scaleout",
    summary: "spread replicas and leaders over all healthy tablets",
    examples: ["scaleout --dry_run", "scaleout"],
    specs: scaleOutSpecs,
    load: async () => (await import("../commands/operations.js")).OPERATIONS.scaleOut,
  }),
  clusterEntryOf({
    name: "scalein",
    summary: "move every replica off some tablets",
    examples: [
      "scalein --endpoints=127.0.0.1:10921 --dry_run",
      "scalein --endpoints=127.0.0.1:10921",
    ],
    specs: scaleInSpecs,
    check: checkDistinct,
    load: async () => (await import("../commands/operations.js")).OPERATIONS.scaleIn,
  }),
  clusterEntryOf({
    name: "pre-upgrade",
    summary: "move the leaders off a tablet before it is stopped",
    examples: [
      "pre-upgrade --endpoints=127.0.0.1:10921",
      "pre-upgrade --endpoints=127.0.0.1:10921 --dry_run",
    ],
    specs: preUpgradeSpecs,
    check: checkOne,
    load: async () => (await import("../commands/operations.js")).OPERATIONS.preUpgrade,
  }),
  clusterEntryOf({
    name: "post-upgrade",
    summary: "move the leaders back to a tablet after its upgrade",
    examples: [
      "post-upgrade --endpoints=127.0.0.1:10921",
      "post-upgrade --endpoints=127.0.0.1:10921 --dry_run",
    ],
    specs: postUpgradeSpecs,
    check: checkOne,
    load: async () => (await import("../commands/operations.js")).OPERATIONS.postUpgrade,
  }),
];
