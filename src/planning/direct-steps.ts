import type { Endpoint, PartitionId, Role } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { ProblemCode } from "../model/problem.js";
import type { Step } from "../model/step.js";

/**
 * The fields that every step about a replica has: which replica, and the problem that it solves.
 */
export function at(
  { id }: PartitionView,
  { endpoint }: ReplicaView,
  why: ProblemCode,
): { readonly id: PartitionId; readonly endpoint: Endpoint; readonly why: ProblemCode } {
  return { id, endpoint, why };
}

/**
 * A step that makes a replica running as leader a follower.
 *
 * @param isDecided Whether the operator chose another leader while this one is in use.
 */
export function demotion(
  view: PartitionView,
  replica: ReplicaView,
  why: ProblemCode,
  isDecided = false,
): Step {
  return { kind: "demote", ...at(view, replica, why), isDecided };
}

/** A step that makes a loaded follower the leader, which then replicates to `followers`. */
export function promotion(
  view: PartitionView,
  leader: ReplicaView,
  why: ProblemCode,
  followers: readonly ReplicaView[],
): Step {
  const to = followers.map((one) => one.endpoint);
  return { kind: "promote", ...at(view, leader, why), followers: to };
}

/** A step that marks a replica alive which serves in the given role. */
export function aliveMark(
  view: PartitionView,
  replica: ReplicaView,
  role: Role,
  why: ProblemCode,
): Step {
  return { kind: "mark-alive", ...at(view, replica, why), role, checks: "role" };
}

/** A step that rebuilds a replica from the leader (RecoverTable). */
export function rebuild(
  view: PartitionView,
  replica: ReplicaView,
  why: ProblemCode,
  how: Omit<Step<"recover-table">, "kind" | keyof ReturnType<typeof at>>,
): Step {
  return { kind: "recover-table", ...at(view, replica, why), ...how };
}
