import { mayBeGivenUp } from "../model/absence.js";
import type { Loss } from "../model/loss.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import type { ChoiceOfLeader } from "../model/report.js";
import { areUnreadReplicasLost } from "./absent-replicas.js";
import { givenUpCount, givenUpIfLeads } from "./what-is-given-up.js";
import { firstChange, isServing, isSuspect, most, trueOffset } from "./what-it-holds.js";
import { divergedEntries, partedLoss } from "./what-may-be-overwritten.js";

/** The decisions that can be caused by replicas on lost tablets. */
const LOST_CODES: readonly ProblemCode[] = ["rows-missing", "unread"];

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

/** The replicas that can lead now, by descending offset. */
export function choicesOf(view: PartitionView): ChoiceOfLeader[] {
  return view.replicas
    .filter(isServing)
    .map((one) => ({
      endpoint: one.endpoint,
      offset: trueOffset(one),
      loss: lossIfLeads(view, one),
    }))
    .sort((a, b) => Number(b.offset - a.offset));
}
