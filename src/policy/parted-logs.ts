import type { Endpoint } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { isLeading } from "./what-it-holds.js";

/*
 * Logs that part within one term. A leader whose disk lost entries comes up with less than a follower holds,
 * leads the same term again, and accepts new entries under the numbers of the lost ones. Once it has as many
 * entries as the follower, no offset, flag or term shows the difference. So what was seen before counts:
 *
 *   - a replica held more than the leader that does not replicate to it, or
 *   - it could not be read when the leader took the role or was seen leading (counts within the run).
 *
 * Such a replica shares entries with the leader up to the leader's offset of that moment, and no further.
 */

/** The last entry that a replica can share with the leader; undefined if nothing limits it. */
export function partedAt(view: PartitionView, { endpoint }: ReplicaView): bigint | undefined {
  return limitsOf(view)?.get(endpoint);
}

/** The stored limits. They compare with another leader, and do not count, if one of these replicas leads now. */
function limitsOf({ known, replicas }: PartitionView): ReadonlyMap<Endpoint, bigint> | undefined {
  const parted = known?.bounds.parted;
  const isOver = replicas.some((one) => isLeading(one) && parted?.has(one.endpoint));
  return isOver ? undefined : parted;
}

/**
 * The replicas that may have parted from the leader, with the last entry that each can share with it; undefined if
 * there are none. A replica that the leader replicates to has been joined or rebuilt, and is none of them.
 *
 * @param leader The serving leader; undefined if none serves.
 */
export function partedLogs(
  view: PartitionView,
  leader: ReplicaView | undefined,
): ReadonlyMap<Endpoint, bigint> | undefined {
  const found = new Map(limitsOf(view));
  const list = leader?.followers?.followers;
  const led = leader?.report?.offset;
  if (led !== undefined && list !== undefined) {
    for (const { endpoint, report } of view.replicas) {
      if (list.has(endpoint)) found.delete(endpoint);
      else if (report === undefined || report.offset > led) limit(found, endpoint, led);
    }
  }
  return found.size === 0 ? undefined : found;
}

/** The limits (see {@link partedAt}) with one more for each replica that is unread while a leader takes the role. */
export function withUnread(
  view: PartitionView,
  leader: ReplicaView,
  unread: readonly ReplicaView[],
): ReadonlyMap<Endpoint, bigint> {
  const offset = leader.report?.offset ?? 0n;
  const parted = new Map(limitsOf(view));
  for (const { endpoint } of unread) limit(parted, endpoint, offset);
  return parted;
}

/**
 * The limits once the operator lets a replica lead. If it had parted itself, its log is that of the others that had, and
 * nothing proves that the replicas that had not share any entry with it: their leader may have begun again from 1.
 *
 * @param parted The limits of now, see {@link partedLogs}.
 */
export function partedFrom(
  { replicas }: PartitionView,
  chosen: ReplicaView,
  parted: ReadonlyMap<Endpoint, bigint>,
): ReadonlyMap<Endpoint, bigint> | undefined {
  if (!parted.has(chosen.endpoint)) return parted;
  const others = replicas.filter((one) => !parted.has(one.endpoint));
  return others.length === 0 ? undefined : new Map(others.map((one) => [one.endpoint, 0n]));
}

/** Sets a limit, unless there is a lower one. */
function limit(limits: Map<Endpoint, bigint>, endpoint: Endpoint, offset: bigint): void {
  const before = limits.get(endpoint);
  if (before === undefined || before > offset) limits.set(endpoint, offset);
}
