import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Lane, Step } from "../model/plan.js";

/** What a step expects to find just before it acts, in words without a final stop. */
export function expectationOf(view: PartitionView, lane: Lane, step: Step): string {
  const replica = view.replicas.find((one) => one.endpoint === step.endpoint);
  switch (step.kind) {
    case "wait-ops":
      return `${view.activeOps.map((op) => `${op.type} ${op.id}`).join(", ")} not ended`;
    case "wait-load":
      return "its tablet is loading it";
    case "wait-sync":
      return `fed by ${lane.leader}, behind it`;
    case "load-follower":
      return `not loaded, ${lastSeen(replica)}`;
    case "load-leader":
      return `not loaded, ${lastSeen(replica)}, comes up at ${lane.leastOffset} or more`;
    case "mark-dead":
      return "flagged alive, or marked already";
    case "mark-alive":
      return step.endpoint === lane.leader
        ? "runs as leader, marked not alive"
        : `in sync with ${lane.leader}`;
    case "demote":
      return "loaded, runs as leader and shall not";
    case "promote":
      return `loaded as follower at offset ${lane.leastOffset} or more, nobody leads`;
    case "change-role":
      return "loaded as follower, nobody leads";
    case "set-flags":
      return `the record names ${recordedLeaders(view)} as leader`;
    case "change-leader":
      return `loaded as follower at offset ${lane.leastOffset}, nobody leads`;
    case "feed":
      return `loaded as follower, its log not longer than that of ${lane.leader}`;
    case "recover-snapshot":
      return "in kSnapshotPaused with no op running";
    case "recover-table":
      return `${lane.leader} leads and holds at least what this replica has to give`;
  }
}

function lastSeen(replica: ReplicaView | undefined): string {
  const offset = replica?.claim.offset;
  return offset === undefined ? "no offset known" : `last seen at offset ${offset}`;
}

function recordedLeaders(view: PartitionView): string {
  const named = view.replicas.filter((one) => one.claim.isLeader).map((one) => one.endpoint);
  return named.join(" and ") || "nobody";
}
