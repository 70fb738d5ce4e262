import { givenUpCount } from "../model/loss.js";
import { compareText, type PartitionView, type ReplicaView } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import { isLost } from "./absent-replicas.js";
import { awaitedLeaders, newestLeaders, noLeaderFlagged } from "./flagged-leader.js";
import { isUnproven } from "./old-record.js";
import { partedAt } from "./parted-logs.js";
import { givenUpIfLeads, unreadReplicas, unreadText, unseenTail } from "./what-is-given-up.js";
import {
  type CannotLoad,
  firstChange,
  isOfHistory,
  isServing,
  isSuspect,
  knownOffset,
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
 *   A        the acknowledged log of a partition: the leader of the newest term acknowledged each entry
 *   held(r)  the last entry of A that replica r holds:  atLeast(r) <= held(r) <= atMost(r)
 *
 *   replica r                   atLeast(r)                                atMost(r)
 *   loaded, of the history      the offset that its tablet reports        the same offset
 *   loaded, may have diverged   the last entry before logs may diverge    the offset that its tablet reports
 *   not loaded, or unreachable  max(nameserver's offset, snapshot on      the nameserver's offset if it is proven
 *                               its disk, bound of an earlier run)        fresh, else unknown
 *   no directory on its disk    0                                         0
 *
 *   known      the last entry of A that any replica is known to hold or to have held
 *
 *   LEAD       l becomes leader      =>  known <= atLeast(l), and for each replica r
 *                                        atMost(r) <= atLeast(l), or accepted
 *   OVERWRITE  r is rebuilt from l   =>  every entry on the disk of r is known to be in l, or accepted
 *   ACCEPTED   the operator named the partition, after atLeast and atMost of the loss were printed
 *   RECORD     a disk has a newer term than the record  =>  flags and history decide nothing
 *
 * An unknown atMost(r) does not count against l
 *   - if l is the only replica that led the newest term: it acknowledged every entry itself;
 *   - while a leader serves, which acknowledged every entry itself: its own offset is known;
 *   - if r followed, and the leader of the newest term cannot be read either but has a known atMost: a
 *     follower holds no more than its leader. Recovery by reported offsets uses this for lost tablets only,
 *     and otherwise waits for r.
 *
 *   what-it-holds            atLeast (`knownOffset`, `lowerBound`), known (`leastOffset`), what is of the
 *                            history, which replica leads now
 *   evidence                 what is kept of the logs from round to round and from run to run
 *   parted-logs              logs that offsets do not compare: both wrote entries of one term
 *   old-record               RECORD
 *   what-is-given-up         atMost (`unreadReplicas`), LEAD with numbers and in words: the entries given up
 *   who-may-lead             LEAD for recovery by reported offsets (direct)
 *   flagged-leader           what flags prove (`newestLeaders`); LEAD for recovery by the record (documented),
 *                            where the step that loads the leader checks `known <= atLeast(l)`
 *   check-leader-change      LEAD for a leader that the operator requests
 *   what-may-be-overwritten  OVERWRITE
 *   absent-replicas          replicas that this machine cannot reach and that may be serving, or are lost
 *
 * The ways to a leader differ on purpose in what an absent leader of the newest term means: see ABSENT_LEADER
 * in `flagged-leader.ts`.
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
 * Refused, with numbers: no replica is flagged leader; the leader of the newest term is unreachable, or
 * cannot be loaded; several logs reach into the newest leadership and nothing tells which of them
 * belongs to it; two logs have parted within one term; the best replica has fewer entries than were known; or
 * the choice is not the leader of the newest term and a replica that may hold more cannot be read.
 */
export function decideLeader(view: PartitionView, cannotLoad: CannotLoad): Decision {
  const unknown = noLeaderFlagged(view) ?? absentLeader(view) ?? unreadLeader(view, cannotLoad);
  if (unknown !== undefined) return { blocked: unknown };
  const loaded = view.replicas.filter(isServing);
  const choice = longestOfHistory(view, loaded);
  if ("blocked" in choice) return choice;
  const { leader } = choice;
  const blocked =
    partedProblem(view, leader, loaded) ??
    missingRows(view, leader) ??
    unreadProblem(view, leader, cannotLoad);
  if (blocked !== undefined) return { blocked };
  const joiners = loaded.filter((one) => one !== leader && mayJoin(view, one, leader));
  return { leader, joiners };
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
 * Picks the longest log of the surviving history, or returns why it is undecidable:
 *
 * 1. If no log may have diverged, the longest one leads.
 * 2. If the leader of the newest term is known, or a log of the history has entries of a later
 *   leadership, the longest log of the history leads, unless a longer log may be of the history too.
 * 3. If neither, and all logs but one end before the divergence, that one leads: it contains the others.
 * 4. Otherwise nothing tells which log is of the history.
 *
 * @param loaded The serving replicas of the partition; others are not compared.
 */
function longestOfHistory(
  view: PartitionView,
  loaded: readonly ReplicaView[],
): { readonly leader: ReplicaView } | { readonly blocked: Problem } {
  const suspects = loaded.filter((one) => isSuspect(view, one));
  const plain = loaded.filter((one) => !suspects.includes(one));
  const best = longest(plain);
  const [suspect, ...others] = suspects;
  if (suspect === undefined) {
    return best === undefined ? { blocked: nothingLoaded(view) } : { leader: best };
  }
  const isProven = view.replicas.some((one) => one.claim.isLeader && isOfHistory(view, one));
  const isKnown = isProven || (best !== undefined && trueOffset(best) >= firstChange(view));
  if (best !== undefined && isKnown && !isContested(view, best, { suspects, isProven })) {
    return { leader: best };
  }
  if (!isKnown && others.length === 0) return { leader: suspect };
  const numbers = [...plain, ...suspects].map((one) => `${one.endpoint} at ${trueOffset(one)}`);
  const text = `terms diverged at ${firstChange(view)}, and no call tells which entries from there on belong to the newest term: ${numbers.join(", ")}`;
  // If the newest leader's disk is empty, there may be no log but those that nothing proves.
  const candidate = (isKnown ? best : undefined) ?? longest([...plain, ...suspects]);
  return {
    blocked: { code: "diverged", endpoint: undefined, text, candidate: candidate?.endpoint },
  };
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

/** A problem if every leader of the newest term is unreachable. */
function absentLeader(view: PartitionView): Problem | undefined {
  const absent = awaitedLeaders(view, "direct");
  if (absent.length === 0) return undefined;
  const where = absent.map((one) => `${one.endpoint} (${one.tabletDetail})`).join(", ");
  const best = longest(view.replicas.filter(isServing));
  const gives = best && givenUpIfLeads(view, best);
  const tail =
    gives?.atMost === undefined
      ? ""
      : ` and ${absent.map((one) => unseenTail(one.endpoint)).join(", ")}`;
  const loss =
    gives && `; if ${best.endpoint} leads, ${givenUpCount(gives)}${tail} would be given up`;
  return {
    code: "leader-unavailable",
    endpoint: absent[0]?.endpoint,
    text: `its leader is unreachable: ${where}${loss ?? ""}`,
    candidate: best?.endpoint,
  };
}

/** A problem if a leader of the newest term cannot be loaded. */
function unreadLeader(view: PartitionView, cannotLoad: CannotLoad): Problem | undefined {
  const leader = newestLeaders(view).find((one) => cannotLoad.get(one.endpoint) === "failed");
  if (leader === undefined) return undefined;
  const best = longest(view.replicas.filter(isServing));
  const rest =
    best === undefined
      ? "nothing else is loaded"
      : `${best.endpoint} is loaded at ${trueOffset(best)}`;
  return {
    code: "load-failed",
    endpoint: leader.endpoint,
    text: `it led last and cannot be loaded, so what its disk holds is not known (last seen at ${leader.claim.offset ?? "no offset"}); ${rest}`,
    candidate: best?.endpoint,
  };
}

function nothingLoaded(view: PartitionView): Problem {
  if (view.replicas.every(isLost)) {
    const where = view.replicas.map((one) => one.endpoint).join(", ");
    const text = `every replica of it is on a tablet that is lost (${where}): no replica is left that could lead, and it stays on record`;
    return { code: "leader-unavailable", endpoint: undefined, text };
  }
  const why = view.replicas
    .map(
      (one) => `${one.endpoint} (${one.tablet === "ok" ? "cannot be loaded" : one.tabletDetail})`,
    )
    .join(", ");
  return { code: "not-loaded", endpoint: undefined, text: `no replica can be loaded: ${why}` };
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
        : "no replica has them now: look for a binlog in the recycle bins of the tablets";
  const text = `entries up to ${least} were known, and the best loaded replica, ${leader.endpoint}, holds ${offset}: ${least - offset} are missing; ${whose}`;
  return {
    code: "rows-missing",
    endpoint: (holder ?? leader).endpoint,
    text,
    candidate: leader.endpoint,
  };
}

/** A problem if the only replica came up empty although entries were known. */
function emptySingleReplica(view: PartitionView, only: ReplicaView): Problem | undefined {
  const seen = lowerBound(view, only);
  if (seen === 0n && newestStart(view) <= 1n) return undefined;
  const text = `it is empty after its load, but offset ${seen} was seen before: check the recycle bin of its tablet`;
  return { code: "rows-missing", endpoint: only.endpoint, text, candidate: only.endpoint };
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
  const unread = unreadReplicas(view, choice, cannotLoad);
  const first = unread[0];
  if (first === undefined) return undefined;
  // A lost tablet never comes back, so waiting is useless: a loss with a known bound is enough.
  const isBounded = () => givenUpIfLeads(view, choice, { cannotLoad }).atMost !== undefined;
  if (unread.some(isLost) && isBounded()) return undefined;
  const text = `${choice.endpoint} holds ${trueOffset(choice)}, and it is not certain that it led last: nothing proves that it has all entries of ${unreadText(view, unread)}`;
  return { code: "unread", endpoint: first.endpoint, text, candidate: choice.endpoint };
}

/**
 * A problem if the leader's log has parted within one term from one that has entries. Those may all be others: a
 * leader whose disk lost its log writes from 1 again, maybe before it is first seen.
 */
function partedProblem(
  view: PartitionView,
  leader: ReplicaView,
  loaded: readonly ReplicaView[],
): Problem | undefined {
  const at = partedAt(view, leader);
  if (at === undefined) return undefined;
  const other = longest(loaded.filter((one) => partedAt(view, one) === undefined));
  if (other === undefined || trueOffset(other) === 0n) return undefined;
  const text = `${leader.endpoint} at ${trueOffset(leader)} and ${other.endpoint} at ${trueOffset(other)} share entries up to ${at} at most: each may have accepted others`;
  return { code: "diverged", endpoint: undefined, text, candidate: other.endpoint };
}

function longest(replicas: readonly ReplicaView[]): ReplicaView | undefined {
  return [...replicas].sort(byLog)[0];
}

function byLog(a: ReplicaView, b: ReplicaView): number {
  return (
    Number(trueOffset(b) - trueOffset(a)) ||
    Number(b.claim.isLeader && b.claim.isAlive) - Number(a.claim.isLeader && a.claim.isAlive) ||
    Number(b.claim.isLeader) - Number(a.claim.isLeader) ||
    Number(b.report?.role === "leader") - Number(a.report?.role === "leader") ||
    compareText(a.endpoint, b.endpoint)
  );
}
