import { OpsError } from "../errors.js";
import { operateSpecs } from "./common-specs.js";
import { anyText, integer, listOf } from "./flag-values.js";
import { type FlagsOf, needed, noVariable, toggle, withDefault } from "./spec.js";

const endpointList = listOf(/^\S+$/, "an endpoint");

const concurrency = withDefault(
  ["concurrency", "N", "partitions worked on at the same time"],
  integer(1, 64),
  "4",
);

const scaleOutSpecs = {
  /** Whether partitions with more replicas than their table asks for keep them. */
  keepsSurplus: toggle(
    "keep_surplus",
    "keep replicas beyond the table's number; otherwise they count as leftovers of a run",
  ),
  concurrency,
  ...operateSpecs,
};

/** What `scaleoutonly` takes. */
export const scaleOutOnlySpecs = {
  ...scaleOutSpecs,
  /** Whether only missing replicas are made, and nothing is moved. */
  addsMissing: noVariable(toggle("add_missing", "add missing replicas, and move nothing")),
};

/** Flags of `scaleout`. */
export type ScaleOutFlags = FlagsOf<typeof scaleOutOnlySpecs>;

/** What `scalein` takes. */
export const scaleInSpecs = {
  /** The tablets to be emptied; at least one, each once. */
  endpoints: noVariable({
    ...needed(
      ["endpoints", "ENDPOINT,...", "the tablets to be emptied"],
      endpointList,
      "--endpoints=127.0.0.1:10921",
    ),
    isList: true,
  }),
  ...scaleOutSpecs,
};

/** Flags of `scalein`. */
export type ScaleInFlags = FlagsOf<typeof scaleInSpecs>;

/** What `postupgrade` takes. */
export const postUpgradeSpecs = {
  /** The one tablet that is upgraded. */
  endpoints: noVariable(
    needed(
      ["endpoints", "ENDPOINT", "the tablet that is upgraded, one at a time"],
      endpointList,
      "--endpoints=127.0.0.1:10921",
    ),
  ),
  /** Path of the file that remembers which leaders were taken away. */
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

/** What `preupgrade` takes. */
export const preUpgradeSpecs = {
  ...postUpgradeSpecs,
  /** Whether partitions with one replica stay on the tablet, out of service meanwhile. */
  allowsSingle: toggle(
    "allow_single_replica",
    "leave partitions with one replica there, out of service while the tablet is down",
  ),
};

/** Flags of `pre-upgrade`. */
export type PreUpgradeFlags = FlagsOf<typeof preUpgradeSpecs>;

/** @throws OpsError `usage` unless exactly one endpoint is given. */
export function checkOne({ endpoints }: Pick<PostUpgradeFlags, "endpoints">): void {
  if (endpoints.length === 1) return;
  throw new OpsError({
    code: "usage",
    message: `--endpoints names ${endpoints.length} tablets, and tablets are upgraded one at a time`,
    hint: "give one endpoint; continue with the next when this one is done",
  });
}

/** @throws OpsError `usage` for an endpoint that is named twice. */
export function checkDistinct({ endpoints }: Pick<ScaleInFlags, "endpoints">): void {
  const twice = endpoints.find((one, index) => endpoints.indexOf(one) !== index);
  if (twice === undefined) return;
  throw new OpsError({
    code: "usage",
    message: `--endpoints names ${twice} twice`,
    hint: "name each tablet once",
  });
}
