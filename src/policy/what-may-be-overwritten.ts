import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import { exLeaderOutOfSight } from "./ex-leaders.js";
import { oldRecordProblem } from "./old-record.js";
import {
  evidenceOf,
  isServing,
  isSuspect,
  knownOffset,
  leastOffset,
  lowerBound,
  most,
  newestStart,
  servingLeader,
  type Tried,
  trueOffset,
} from "./what-it-holds.js";

/** What RecoverTable of a replica would discard: it makes the replica a copy of the leader. */
export interface Discarded {
  /**
   * `ahead`: the replica holds more entries than the leader. `surplus`: it led, and holds entries from
   * the one on with which the newest leadership began without them.
   */
  readonly code: "ahead" | "surplus";
  /** The last entry that the replica is known to hold, whatever history it is of. */
  readonly known: bigint;
  /** The last entry that both have for certain; all behind it is discarded. */
  readonly kept: bigint;
}

/**
 * What RecoverTable of a replica is known to discard.
 *
 * An ex-leader took the entries behind the beginning of the next leadership from clients, and no
 * election gave them to another replica. Where leaderships parted more than once, the newest beginning
 * counts: the least that is certain. A follower that was marked dead has entries of one leader or of
 * the other; nothing tells which, and as long as it holds no more than the leader nothing is counted.
 *
 * A replica that the leader replicates to was a prefix when that began, and is compared with the
 * leader's list, which was made after the replica's own report.
 *
 * @param since The newest term when the leader was changed, if that was just now: the entries behind
 *   the beginning of the next one count. Undefined: those behind the beginning of the newest one.
 * @returns Undefined if nothing is known to be discarded.
 */
export function discardedBy(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView,
  since?: bigint,
): Discarded | undefined {
  if (leader === replica || view.replicas.length === 1) return undefined;
  const list = leader.followers;
  const isReplicatedTo = isServing(replica) && list?.followers.has(replica.endpoint) === true;
  const known = heldOffset(view, replica);
  const led = isReplicatedTo ? (list?.offset ?? 0n) : (leader.report?.offset ?? 0n);
  const begun =
    since === undefined ? view.terms.at(-1) : view.terms.find((one) => one.term > since);
  const parted = begun === undefined || view.terms.length < 2 ? undefined : begun.offset - 1n;
  const isExLeader = wasExLeader(view, replica) && !isReplicatedTo;
  if (isExLeader && parted !== undefined && parted < led && known > parted) {
    return { code: "surplus", known, kept: parted };
  }
  return known > led ? { code: "ahead", known, kept: led } : undefined;
}

/** Whether a problem says that RecoverTable of the replica would discard entries. */
export function isDiscard(code: ProblemCode): boolean {
  return code === "ahead" || code === "surplus";
}

/** Entries that ex-leaders alone took from clients, and that are given up where a replica leads. */
export function partedEntries(view: PartitionView, leader: ReplicaView): bigint {
  return view.replicas.reduce((sum, one) => {
    const discarded = discardedBy(view, one, leader);
    return discarded?.code === "surplus" ? sum + discarded.known - discarded.kept : sum;
  }, 0n);
}

/** Whether a replica led before the newest term. The record of the run's beginning counts: steps write it. */
function wasExLeader(view: PartitionView, { endpoint, claim }: ReplicaView): boolean {
  const before = view.known?.replicas.get(endpoint);
  return claim.isLeader || (before?.wasLeader === true && !before.wasAlive);
}

/**
 * Whether a replica's log parted from that of a leader which has written since: neither contains the
 * other, whatever their offsets say.
 */
export function hasParted(view: PartitionView, replica: ReplicaView, leader: ReplicaView): boolean {
  const isEx = wasExLeader(view, replica) || isSuspect(view, replica);
  const start = newestStart(view);
  return isEx && start > 0n && trueOffset(replica) >= start && trueOffset(leader) >= start;
}

/** What would be discarded, in words with numbers. No final stop. */
export function discardedText({ code, known, kept }: Discarded, leader: ReplicaView): string {
  return code === "ahead"
    ? `known to hold entries up to ${known}, leader ${leader.endpoint} only up to ${kept}: RecoverTable would delete them`
    : `it led, holds entries up to ${known}, and the term of ${leader.endpoint} began after ${kept}: RecoverTable would delete ${known - kept} entries that only it accepted from clients`;
}

/**
 * Why RecoverTable of a replica must not be asked for: it deletes what an unloaded replica holds before
 * anything is compared (OpenMLDB 0.9 nameserver: RecoverEndpointTable). So another replica must lead
 * at that moment, and hold at least as much.
 *
 * @param since See {@link discardedBy}.
 * @returns `isLoss`: the operator may accept it. Undefined if nothing known speaks against it.
 */
export function whyNotOverwrite(
  view: PartitionView,
  replica: ReplicaView,
  since?: bigint,
): { readonly text: string; readonly isLoss: boolean } | undefined {
  if (replica.tablet !== "ok") {
    return { text: `its tablet ${replica.tabletDetail}`, isLoss: false };
  }
  // A single replica is loaded from its own disk: there is nothing that it could be compared with.
  if (view.replicas.length === 1) return undefined;
  const leader = servingLeader(view);
  if (leader === undefined) return { text: "no replica leads the partition now", isLoss: false };
  if (leader === replica) return { text: "it leads the partition now", isLoss: false };
  const hidden = exLeaderOutOfSight(view, leader);
  if (hidden !== undefined) {
    const text = `${hidden.endpoint} led before, may still run as leader and cannot be reached from here (${hidden.tabletDetail}): it would keep sending its old entries to a reloaded replica`;
    return { text, isLoss: false };
  }
  const old = oldRecordProblem(view);
  if (old !== undefined) return { text: old.text, isLoss: true };
  const discarded = discardedBy(view, replica, leader, since);
  return discarded && { text: discardedText(discarded, leader), isLoss: true };
}

/** The highest entry that a replica is known to hold, whatever history it is of. */
function heldOffset(view: PartitionView, replica: ReplicaView): bigint {
  if (isServing(replica)) return trueOffset(replica);
  const { claim, snapshot } = replica;
  return most([claim.offset ?? 0n, snapshot?.offset ?? 0n, lowerBound(view, replica)]);
}

/** What is given up where this replica leads, in words with numbers. */
export function givenUp(view: PartitionView, leader: ReplicaView): string {
  const offset = trueOffset(leader);
  const isParted = (one: ReplicaView) =>
    isServing(one) && (hasParted(view, one, leader) || hasParted(view, leader, one));
  const beyond = view.replicas
    .filter((one) => one !== leader)
    .filter((one) => trueOffset(one) > offset || !isServing(one) || isParted(one))
    .map((one) => {
      if (isParted(one)) {
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

/**
 * A follower whose load failed, so that it is not known what its disk holds: RecoverTable would move its
 * log away. The leader may have lost its last entries with the power, and what the nameserver
 * remembers of the follower can be old, so nothing proves that the leader holds all of it.
 */
export function unreadFollower(
  view: PartitionView,
  leader: ReplicaView,
  tried: Tried,
): Problem | undefined {
  const one = view.replicas.find(
    (other) =>
      other !== leader &&
      other.tablet === "ok" &&
      !isServing(other) &&
      tried.cannotLoad.get(other.endpoint) === "failed" &&
      !mayBeOverwritten(view, other, leader, tried),
  );
  if (one === undefined) return undefined;
  const text = `it cannot be loaded, so what its disk holds is not known (at least entries up to ${lowerBound(view, one)}, leader ${leader.endpoint} has ${trueOffset(leader)}): RecoverTable would move its log away, and nothing proves that the leader holds all of it`;
  return { code: "load-failed", endpoint: one.endpoint, text };
}

/** Whether a replica may be overwritten with the leader's data without anything being given up. */
export function mayBeOverwritten(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView,
  tried: Tried,
): boolean {
  if (tried.cannotLoad.get(replica.endpoint) === "empty") return true;
  // What it holds is not known, only what it must hold at least.
  if (!isServing(replica) && !isProbablyWiped(view, replica, leader)) return false;
  return discardedBy(view, replica, leader) === undefined;
}

/**
 * Whether a replica that cannot be loaded has in all likelihood nothing: the tablet cannot say that
 * the disk of a disk table is wiped (OpenMLDB 0.9 tablet: LoadTable answers before it looks), but it
 * says that there is no snapshot. A leader that led last has acknowledged every row itself, and can
 * have lost the last ones with the power: so it must be known how far the replica came, and the
 * leader must be there.
 */
function isProbablyWiped(view: PartitionView, replica: ReplicaView, leader: ReplicaView): boolean {
  const { replicas } = evidenceOf(view);
  const led = replicas.get(leader.endpoint);
  const hasNoSnapshot = replicas.get(replica.endpoint)?.snapshot?.offset === 0n;
  const isOnDisk = view.storageMode === "hdd" || view.storageMode === "ssd";
  const isKnown = knownOffset(view, replica) > 0n && trueOffset(leader) > 0n;
  return isOnDisk && hasNoSnapshot && isKnown && led?.wasLeader === true && led.wasAlive;
}
