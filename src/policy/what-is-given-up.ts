import { mayBeGivenUp } from "../model/absence.js";
import type { Endpoint } from "../model/cluster-state.js";
import type { Loss } from "../model/loss.js";
import { givenUpCount } from "../model/loss.js";
import { type PartitionView, type ReplicaView, replicaAt } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import type { ChoiceOfLeader } from "../model/report.js";
import { areUnreadReplicasLost, isLost } from "./absent-replicas.js";
import { newestLeaders } from "./flagged-leader.js";
import { oldRecord } from "./old-record.js";
import { partedAt } from "./parted-logs.js";
import {
  type CannotLoad,
  firstChange,
  heldOffset,
  isServing,
  isSuspect,
  knownOffset,
  leastOffset,
  lowerBound,
  most,
  newestStart,
  servingLeader,
  trueOffset,
} from "./what-it-holds.js";
import { discardedBy, hasDiverged } from "./what-may-be-overwritten.js";

/**
 * How many acknowledged entries are given up if a replica leads: at least, and at most.
 *
 * A fresh offset of an unreachable replica counts as what it holds: it is at most two seconds old, see
 * `ReplicaView.isOffsetFresh`.
 */
export interface GivenUp extends Loss {
  /** The reason in words with numbers, without a full stop; empty if nothing is given up. */
  readonly why: string;
}

/** What is known of a partition's replicas in addition to the view. */
export interface LossEvidence {
  /** The failed loads: a replica without a directory on its disk has nothing to lose. */
  readonly cannotLoad?: CannotLoad | undefined;
  /**
   * The last offset of an unreachable leader that an earlier observation proved fresh. It counts as
   * long as the record still has this offset: a later write of the record hides the proof.
   */
  readonly lastSeen?: bigint | undefined;
}

/**
 * What is given up in addition to the counted entries if an absent leader is passed over that was seen fresh: the
 * nameserver reads offsets every two seconds (OpenMLDB 0.9 nameserver: UpdateTableStatus), so later entries are not known.
 */
export function unseenTail(leader: Endpoint): string {
  return `what ${leader} acknowledged in its last 2 s`;
}

/**
 * The replicas that cannot be read and may hold acknowledged rows that the choice lacks.
 *
 * The leader of the newest term acknowledged every row itself: if it leads again, no other replica can
 * hold more. Another replica is chosen only if that leader is not known, cannot be read, or has lost
 * entries with its disk. Then any unread replica may be the only one that still holds them, also one that is
 * marked not alive: it followed until it was marked.
 */
export function unreadReplicas(
  view: PartitionView,
  choice: ReplicaView,
  cannotLoad?: CannotLoad,
): readonly ReplicaView[] {
  const newest = newestLeaders(view);
  if (newest.length === 1 && newest[0] === choice) return [];
  const isEmpty = ({ endpoint }: ReplicaView) => cannotLoad?.get(endpoint) === "empty";
  return view.replicas.filter((one) => one !== choice && !isServing(one) && !isEmpty(one));
}

/**
 * Computes what is given up if a replica becomes leader now.
 *
 * Passing over an unreachable leader gives up nothing if the nameserver saw it, while it was loaded, no
 * further than the choice is now. Unreachable followers hold prefixes of their leader's log.
 */
export function givenUpIfLeads(
  view: PartitionView,
  choice: ReplicaView,
  beside: LossEvidence = {},
): GivenUp {
  const held = isServing(choice) ? trueOffset(choice) : knownOffset(view, choice);
  const least = leastOffset(view);
  const atLeast = least > held ? least - held : 0n;
  const newest = newestLeaders(view);
  // A serving leader acknowledged every entry itself, so no unread replica can hold more.
  const isLed = servingLeader(view) !== undefined;
  const away = isLed ? [] : unreadReplicas(view, choice, beside.cannotLoad);
  const leaders = away.filter((one) => newest.includes(one));
  // Followers hold no more than the leader that replicated to them.
  const doubtful = (leaders.length > 0 ? leaders : away).filter(
    (one) => !isFresh(view, one, beside.lastSeen),
  );
  if (doubtful.length > 0) {
    const why = `${choice.endpoint} holds entries up to ${held}, and nothing proves that it has all of ${unreadText(view, doubtful)}`;
    return { atLeast, atMost: undefined, why };
  }
  if (oldRecord(view) !== undefined) {
    const why = "the record is older than a disk, so it does not bound the loss";
    return { atLeast, atMost: undefined, why };
  }
  if (atLeast === 0n) return { atLeast, atMost: 0n, why: "" };
  const why = `${choice.endpoint} holds entries up to ${held}, and ${least} is known (${knownText(view)})`;
  return { atLeast, atMost: atLeast, why };
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
  const suspects = view.replicas.filter((one) => one !== choice && isSuspect(view, one));
  const tails = suspects.map((one) => trueOffset(one) - firstChange(view) + 1n);
  const bound = most([most([atMost, parted.atMost ?? 0n]) + own, ...tails]);
  return { atLeast: least + own, atMost: bound };
}

/**
 * What is given up if a replica leads, of logs that have parted from its log within one term: at least what the other one
 * holds after the last entry that both can share. At most all of it, if the leader has written since, or if it is the one
 * that had parted: the other one may have lost its log and begun again from 1 before it was first seen.
 */
function partedLoss(view: PartitionView, leader: ReplicaView): Loss {
  const own = partedAt(view, leader);
  let loss = { atLeast: 0n, atMost: 0n };
  for (const one of view.replicas) {
    const other = partedAt(view, one);
    const at = own ?? other;
    // Two replicas that have both parted from a third one have the same log.
    if (one === leader || at === undefined || (own !== undefined && other !== undefined)) continue;
    const held = heldOffset(view, one);
    if (own === undefined && held <= at) continue;
    const bound = own !== undefined || trueOffset(leader) > at ? held : held - at;
    loss = { atLeast: most([loss.atLeast, held - at]), atMost: most([loss.atMost, bound]) };
  }
  return loss;
}

/**
 * The number of entries that only ex-leaders took from clients and that are given up if a replica
 * leads.
 */
function divergedEntries(view: PartitionView, leader: ReplicaView): bigint {
  return view.replicas.reduce((sum, one) => {
    const discarded = discardedBy(view, one, leader);
    return discarded?.code === "surplus" ? sum + discarded.known - discarded.kept : sum;
  }, 0n);
}

/** What is given up if this replica leads, in words with numbers. */
export function givenUpText(view: PartitionView, leader: ReplicaView): string {
  const offset = trueOffset(leader);
  const isDiverged = (one: ReplicaView) =>
    isServing(one) && (hasDiverged(view, one, leader) || hasDiverged(view, leader, one));
  const beyond = view.replicas
    .filter((one) => one !== leader)
    .filter((one) => trueOffset(one) > offset || !isServing(one) || isDiverged(one))
    .map((one) => {
      if (isDiverged(one)) {
        const from = newestStart(view);
        return `${one.endpoint} (its own entries from ${from} to ${trueOffset(one)}, where the logs diverged)`;
      }
      const bound = lowerBound(view, one);
      const known = bound > 0n ? `, known to hold entries up to ${bound}` : "";
      return `${one.endpoint} (${isServing(one) ? `at ${trueOffset(one)}` : `not loaded${known}`})`;
    });
  const least = leastOffset(view);
  const lost =
    least > offset ? [`the ${least - offset} entries up to ${least} that were known`] : [];
  const parts = [
    ...lost,
    ...(beyond.length === 0 ? [] : [`whatever ${beyond.join(", ")} held beyond it`]),
  ];
  return parts.length === 0
    ? "no replica is known to hold more"
    : `given up is ${parts.join(", and ")}`;
}

/** The decisions that can be caused by replicas on lost tablets. */
const LOST_CODES: readonly ProblemCode[] = ["rows-missing", "unread"];

/**
 * Adds to a decision what is given up if its candidate leads. Removes the candidate, so that no loss
 * can be accepted, while a replica may be serving unseen or its tablet may be restarting.
 */
export function offered(view: PartitionView, decision: Problem): Problem {
  const isTooEarly = (one: ReplicaView) => one.tablet !== "ok" && !mayBeGivenUp(one.absence);
  const choice = replicaAt(view, decision.candidate);
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

/**
 * The last offsets of the leaders of the newest term that are on lost tablets, as far as they are
 * proven fresh now or were when an earlier run began. A restarted nameserver reads older offsets from
 * ZooKeeper.
 */
export function lastOfLost(view: PartitionView): ReadonlyMap<Endpoint, bigint> {
  const found = new Map<Endpoint, bigint>();
  for (const one of newestLeaders(view).filter(isLost)) {
    const kept = keptOfLost(view, one);
    const last = kept ?? (isFresh(view, one, undefined) ? one.claim.offset : undefined);
    if (last !== undefined) found.set(one.endpoint, last);
  }
  return found;
}

/**
 * The stored last offset of a leader on a lost tablet. Undefined if the record has a higher one: the
 * tablet came back in between.
 */
function keptOfLost(view: PartitionView, replica: ReplicaView): bigint | undefined {
  const kept = view.known?.bounds.lastOfLost?.get(replica.endpoint);
  return isLost(replica) && (replica.claim.offset ?? 0n) <= (kept ?? -1n) ? kept : undefined;
}

/** True if the nameserver's offset of an unreadable replica is fresh now or was earlier. */
function isFresh(view: PartitionView, replica: ReplicaView, lastSeen: bigint | undefined): boolean {
  const { endpoint, claim, isOffsetFresh } = replica;
  if (keptOfLost(view, replica) !== undefined) return true;
  if (claim.offset === undefined) return false;
  const before = view.known?.replicas.get(endpoint);
  const isKnownFresh = before?.isClaimFresh === true && before.claimed === claim.offset;
  return isOffsetFresh === true || isKnownFresh || lastSeen === claim.offset;
}

/** The replicas that cannot be read, in words. */
export function unreadText(view: PartitionView, unread: readonly ReplicaView[]): string {
  return unread
    .map((one) => {
      const why = one.tablet === "ok" ? "is not loaded" : `its tablet ${one.tabletDetail}`;
      return `${one.endpoint} (${why}; known to hold entries up to ${lowerBound(view, one)}, and what it holds beyond is not known)`;
    })
    .join(", ");
}

function knownText(view: PartitionView): string {
  return view.replicas
    .map((one) =>
      isServing(one)
        ? `${one.endpoint} ${trueOffset(one)}`
        : `${one.endpoint} not loaded, seen at ${knownOffset(view, one)}`,
    )
    .join(", ");
}
