import { mayBeGivenUp, mayBeServing } from "../model/absence.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";

/**
 * A replica that may be serving the partition as its leader while this machine cannot see it: flagged
 * leader and alive, on a tablet that is registered and healthy for the nameserver. A second leader made
 * beside it could take writes at the same time, so the partition is left alone.
 *
 * @returns Why nothing may be done; it is nothing that an operator could decide. Undefined if there is
 *   no such replica.
 */
export function leaderOutOfSight(view: PartitionView): Problem | undefined {
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

/** Whether a tablet of the partition may be serving although this machine cannot work with it. */
export function isPartlyOutOfSight({ replicas }: PartitionView): boolean {
  return replicas.some((one) => mayBeServing(one.absence));
}

/**
 * A decision as it is put to the operator. No loss is offered while a replica that is not loaded may be
 * serving, or may be back in a moment.
 */
export function offered(view: PartitionView, decision: Problem): Problem {
  const isTooEarly = (one: ReplicaView) => one.tablet !== "ok" && !mayBeGivenUp(one.absence);
  if (!view.replicas.some(isTooEarly)) return decision;
  const { candidate: _, ...problem } = decision;
  return problem;
}
