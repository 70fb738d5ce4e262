import { mayBeGivenUp, mayBeServing } from "../model/absence.js";
import type { Loss } from "../model/loss.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import { isOnlyLostUnasked } from "./lost-replicas.js";
import { givenUpCount, givenUpIfLeads } from "./what-is-given-up.js";
import { firstChange, isServing, isSuspect, trueOffset } from "./what-it-holds.js";
import { partedEntries } from "./what-may-be-overwritten.js";

/** The decisions that replicas on lost tablets can be the cause of. */
const LOST_CODES: readonly ProblemCode[] = ["rows-missing", "unread"];

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
 * What an operator gives up who lets a replica lead. Where leaderships parted and no call tells which entries are of
 * the newest, those of any other replica behind the parting may be the acknowledged ones.
 */
export function lossIfLeads(view: PartitionView, choice: ReplicaView): Loss {
  const { atLeast, atMost } = givenUpIfLeads(view, choice);
  const parted = partedEntries(view, choice);
  if (atMost === undefined) return { atLeast: atLeast + parted, atMost };
  let most = atMost + parted;
  for (const one of view.replicas) {
    if (one === choice || !isServing(one) || !isSuspect(view, one)) continue;
    const behind = trueOffset(one) - firstChange(view) + 1n;
    if (behind > most) most = behind;
  }
  return { atLeast: atLeast + parted, atMost: most };
}

/**
 * A decision as it is put to the operator, with what is given up where the candidate leads. No loss is
 * offered while a replica that is not loaded may be serving, or may be back in a moment.
 */
export function offered(view: PartitionView, decision: Problem): Problem {
  const isTooEarly = (one: ReplicaView) => one.tablet !== "ok" && !mayBeGivenUp(one.absence);
  const choice = view.replicas.find((one) => one.endpoint === decision.candidate);
  if (choice === undefined || view.replicas.some(isTooEarly)) {
    const { candidate: _, ...problem } = decision;
    return problem;
  }
  const loss = lossIfLeads(view, choice);
  const isOfLost = LOST_CODES.includes(decision.code) && isOnlyLostUnasked(view);
  const price = isOfLost
    ? `; where ${choice.endpoint} leads, ${givenUpCount(loss)} would be given up`
    : "";
  return { ...decision, text: `${decision.text}${price}`, loss, isOfLost };
}
