import type { Endpoint, PartitionId, Role } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { ProblemCode } from "../model/problem.js";
import type { Step } from "../model/step.js";

/** What every step about a replica says: which one, and the problem that asks for it. */
export function at(
  { id }: PartitionView,
  { endpoint }: ReplicaView,
  why: ProblemCode,
): { readonly id: PartitionId; readonly endpoint: Endpoint; readonly why: ProblemCode } {
  return { id, endpoint, why };
}

/**
 * Makes a replica that runs as leader a follower.
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

/** Makes a loaded follower the leader, which replicates to `followers` from then on. */
export function promotion(
  view: PartitionView,
  leader: ReplicaView,
  why: ProblemCode,
  followers: readonly ReplicaView[],
): Step {
  const to = followers.map((one) => one.endpoint);
  return { kind: "promote", ...at(view, leader, why), followers: to };
}

/** Marks a replica alive that serves in the role that clients will expect of it. */
export function aliveMark(
  view: PartitionView,
  replica: ReplicaView,
  role: Role,
  why: ProblemCode,
): Step {
  return { kind: "mark-alive", ...at(view, replica, why), role, checks: "role" };
}

/** Rebuilds a replica from the leader (RecoverTable). */
export function rebuild(
  view: PartitionView,
  replica: ReplicaView,
  why: ProblemCode,
  how: Omit<Step<"recover-table">, "kind" | keyof ReturnType<typeof at>>,
): Step {
  return { kind: "recover-table", ...at(view, replica, why), ...how };
}
