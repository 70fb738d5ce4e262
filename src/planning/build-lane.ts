import type { Endpoint, PartitionId, Role } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { evidenceOf } from "../policy/evidence.js";
import { leastOffset, most } from "../policy/what-it-holds.js";
import { exLeaders } from "../policy/what-may-be-overwritten.js";

/**
 * Builds a partition's lane: its steps, and the facts of the view that they check and act on.
 *
 * @param parts `leader`: the replica that leads or will lead; undefined if none does. The others
 *   default to: `leastOffset` of the view (0 without a leader), no notes, nothing given up.
 */
export function laneOf(
  view: PartitionView,
  parts: {
    leader: ReplicaView | undefined;
    steps: readonly Step[];
    leastOffset?: bigint;
    notes?: readonly string[];
    givesUp?: boolean;
  },
): Lane {
  return {
    id: view.id,
    segCount: view.segCount,
    storageMode: view.storageMode,
    newestTerm: view.terms.at(-1) ?? { term: 0n, offset: 0n },
    leader: parts.leader?.endpoint,
    leastOffset: parts.leastOffset ?? (parts.leader === undefined ? 0n : leastOffset(view)),
    lastSeen: new Map(
      view.replicas.flatMap(({ endpoint, claim, snapshot }): [Endpoint, bigint][] =>
        claim.offset === undefined && snapshot === undefined
          ? []
          : [[endpoint, most([claim.offset ?? 0n, snapshot?.offset ?? 0n])]],
      ),
    ),
    evidence: evidenceOf(view),
    givesUp: parts.givesUp ?? false,
    steps: parts.steps,
    notes: parts.notes ?? [],
    blocked: undefined,
  };
}

/** The lane of a partition that may not be changed; `leader`: the replica that leads it, if any. */
export function blockedLane(view: PartitionView, blocked: Problem, leader?: ReplicaView): Lane {
  return { ...laneOf(view, { leader, steps: [] }), blocked };
}

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

/** Kinds of steps without fields beyond their replica. */
type PlainKind =
  | "wait-load"
  | "wait-sync"
  | "load-follower"
  | "load-leader"
  | "change-role"
  | "replicate"
  | "recover-snapshot";

/** A step without parameters. */
export function plainStep(
  view: PartitionView,
  kind: PlainKind,
  replica: ReplicaView,
  why: ProblemCode,
): Step {
  return { kind, ...at(view, replica, why) };
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

/**
 * The same steps, after the demotion of ex-leaders that still run if a replica is rebuilt; see
 * {@link exLeaders}.
 */
export function afterDemotions(
  view: PartitionView,
  leader: ReplicaView,
  steps: readonly Step[],
): readonly Step[] {
  if (!steps.some((one) => one.kind === "recover-table")) return steps;
  const isDemoted = ({ endpoint }: ReplicaView) =>
    steps.some((one) => one.kind === "demote" && one.endpoint === endpoint);
  const running = exLeaders(view, leader).filter((one) => !isDemoted(one));
  return [...running.map((one) => demotion(view, one, "extra-leader")), ...steps];
}
