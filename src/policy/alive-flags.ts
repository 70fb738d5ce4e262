import type { Endpoint, Role } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";

/**
 * Whether a replica is flagged alive, or was when the partition was found without a leader, as long as that
 * counts ({@link earlierFlags}). With auto_failover on, the nameserver marks every replica of a tablet that is gone
 * not alive, the leader too, before it elects another leader and without a new term (OpenMLDB 0.9 nameserver:
 * OnTabletOffline). If the election fails, the mark stays. Such a replica may hold acknowledged entries that no
 * other replica has.
 */
export function isAlive(view: PartitionView, replica: ReplicaView): boolean {
  return replica.claim.isAlive || earlierFlags(view)?.has(replica.endpoint) === true;
}

/** Whether a replica is flagged leader and alive; see {@link isAlive}. */
export function isAliveLeader(view: PartitionView, { endpoint, claim }: ReplicaView): boolean {
  return claim.isLeader && (claim.isAlive || earlierFlags(view)?.get(endpoint) === "leader");
}

/**
 * The replicas that are flagged alive, and in which role; see {@link isAlive}.
 *
 * @returns Undefined while a replica leads: each mark that is made then counts.
 */
export function aliveFlags(view: PartitionView): ReadonlyMap<Endpoint, Role> | undefined {
  if (view.replicas.some(isLeading)) return undefined;
  const flags = new Map(earlierFlags(view));
  for (const { endpoint, claim } of view.replicas) {
    if (claim.isAlive) flags.set(endpoint, claim.isLeader ? "leader" : "follower");
  }
  return flags;
}

/**
 * Flags of an earlier observation or run. They count until a new term begins, a replica leads again, or one that did not
 * lead then is flagged leader and alive: since then others may have written.
 *
 * @returns Undefined if none are known, or none count.
 */
export function earlierFlags(view: PartitionView): ReadonlyMap<Endpoint, Role> | undefined {
  const { alive, term } = view.known?.bounds ?? {};
  if (alive === undefined || term !== (view.terms.at(-1)?.term ?? 0n)) return undefined;
  const isOver = view.replicas.some(
    (one) =>
      isLeading(one) ||
      (one.claim.isLeader && one.claim.isAlive && alive.get(one.endpoint) !== "leader"),
  );
  return isOver ? undefined : alive;
}

function isLeading({ claim, report }: ReplicaView): boolean {
  return claim.isLeader && claim.isAlive && report?.role === "leader";
}
