import type { Endpoint, PartitionId, ReplicaReport } from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import type { IndexClaim } from "../model/table-index.js";
import { isServing, servingLeader } from "../policy/what-it-holds.js";

/** A partition whose replicas are at one offset and count other records. */
export interface CountedPartition {
  readonly id: PartitionId;
  readonly leader: Endpoint;
  readonly offset: bigint;
  /** Records of each replica that can be compared, the leader included. */
  readonly counts: ReadonlyMap<Endpoint, bigint>;
}

/**
 * The records of a partition's replicas, if they differ at one offset.
 *
 * Tables on disk only estimate how many there are (OpenMLDB 0.9: DiskTable::GetRecordCnt), so memory tables are
 * compared alone.
 *
 * @returns Undefined if they do not differ, or an op is under way.
 */
export function countsThatDiffer(view: PartitionView): CountedPartition | undefined {
  if (view.storageMode !== "memory" || view.activeOps.length > 0) return undefined;
  const leader = servingLeader(view);
  const own = leader?.report;
  if (leader === undefined || own === undefined) return undefined;
  const isOther = ({ offset, recordCount }: ReplicaReport) =>
    offset === own.offset && recordCount !== own.recordCount;
  // Nearly every partition ends here, of very many.
  if (!view.replicas.some(({ report }) => report !== undefined && isOther(report)))
    return undefined;
  const reports = view.replicas.flatMap((one): (readonly [Endpoint, ReplicaReport])[] =>
    isServing(one) && one.report !== undefined ? [[one.endpoint, one.report]] : [],
  );
  return differing(view.id, leader.endpoint, new Map(reports));
}

/**
 * The same from reports that were asked for again.
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

/** Whether both looks saw the same: no row was on its way. */
export function isSameCount(first: CountedPartition, second: CountedPartition): boolean {
  return (
    first.offset === second.offset &&
    first.leader === second.leader &&
    [...second.counts].every(([endpoint, count]) => first.counts.get(endpoint) === count)
  );
}

/** Whether expiry explains other counts: each tablet throws expired rows away at a time of its own. */
export function expires(indexes: readonly IndexClaim[]): boolean {
  // Records are counted in the first index (OpenMLDB 0.9: MemTable::GetRecordIdxCnt).
  const [first] = indexes;
  return first === undefined || first.ttl.absMs > 0n || first.ttl.latest > 0n;
}
