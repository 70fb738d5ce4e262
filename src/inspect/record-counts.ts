import type { Endpoint, IndexClaim, PartitionId, ReplicaReport } from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import { isServing, servingLeader } from "../policy/what-it-holds.js";

/** A partition with replicas at the same offset whose record counts differ. */
export interface CountedPartition {
  readonly id: PartitionId;
  readonly leader: Endpoint;
  readonly offset: bigint;
  /** Record counts of the replicas at `offset`, the leader included. */
  readonly counts: ReadonlyMap<Endpoint, bigint>;
}

/**
 * The record counts of a partition's replicas, if they differ at the same offset.
 *
 * Only memory tables are compared, because tables on disk estimate the count (OpenMLDB 0.9:
 * DiskTable::GetRecordCnt).
 *
 * @returns Undefined if they do not differ, or if an op is active.
 */
export function countsThatDiffer(view: PartitionView): CountedPartition | undefined {
  if (view.storageMode !== "memory" || view.activeOps.length > 0) return undefined;
  const leader = servingLeader(view);
  const own = leader?.report;
  if (leader === undefined || own === undefined) return undefined;
  const isOther = ({ offset, recordCount }: ReplicaReport) =>
    offset === own.offset && recordCount !== own.recordCount;
  // Fast path: this is nearly every partition.
  if (!view.replicas.some(({ report }) => report !== undefined && isOther(report)))
    return undefined;
  const reports = view.replicas.flatMap((one): (readonly [Endpoint, ReplicaReport])[] =>
    isServing(one) && one.report !== undefined ? [[one.endpoint, one.report]] : [],
  );
  return differing(view.id, leader.endpoint, new Map(reports));
}

/**
 * The same as {@link countsThatDiffer}, from given reports.
 *
 * @param reports By endpoint; the leader's among them.
 */
export function differing(
  id: PartitionId,
  leader: Endpoint,
  reports: ReadonlyMap<Endpoint, ReplicaReport>,
): CountedPartition | undefined {
  const own = reports.get(leader);
  if (own === undefined) return undefined;
  const counts = new Map<Endpoint, bigint>();
  for (const [endpoint, { offset, recordCount }] of reports) {
    if (offset === own.offset) counts.set(endpoint, recordCount);
  }
  const isDifferent = [...counts.values()].some((count) => count !== own.recordCount);
  return isDifferent ? { id, leader, offset: own.offset, counts } : undefined;
}

/** True if both reads have the same counts, so that no row was being replicated between them. */
export function isSameCount(first: CountedPartition, second: CountedPartition): boolean {
  return (
    first.offset === second.offset &&
    first.leader === second.leader &&
    [...second.counts].every(([endpoint, count]) => first.counts.get(endpoint) === count)
  );
}

/** True if rows expire, which explains different counts: each tablet deletes expired rows at its own time. */
export function expires(indexes: readonly IndexClaim[]): boolean {
  // Records are counted in the first index (OpenMLDB 0.9: MemTable::GetRecordIdxCnt).
  const [first] = indexes;
  return first === undefined || first.ttl.absMs > 0n || first.ttl.latest > 0n;
}
