import { OpsError } from "../errors.js";
import { type CommandEntry, clusterEntryOf } from "./command-entry.js";
import { operateSpecs } from "./flag-specs.js";
import { anyText, integer, listOf } from "./flag-values.js";
import type {
  PostUpgradeFlags,
  PreUpgradeFlags,
  ScaleInFlags,
  ScaleOutFlags,
} from "./flags-scale.js";
import { needed, type SpecsFor, toggle, withDefault } from "./spec-makers.js";

const endpointList = listOf(/^\S+$/, "an endpoint");

const concurrency = withDefault(
  ["concurrency", "N", "partitions worked on at the same time"],
  integer(1, 64),
  "4",
);

const scaleOutSpecs: SpecsFor<ScaleOutFlags> = {
  keepSurplus: toggle(
    "keep_surplus",
    "keep replicas beyond the table's number; they are taken for left-overs of a run otherwise",
  ),
  concurrency,
  ...operateSpecs,
};

const scaleInSpecs: SpecsFor<ScaleInFlags> = {
  endpoints: {
    ...needed(
      ["endpoints", "ENDPOINT,...", "the tablets to be emptied"],
      endpointList,
      "--endpoints=127.0.0.1:10921",
    ),
    hasEnvironment: false,
  },
  ...scaleOutSpecs,
};

const postUpgradeSpecs: SpecsFor<PostUpgradeFlags> = {
  endpoints: {
    ...needed(
      ["endpoints", "ENDPOINT", "the tablet that is upgraded, one at a time"],
      endpointList,
      "--endpoints=127.0.0.1:10921",
    ),
    hasEnvironment: false,
  },
  statfile: withDefault(
    ["statfile", "FILE", "remembers which leaders were taken off the tablet"],
    anyText,
    ".stat",
  ),
  concurrency,
  ...operateSpecs,
};

const preUpgradeSpecs: SpecsFor<PreUpgradeFlags> = {
  ...postUpgradeSpecs,
  allowSingleReplica: toggle(
    "allow_single_replica",
    "leave partitions with one replica there, out of service while the tablet is down",
  ),
};

/** @throws OpsError `usage` unless exactly one endpoint is given. */
function checkOne({ endpoints }: Pick<PostUpgradeFlags, "endpoints">): void {
  if (endpoints.length === 1) return;
  throw new OpsError({
    code: "usage",
    message: `--endpoints names ${endpoints.length} tablets, and tablets are upgraded one at a time`,
    hint: "give one endpoint; go on with the next when this one is through",
  });
}

/** @throws OpsError `usage` for an endpoint that is named twice. */
function checkDistinct({ endpoints }: Pick<ScaleInFlags, "endpoints">): void {
  const twice = endpoints.find((one, index) => endpoints.indexOf(one) !== index);
  if (twice === undefined) return;
  throw new OpsError({
    code: "usage",
    message: `--endpoints names ${twice} twice`,
    hint: "name each tablet once",
  });
}

/** Commands that move whole tablets' replicas: scaling and upgrades. */
export const SCALE_COMMANDS: readonly CommandEntry[] = [
  clusterEntryOf<ScaleOutFlags>({
    name: "scaleout",
    summary: "spread replicas and leaders over all healthy tablets",
    examples: ["scaleout --dry_run", "scaleout"],
    specs: scaleOutSpecs,
    load: () => import("../commands/scaleout.js"),
  }),
  clusterEntryOf<ScaleInFlags>({
    name: "scalein",
    summary: "move every replica off some tablets",
    examples: ["scalein --endpoints=127.0.0.1:10921"],
    specs: scaleInSpecs,
    check: checkDistinct,
    load: () => import("../commands/scalein.js"),
  }),
  clusterEntryOf<PreUpgradeFlags>({
    name: "pre-upgrade",
    summary: "take the leaders off a tablet that is about to be stopped",
    examples: ["pre-upgrade --endpoints=127.0.0.1:10921"],
    specs: preUpgradeSpecs,
    check: checkOne,
    load: () => import("../commands/pre-upgrade.js"),
  }),
  clusterEntryOf<PostUpgradeFlags>({
    name: "post-upgrade",
    summary: "give a tablet its leaders back after its upgrade",
    examples: ["post-upgrade --endpoints=127.0.0.1:10921"],
    specs: postUpgradeSpecs,
    check: checkOne,
    load: () => import("../commands/post-upgrade.js"),
  }),
];
