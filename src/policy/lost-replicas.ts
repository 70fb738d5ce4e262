import { mayBeGivenUp } from "../model/absence.js";
import type { Endpoint } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { isServing, lowerBound, servingLeader, trueOffset } from "./what-it-holds.js";

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
  let beyond = 0n;
  for (const one of view.replicas.filter(isLost)) {
    const more = lowerBound(view, one) - trueOffset(leader);
    if (more > beyond) beyond = more;
  }
  return beyond;
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
  const replica = view.replicas.find((one) => one.endpoint === endpoint);
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
