import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import { evidenceOf } from "./evidence.js";
import { oldRecordProblem } from "./old-record.js";
import { partedAt } from "./parted-logs.js";
import {
  type CannotLoad,
  heldOffset,
  isServing,
  isSuspect,
  knownOffset,
  lowerBound,
  newestStart,
  servingLeader,
  trueOffset,
} from "./what-it-holds.js";

/**
 * The replicas that run as leader, other than the current or coming one. After ChangeLeader the old
 * leader keeps running as leader on its tablet, with its replication list (OpenMLDB 0.9 nameserver:
 * kChangeLeaderOP). A freshly loaded replica has no term and accepts any leader: an ex-leader that
 * lists it sends the entries after the last one that the replica acknowledged, which leaves a hole in
 * its log that no offset shows.
 */
export function exLeaders(view: PartitionView, leader: ReplicaView | undefined): ReplicaView[] {
  return view.replicas.filter(
    (one) => one !== leader && isServing(one) && one.report?.role === "leader",
  );
}

/** What RecoverTable of a replica would discard: it makes the replica a copy of the leader. */
export interface Discarded {
  /**
   * `ahead`: the replica holds more entries than the leader. `surplus`: it led, and holds entries from
   * the point at which the newest leadership began without them.
   */
  readonly code: "ahead" | "surplus";
  /** The last entry that the replica is known to hold, of whatever history. */
  readonly known: bigint;
  /** The last entry that both are certain to have; all later entries are discarded. */
  readonly kept: bigint;
}

/**
 * Computes what RecoverTable of a replica is known to discard.
 *
 * An ex-leader took the entries after the start of the next leadership from clients, and no election
 * gave them to another replica. If terms diverged more than once, the newest start counts: the least
 * that is certain. A follower that was marked dead has entries of one leader or of the other, and
 * nothing tells which; while it holds no more than the leader, nothing is counted.
 *
 * A replica in the leader's replication list was a prefix when it was added, and is compared with the
 * offset in that list, which was read after the replica's own report.
 *
 * @param since The newest term before a change of leader that has just been made: entries after the
 *   start of the next term count. Undefined: entries after the start of the newest term.
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
  const shared = begun === undefined || view.terms.length < 2 ? undefined : begun.offset - 1n;
  const isExLeader = wasExLeader(view, replica) && !isReplicatedTo;
  if (isExLeader && shared !== undefined && shared < led && known > shared) {
    return { code: "surplus", known, kept: shared };
  }
  const parted = isReplicatedTo ? undefined : partedAt(view, replica);
  const kept = parted !== undefined && parted < led ? parted : led;
  return known > kept ? { code: "ahead", known, kept } : undefined;
}

/** True if a problem code means that RecoverTable of the replica would discard entries. */
export function isDiscard(code: ProblemCode): boolean {
  return code === "ahead" || code === "surplus";
}

/**
 * True if a replica led before the newest term, by the record now or when the run began: steps change
 * the record.
 */
function wasExLeader(view: PartitionView, { endpoint, claim }: ReplicaView): boolean {
  const before = view.known?.replicas.get(endpoint);
  return claim.isLeader || (before?.wasLeader === true && !before.wasAlive);
}

/**
 * True if a replica's log has diverged from that of a leader that has written since, in a newer term or within
 * one (`parted-logs.ts`): neither contains the other, whatever their offsets are.
 */
export function hasDiverged(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView,
): boolean {
  const parted = partedAt(view, replica);
  if (parted !== undefined && trueOffset(replica) > parted && trueOffset(leader) > parted)
    return true;
  const isEx = wasExLeader(view, replica) || isSuspect(view, replica);
  const start = newestStart(view);
  return isEx && start > 0n && trueOffset(replica) >= start && trueOffset(leader) >= start;
}

/** What would be discarded, in words with numbers, without a full stop. */
export function discardedText({ code, known, kept }: Discarded, leader: ReplicaView): string {
  if (code === "ahead" && kept < (leader.report?.offset ?? 0n)) {
    return `known to hold entries up to ${known}, and leader ${leader.endpoint} came up with entries up to ${kept} only, and wrote others since: RecoverTable would delete those after ${kept}`;
  }
  return code === "ahead"
    ? `known to hold entries up to ${known}, leader ${leader.endpoint} only up to ${kept}: RecoverTable would delete them`
    : `it led, holds entries up to ${known}, and the term of ${leader.endpoint} began after ${kept}: RecoverTable would delete ${known - kept} entries that only it accepted from clients`;
}

/**
 * Returns why RecoverTable of a replica must not be requested: it deletes what an unloaded replica
 * holds before anything is compared (OpenMLDB 0.9 nameserver: RecoverEndpointTable). So another replica
 * must lead at that moment and hold at least as much.
 *
 * @param since See {@link discardedBy}.
 * @returns `isLoss`: the operator may accept it. Undefined if nothing known forbids it.
 */
export function whyNotOverwrite(
  view: PartitionView,
  replica: ReplicaView,
  since?: bigint,
): { readonly text: string; readonly isLoss: boolean } | undefined {
  if (replica.tablet !== "ok") {
    return { text: `its tablet ${replica.tabletDetail}`, isLoss: false };
  }
  // A single replica is loaded from its own disk: there is no other to compare it with.
  if (view.replicas.length === 1) return undefined;
  const leader = servingLeader(view);
  if (leader === undefined) return { text: "no replica leads the partition now", isLoss: false };
  if (leader === replica) return { text: "it leads the partition now", isLoss: false };
  const hidden = unreachableExLeader(view, leader);
  if (hidden !== undefined) {
    const text = `${hidden.endpoint} led before, may still run as leader and cannot be reached from here (${hidden.tabletDetail}): it would keep sending its old entries to a reloaded replica`;
    return { text, isLoss: false };
  }
  const old = oldRecordProblem(view);
  if (old !== undefined) return { text: old.text, isLoss: true };
  const discarded = discardedBy(view, replica, leader, since);
  return discarded && { text: discardedText(discarded, leader), isLoss: true };
}

/**
 * An ex-leader that may still run, on a tablet that this machine cannot reach. It cannot be demoted, so
 * no other replica may be reloaded. Undefined if there is none.
 */
function unreachableExLeader(view: PartitionView, leader: ReplicaView): ReplicaView | undefined {
  return view.replicas.find(
    (one) => one !== leader && one.claim.isLeader && one.absence?.kind === "unreachable",
  );
}

/**
 * Returns a problem if the load of a follower failed, so that the contents of its disk are unknown and
 * RecoverTable would move its log away. The leader may have lost its last entries in a power failure,
 * and the nameserver's offset of the follower can be old, so nothing proves that the leader holds all
 * of it.
 */
export function unreadFollower(
  view: PartitionView,
  leader: ReplicaView,
  cannotLoad: CannotLoad,
): Problem | undefined {
  const one = view.replicas.find(
    (other) =>
      other !== leader &&
      other.tablet === "ok" &&
      !isServing(other) &&
      cannotLoad.get(other.endpoint) === "failed" &&
      !mayBeOverwritten(view, other, leader, cannotLoad),
  );
  if (one === undefined) return undefined;
  const text = `it cannot be loaded, so what its disk holds is not known (at least entries up to ${lowerBound(view, one)}, leader ${leader.endpoint} has ${trueOffset(leader)}): RecoverTable would move its log away, and nothing proves that the leader holds all of it`;
  return { code: "load-failed", endpoint: one.endpoint, text };
}

/** True if a replica may be overwritten with the leader's data without giving anything up. */
export function mayBeOverwritten(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView,
  cannotLoad: CannotLoad,
): boolean {
  if (cannotLoad.get(replica.endpoint) === "empty") return true;
  // Of an unloaded replica only a lower bound is known.
  if (!isServing(replica) && !isProbablyWiped(view, replica, leader)) return false;
  return discardedBy(view, replica, leader) === undefined;
}

/**
 * True if a replica that cannot be loaded most likely has no data. The tablet cannot report that the
 * disk of a disk table was wiped (OpenMLDB 0.9 tablet: LoadTable answers before it looks), but it
 * reports that there is no snapshot. A leader of the newest term acknowledged every row itself, and can
 * have lost the last ones in a power failure: so the replica's last offset must be known and the leader
 * must not be empty.
 */
function isProbablyWiped(view: PartitionView, replica: ReplicaView, leader: ReplicaView): boolean {
  const { replicas } = evidenceOf(view);
  const led = replicas.get(leader.endpoint);
  const hasNoSnapshot = replicas.get(replica.endpoint)?.snapshot?.offset === 0n;
  const isOnDisk = view.storageMode === "hdd" || view.storageMode === "ssd";
  const isKnown = knownOffset(view, replica) > 0n && trueOffset(leader) > 0n;
  return isOnDisk && hasNoSnapshot && isKnown && led?.wasLeader === true && led.wasAlive;
}
