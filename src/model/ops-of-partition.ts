import { isOpActive, type Op, type PartitionId } from "./cluster-state.js";
import { groupBy } from "./groups.js";
import { partitionKey } from "./partition-name.js";

/** An index of one answer of ShowOPStatus, computed once and shared by all waits. */
interface OpsIndex {
  readonly byPartition: ReadonlyMap<string, readonly Op[]>;
  /** See {@link activityOf}. */
  readonly activity: string;
}

const indexes = new WeakMap<readonly Op[], OpsIndex>();

/** The ops of one partition, in the order of the answer. */
export function opsOfPartition(all: readonly Op[], id: PartitionId): readonly Op[] {
  return indexOf(all).byPartition.get(partitionKey(id)) ?? [];
}

/** A fingerprint of the active ops: it differs once any op begins, ends, or changes its status or task. */
export function activityOf(all: readonly Op[]): string {
  return indexOf(all).activity;
}

/** The id of the newest op; -1 if there is none. */
export function newestOf(ops: readonly Op[]): bigint {
  let newest = -1n;
  for (const op of ops) if (op.id > newest) newest = op.id;
  return newest;
}

function indexOf(all: readonly Op[]): OpsIndex {
  const known = indexes.get(all);
  if (known !== undefined) return known;
  const active = all.filter(isOpActive).map((op) => `${op.id}${op.status}${op.task}`);
  const made = { byPartition: groupBy(all, partitionKey), activity: active.join() };
  indexes.set(all, made);
  return made;
}
