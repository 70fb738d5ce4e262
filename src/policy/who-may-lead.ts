import type { Endpoint } from "../model/cluster-state.js";
import { compareText, type PartitionView, type ReplicaView } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import { isLost } from "./lost-replicas.js";
import { isUnproven } from "./old-record.js";
import { partedAt } from "./parted-logs.js";
import {
  awaitedLeaders,
  givenUpCount,
  givenUpIfLeads,
  newestLeaders,
  unreadReplicas,
  unseenTail,
} from "./what-is-given-up.js";
import {
  type CannotLoad,
  firstChange,
  isOfHistory,
  isServing,
  isSuspect,
  knownOffset,
  type LoadResults,
  leastOffset,
  lowerBound,
  newestStart,
  trueOffset,
} from "./what-it-holds.js";

/*
 * The policy of the whole tool: which replica may lead, what a replica holds, which may be overwritten.
 * Recovery by either method, inspect, changeleader, offlineendpoint, recoverendpoint, scaling and
 * upgrades decide by these functions only, so all give the same answer with the same numbers.
 *
 *   A       the acknowledged log of a partition: the leader of the newest term acknowledged each entry
 *   held(r) the entries of A that replica r holds:  atLeast(r) <= held(r) <= atMost(r)
 *           loaded, of the history        atLeast = atMost = offset reported by its tablet
 *           loaded, may have diverged     atLeast = the last entry before the logs may have diverged
 *           not loaded, or unreachable    atLeast = max(nameserver's offset, snapshot on its disk,
 *                                         lower bound of an earlier run);  atMost = unknown
 *
 *   LEAD       l becomes leader      =>  for each replica r:  atMost(r) <= atLeast(l), or accepted
 *   OVERWRITE  r is rebuilt from l   =>  every entry on the disk of r is known to be in l, or accepted
 *   ACCEPTED   the operator named the partition, after atLeast and atMost of the loss were printed
 *   RECORD     a disk has a newer term than the record  =>  flags and history decide nothing
 *
 * An unknown atMost(r) does not count against l if r cannot have received entries that l lacks:
 * l is the only replica that led the newest term, or r has no data.
 *
 *   what-it-holds            atLeast, what is of the history, which replica leads now
 *   what-is-given-up         LEAD with numbers: entries given up, at least and at most
 *   who-may-lead             LEAD for recovery by reported offsets (direct)
 *   flagged-leader           LEAD for recovery by the record (documented)
 *   check-leader-change      LEAD for a change of leader that the operator requests
 *   what-may-be-overwritten  OVERWRITE
 *   absent-replicas          replicas that this machine cannot reach and that may be serving
 *   parted-logs              logs that offsets do not compare: both wrote entries of one term
 *   old-record               RECORD
 *
 * The ways to a leader differ on purpose in what an absent leader of the newest term means: see ABSENT_LEADER.
 */

/**
 * The replica that is to lead, by reported offsets, with the loaded followers that may join it as they
 * are; or why no replica can lead without a possible loss.
 */
export type Decision =
  | { readonly leader: ReplicaView; readonly joiners: readonly ReplicaView[] }
  | { readonly blocked: Problem };

/**
 * Decides by reported offsets. Call it once every replica that can be loaded is loaded.
 *
 * The longest log of the surviving history leads, so that no entry on any disk is given up. Replicas
 * that were marked alive at the outage belong to that history, and so does every log that ends before
 * the second leadership began. Ties go to the replica flagged leader, then to one that runs as leader,
 * then to the smallest endpoint.
 *
 * Refused, with numbers: no replica is flagged leader; the leader of the newest term is unreachable;
 * the best replica has fewer entries than were known; the choice is not the leader of the newest term
 * and a replica that may hold more cannot be read; or several logs reach into the newest leadership and
 * nothing tells which of them belongs to it.
 */
export function decideLeader(view: PartitionView, known: LoadResults): Decision {
  const flagged = view.replicas.filter((one) => one.claim.isLeader);
  if (flagged.length === 0) {
    return block(
      "no-leader-flagged",
      undefined,
      "no replica is flagged leader, so no replica is known to have led",
    );
  }
  const newest = newestLeaders(view);
  if (awaitedLeaders(view, "direct").length > 0) {
    const where = newest.map((one) => `${one.endpoint} (${one.tabletDetail})`).join(", ");
    const best = longest(view.replicas.filter(isServing));
    const gives = best && givenUpIfLeads(view, best);
    const tail =
      gives?.atMost === undefined
        ? ""
        : ` and ${newest.map((one) => unseenTail(one.endpoint)).join(", ")}`;
    const loss =
      gives && `; if ${best.endpoint} leads, ${givenUpCount(gives)}${tail} would be given up`;
    const text = `its leader is unreachable: ${where}${loss ?? ""}`;
    const blocked = problem("leader-unavailable", newest[0]?.endpoint, text);
    return { blocked: { ...blocked, candidate: best?.endpoint } };
  }
  const unread = newest.find((one) => known.cannotLoad.get(one.endpoint) === "failed");
  if (unread !== undefined) {
    return { blocked: unreadLeader(view, unread) };
  }
  const loaded = view.replicas.filter(isServing);
  const choice = chooseAmong(view, loaded);
  if ("blocked" in choice) return choice;
  const apart = loaded.find((one) => hasParted(view, choice.leader, one));
  if (apart !== undefined) {
    const at = partedAt(view, choice.leader) ?? 0n;
    const text = `${choice.leader.endpoint} at ${trueOffset(choice.leader)} and ${apart.endpoint} at ${trueOffset(apart)} share entries up to ${at} only: each accepted others after that`;
    return blockWith("diverged", apart.endpoint, text);
  }
  const missing =
    missingRows(view, choice.leader) ?? unreadProblem(view, choice.leader, known.cannotLoad);
  if (missing !== undefined) return { blocked: missing };
  const joiners = loaded.filter(
    (one) => one !== choice.leader && mayJoin(view, one, choice.leader),
  );
  return { leader: choice.leader, joiners };
}

/**
 * True if a loaded follower may continue with a leader as it is: its log is of the surviving history
 * and not longer than the leader's.
 *
 * @param ledIn The newest term at a moment when the replica led, if known: everything it holds from
 *   before the next leadership is of the history, whatever leaderships began earlier.
 */
export function mayJoin(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView,
  ledIn?: bigint,
): boolean {
  if (isUnproven(view, replica)) return false;
  const parted = partedAt(view, replica);
  if (parted !== undefined && trueOffset(replica) > parted) return false;
  const next = ledIn === undefined ? undefined : view.terms.find((one) => one.term > ledIn);
  const isPrefix =
    next === undefined ? !isSuspect(view, replica) : trueOffset(replica) < next.offset;
  return isPrefix && trueOffset(replica) <= trueOffset(leader);
}

/**
 * Picks the longest log of the surviving history among loaded replicas, or returns why it is
 * undecidable.
 *
 * @param loaded The serving replicas of the partition; others are not compared.
 */
function chooseAmong(
  view: PartitionView,
  loaded: readonly ReplicaView[],
): { readonly leader: ReplicaView } | { readonly blocked: Problem } {
  const suspects = loaded.filter((one) => isSuspect(view, one));
  const plain = loaded.filter((one) => !suspects.includes(one));
  const best = longest(plain);
  const furthest = longest(suspects);
  if (furthest === undefined) {
    return best === undefined ? nothingLoaded(view) : { leader: best };
  }
  const isProven = view.replicas.some((one) => one.claim.isLeader && isOfHistory(view, one));
  const reachesOn = best !== undefined && trueOffset(best) >= firstChange(view);
  if (
    best !== undefined &&
    (isProven || reachesOn) &&
    !isContested(view, best, { suspects, isProven })
  ) {
    return { leader: best };
  }
  // The last leader is unknown, but all other logs end before the divergence: this log contains them all.
  if (!isProven && !reachesOn && suspects.length === 1) return { leader: furthest };
  const numbers = [...plain, ...suspects].map((one) => `${one.endpoint} at ${trueOffset(one)}`);
  return blockWith(
    "diverged",
    // If the newest leader's disk is empty, there may be no log but those that nothing proves.
    ((isProven || reachesOn ? best : undefined) ?? longest([...plain, ...suspects]))?.endpoint,
    `terms diverged at ${firstChange(view)}, and no call tells which entries from there on belong to the newest term: ${numbers.join(", ")}`,
  );
}

/**
 * True if a suspect is longer than the best log and may be of the surviving history. Only an ex-leader
 * is ruled out that reaches beyond the start of a leadership whose own leader is known and has written
 * since: its tail lost the election, unless it may have followed that leader since.
 */
function isContested(
  view: PartitionView,
  best: ReplicaView,
  { suspects, isProven }: { suspects: readonly ReplicaView[]; isProven: boolean },
): boolean {
  const hasLost = (one: ReplicaView) =>
    isProven &&
    one.claim.isLeader &&
    trueOffset(best) >= newestStart(view) &&
    view.mayFollowUnflagged !== true;
  return suspects.some((one) => trueOffset(one) > trueOffset(best) && !hasLost(one));
}

function unreadLeader(view: PartitionView, leader: ReplicaView): Problem {
  const best = longest(view.replicas.filter(isServing));
  const rest =
    best === undefined
      ? "nothing else is loaded"
      : `${best.endpoint} is loaded at ${trueOffset(best)}`;
  return {
    ...problem(
      "load-failed",
      leader.endpoint,
      `it led last and cannot be loaded, so what its disk holds is not known (last seen at ${leader.claim.offset ?? "no offset"}); ${rest}`,
    ),
    candidate: best?.endpoint,
  };
}

function nothingLoaded(view: PartitionView): { readonly blocked: Problem } {
  if (view.replicas.every(isLost)) {
    const where = view.replicas.map((one) => one.endpoint).join(", ");
    const text = `every replica of it is on a tablet that is lost (${where}): no replica is left that could lead, and it stays on record`;
    return block("leader-unavailable", undefined, text);
  }
  const why = view.replicas
    .map(
      (one) => `${one.endpoint} (${one.tablet === "ok" ? "cannot be loaded" : one.tabletDetail})`,
    )
    .join(", ");
  return block("not-loaded", undefined, `no replica can be loaded: ${why}`);
}

/** A problem if entries that were known are missing in the choice. */
function missingRows(view: PartitionView, leader: ReplicaView): Problem | undefined {
  const offset = trueOffset(leader);
  if (view.replicas.length === 1)
    return offset === 0n ? emptySingleReplica(view, leader) : undefined;
  const least = leastOffset(view);
  if (offset >= least) return undefined;
  const holder = view.replicas.find((one) => one !== leader && knownOffset(view, one) === least);
  const parted = view.replicas.find((one) => one !== leader && trueOffset(one) >= least);
  const whose =
    holder !== undefined
      ? `${holder.endpoint} held them, and ${isLost(holder) ? "is lost" : "cannot be read now"}`
      : parted !== undefined
        ? `${parted.endpoint} holds entries up to ${trueOffset(parted)}, and nothing tells whether they are the same`
        : "no replica has them now: look for its binlog in the recycle bins of the tablets";
  const text = `entries up to ${least} were known, and the best loaded replica, ${leader.endpoint}, holds ${offset}: ${least - offset} are missing; ${whose}`;
  return {
    ...problem("rows-missing", (holder ?? leader).endpoint, text),
    candidate: leader.endpoint,
  };
}

/** A problem if the only replica came up empty although entries were known. */
function emptySingleReplica(view: PartitionView, only: ReplicaView): Problem | undefined {
  const seen = lowerBound(view, only);
  if (seen === 0n && newestStart(view) <= 1n) return undefined;
  const text = `it is empty after its load, but offset ${seen} was seen before: check the recycle bin of its tablet`;
  return { ...problem("rows-missing", only.endpoint, text), candidate: only.endpoint };
}

/**
 * A problem if a replica that cannot be read may hold acknowledged rows that the choice lacks, see
 * {@link unreadReplicas}.
 */
function unreadProblem(
  view: PartitionView,
  choice: ReplicaView,
  cannotLoad: CannotLoad,
): Problem | undefined {
  const isEmpty = (endpoint: Endpoint) => cannotLoad.get(endpoint) === "empty";
  const unread = unreadReplicas(view, choice, isEmpty);
  const first = unread[0];
  if (first === undefined) return undefined;
  // A lost tablet never comes back, so waiting is useless: a loss with a known bound is enough.
  const isBounded = () => givenUpIfLeads(view, choice, { isEmpty }).atMost !== undefined;
  if (unread.some(isLost) && isBounded()) return undefined;
  const where = unread
    .map((one) => {
      const why = one.tablet === "ok" ? "cannot be loaded" : one.tabletDetail;
      return `${one.endpoint} (${why}; known to hold entries up to ${lowerBound(view, one)})`;
    })
    .join(", ");
  const text = `${choice.endpoint} holds ${trueOffset(choice)}, and it is not certain that it led last: nothing proves that it has all entries of ${where}`;
  return { ...problem("unread", first.endpoint, text), candidate: choice.endpoint };
}

/** True if the leader's log and another one have parted within one term, and both go on from there. */
function hasParted(view: PartitionView, leader: ReplicaView, other: ReplicaView): boolean {
  const at = partedAt(view, leader);
  return at !== undefined && partedAt(view, other) === undefined && trueOffset(other) > at;
}

function longest(replicas: readonly ReplicaView[]): ReplicaView | undefined {
  return [...replicas].sort(byLog)[0];
}

function byLog(a: ReplicaView, b: ReplicaView): number {
  if (trueOffset(a) !== trueOffset(b)) return trueOffset(a) > trueOffset(b) ? -1 : 1;
  return (
    Number(b.claim.isLeader && b.claim.isAlive) - Number(a.claim.isLeader && a.claim.isAlive) ||
    Number(b.claim.isLeader) - Number(a.claim.isLeader) ||
    Number(b.report?.role === "leader") - Number(a.report?.role === "leader") ||
    compareText(a.endpoint, b.endpoint)
  );
}

function block(
  code: ProblemCode,
  endpoint: Endpoint | undefined,
  text: string,
): { blocked: Problem } {
  return { blocked: problem(code, endpoint, text) };
}

function blockWith(
  code: ProblemCode,
  candidate: Endpoint | undefined,
  text: string,
): { blocked: Problem } {
  return { blocked: { ...problem(code, undefined, text), candidate } };
}

function problem(code: ProblemCode, endpoint: Endpoint | undefined, text: string): Problem {
  return { code, endpoint, text };
}
