import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { isServing } from "./what-it-holds.js";

/**
 * The replicas that run as leader beside the one that leads, or is to lead. After ChangeLeader the old
 * leader goes on as leader on its tablet, with its replication list (OpenMLDB 0.9 nameserver:
 * kChangeLeaderOP). A replica that is loaded anew has no term and refuses no leader: an ex-leader that
 * lists it sends what comes after the entry that the replica last acknowledged, and leaves a hole in its
 * log that no offset shows.
 */
export function exLeaders(view: PartitionView, leader: ReplicaView | undefined): ReplicaView[] {
  return view.replicas.filter(
    (one) => one !== leader && isServing(one) && one.report?.role === "leader",
  );
}

/**
 * An ex-leader that may still run, on a tablet that this machine cannot reach: it cannot be demoted, so
 * no other replica may be loaded anew. Undefined if there is none.
 */
export function exLeaderOutOfSight(
  view: PartitionView,
  leader: ReplicaView,
): ReplicaView | undefined {
  return view.replicas.find(
    (one) => one !== leader && one.claim.isLeader && one.absence?.kind === "unreachable",
  );
}
