import { mayBeGivenUp, mayBeServing } from "../model/absence.js";
import type { Loss } from "../model/loss.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import { areUnreadReplicasLost } from "./lost-replicas.js";
import { givenUpCount, givenUpIfLeads } from "./what-is-given-up.js";
import { firstChange, isServing, isSuspect, most, trueOffset } from "./what-it-holds.js";
import { divergedEntries, partedLoss } from "./what-may-be-overwritten.js";

/** The decisions that can be caused by replicas on lost tablets. */
const LOST_CODES: readonly ProblemCode[] = ["rows-missing", "unread"];

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

/**
 * Computes what is given up if the operator lets a replica lead. Where terms diverged and no call tells
 * which entries belong to the newest one, the diverged entries of any other replica may be the
 * acknowledged ones, so the longest such tail bounds the loss.
 */
export function lossIfLeads(view: PartitionView, choice: ReplicaView): Loss {
  const { atLeast, atMost } = givenUpIfLeads(view, choice);
  const own = divergedEntries(view, choice);
  const parted = partedLoss(view, choice);
  const least = most([atLeast, parted.atLeast]);
  if (atMost === undefined) return { atLeast: least + own, atMost };
  let bound = most([atMost, parted.atMost ?? 0n]) + own;
  for (const one of view.replicas) {
    if (one === choice || !isServing(one) || !isSuspect(view, one)) continue;
    const diverged = trueOffset(one) - firstChange(view) + 1n;
    bound = most([bound, diverged]);
  }
  return { atLeast: least + own, atMost: bound };
}

/**
 * Adds to a decision what is given up if its candidate leads. Removes the candidate, so that no loss
 * can be accepted, while a replica may be serving unseen or its tablet may be restarting.
 */
export function offered(view: PartitionView, decision: Problem): Problem {
  const isTooEarly = (one: ReplicaView) => one.tablet !== "ok" && !mayBeGivenUp(one.absence);
  const choice = view.replicas.find((one) => one.endpoint === decision.candidate);
  if (choice === undefined || view.replicas.some(isTooEarly)) {
    const { candidate: _, ...problem } = decision;
    return problem;
  }
  const loss = lossIfLeads(view, choice);
  const isOfLost = LOST_CODES.includes(decision.code) && areUnreadReplicasLost(view);
  const price = isOfLost
    ? `; if ${choice.endpoint} leads, ${givenUpCount(loss)} would be given up`
    : "";
  return { ...decision, text: `${decision.text}${price}`, loss, isOfLost };
}
