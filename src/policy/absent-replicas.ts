import { mayBeGivenUp, mayBeServing } from "../model/absence.js";
import type { Endpoint } from "../model/cluster-state.js";
import { type PartitionView, type ReplicaView, replicaAt } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import { isServing, lowerBound, most, servingLeader, trueOffset } from "./what-it-holds.js";

/**
 * Returns a problem if a replica may be serving as leader although this machine cannot reach it:
 * flagged leader and alive, on a tablet that is registered and healthy for the nameserver. A second
 * leader could take writes at the same time, so the partition must not be changed.
 *
 * @returns A problem without a candidate: no operator's decision resolves it. Undefined if there is no
 *   such replica.
 */
export function unobservableLeader(view: PartitionView): Problem | undefined {
  const leader = view.replicas.find(
    (one) => one.claim.isLeader && one.claim.isAlive && mayBeServing(one.absence),
  );
  if (leader === undefined) return undefined;
  return {
    code: "leader-unavailable",
    endpoint: leader.endpoint,
    text: `${leader.endpoint} is flagged leader and may be serving, but cannot be checked from here (${leader.tabletDetail})`,
  };
}

/**
 * True if a tablet of the partition may be serving clients although this machine cannot work with it.
 */
export function hasUnobservableTablet({ replicas }: PartitionView): boolean {
  return replicas.some((one) => mayBeServing(one.absence));
}

/** True if the replica's tablet is not registered and the operator declared it lost (`--lost`). */
export function isLost({ absence }: ReplicaView): boolean {
  return absence?.kind === "lost";
}

/** True if there are replicas that do not serve, and each of them is on a lost tablet. */
export function areUnreadReplicasLost({ replicas }: PartitionView): boolean {
  const silent = replicas.filter((one) => !isServing(one));
  return silent.length > 0 && silent.every(isLost);
}

/**
 * The number of entries of the surviving history that a replica on a lost tablet is known to have held
 * beyond the last one of the serving leader; 0 if none.
 */
export function lostBeyond(view: PartitionView, leader: ReplicaView): bigint {
  const lost = view.replicas.filter(isLost);
  return most(lost.map((one) => lowerBound(view, one) - trueOffset(leader)));
}

/**
 * Returns why a replica of an absent tablet must not be removed from the record; undefined if it may
 * be.
 *
 * @param options `acceptsLoss`: whether it may be removed even if it is known to hold entries that the
 *   leader lacks.
 */
export function whyNotRemove(
  view: PartitionView,
  { endpoint, acceptsLoss }: { readonly endpoint: Endpoint; readonly acceptsLoss: boolean },
): string | undefined {
  const replica = replicaAt(view, endpoint);
  if (replica === undefined) return undefined;
  const { absence } = replica;
  if (absence === undefined || !mayBeGivenUp(absence)) {
    return `its tablet is not gone (${replica.tabletDetail || "it is registered and answers"})`;
  }
  const leader = servingLeader(view);
  if (leader === undefined) return "no other replica leads the partition";
  const beyond = lowerBound(view, replica) - trueOffset(leader);
  return beyond > 0n && !acceptsLoss
    ? `it is known to hold ${beyond} entries that leader ${leader.endpoint} lacks`
    : undefined;
}
