import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { isServing } from "./what-it-holds.js";

/**
 * The replicas that run as leader, other than the current or coming one. After ChangeLeader the old
 * leader keeps running as leader on its tablet, with its replication list (OpenMLDB 0.9 nameserver:
 * kChangeLeaderOP). A freshly loaded replica has no term and accepts any leader: an ex-leader that
 * lists it sends the entries after the last one that the replica acknowledged, which leaves a hole in
 * its log that no offset shows.
 */
export function exLeaders(view: PartitionView, leader: ReplicaView | undefined): ReplicaView[] {
  return view.replicas.filter(
    (one) => one !== leader && isServing(one) && one.report?.role === "leader",
  );
}

/**
 * An ex-leader that may still run, on a tablet that this machine cannot reach. It cannot be demoted, so
 * no other replica may be reloaded. Undefined if there is none.
 */
export function unreachableExLeader(
  view: PartitionView,
  leader: ReplicaView,
): ReplicaView | undefined {
  return view.replicas.find(
    (one) => one !== leader && one.claim.isLeader && one.absence?.kind === "unreachable",
  );
}
