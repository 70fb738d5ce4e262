import { usageError } from "../errors.js";
import { operateSpecs } from "./common-specs.js";
import { anyText, endpointList, integer } from "./flag-values.js";
import { type FlagsOf, noVariable, required, toggle, withDefault } from "./spec.js";

const concurrency = withDefault(
  ["concurrency", "N", "partitions worked on at the same time"],
  integer(1, 64),
  "4",
);

const scaleSpecs = {
  /** True if partitions with more replicas than their table's replica count keep them. */
  keepsSurplus: toggle(
    "keep_surplus",
    "keep replicas beyond the table's number; otherwise they count as leftovers of a run",
  ),
  concurrency,
  ...operateSpecs,
};

/** Flags of `scaleout`. */
export const scaleOutSpecs = {
  ...scaleSpecs,
  /** True if only missing replicas are added, and nothing is moved. */
  addsMissing: noVariable(toggle("add_missing", "add missing replicas, and move nothing")),
};

/** Flags of `scalein`. */
export const scaleInSpecs = {
  /** The tablets to empty; at least one, without duplicates. */
  endpoints: noVariable({
    ...required(
      ["endpoints", "ENDPOINT,...", "the tablets to be emptied"],
      endpointList,
      "--endpoints=127.0.0.1:10921",
    ),
    isList: true,
  }),
  ...scaleSpecs,
};

/** Flags of `scalein`. */
export type ScaleInFlags = FlagsOf<typeof scaleInSpecs>;

/** Flags of `post-upgrade`. */
export const postUpgradeSpecs = {
  /** The tablet that is upgraded; exactly one. */
  endpoints: noVariable(
    required(
      ["endpoints", "ENDPOINT", "the tablet that is upgraded, one at a time"],
      endpointList,
      "--endpoints=127.0.0.1:10921",
    ),
  ),
  /** Path of the file that records the leaders that were moved away. */
  statfile: withDefault(
    ["statfile", "FILE", "file that records the leaders moved off the tablet"],
    anyText,
    ".stat",
  ),
  concurrency,
  ...operateSpecs,
};

/** Flags of `post-upgrade`. */
export type PostUpgradeFlags = FlagsOf<typeof postUpgradeSpecs>;

/** Flags of `pre-upgrade`. */
export const preUpgradeSpecs = {
  ...postUpgradeSpecs,
  /** True if partitions with one replica stay on the tablet, out of service during the upgrade. */
  allowsSingle: toggle(
    "allow_single_replica",
    "leave partitions with one replica there, out of service while the tablet is down",
  ),
};

/** Checks that one endpoint is given. @throws OpsError `usage`. */
export function checkOne({ endpoints }: Pick<PostUpgradeFlags, "endpoints">): void {
  if (endpoints.length === 1) return;
  throw usageError(
    `--endpoints names ${endpoints.length} tablets, and tablets are upgraded one at a time`,
    "give one endpoint; continue with the next when this one is done",
  );
}

/** Checks that no endpoint is named twice. @throws OpsError `usage`. */
export function checkDistinct({ endpoints }: Pick<ScaleInFlags, "endpoints">): void {
  const twice = endpoints.find((one, index) => endpoints.indexOf(one) !== index);
  if (twice === undefined) return;
  throw usageError(`--endpoints names ${twice} twice`, "name each tablet once");
}
