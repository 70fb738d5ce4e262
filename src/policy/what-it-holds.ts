import type { Endpoint, ReplicaReport, Role, TermStart } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";

/**
 * Replicas whose load failed, and how: `empty` if the tablet has no directory of it (code 131), so that
 * nothing can be lost there; `failed` if the contents of its disk are unknown.
 */
export type CannotLoad = ReadonlyMap<Endpoint, "empty" | "failed">;

/** States in which a replica serves (OpenMLDB tablet: TableState). */
const SERVING: readonly string[] = ["normal", "making-snapshot", "snapshot-paused"];

/** True if a replica is loaded and serves, in either role. */
export function isServing(replica: Pick<ReplicaView, "report">): boolean {
  return replica.report !== undefined && SERVING.includes(replica.report.state);
}

/** True if a tablet is loading a replica or has queued the load (OpenMLDB tablet: TableState). */
export function isLoading({ state }: ReplicaReport): boolean {
  return state === "loading" || state === "undefined";
}

/** The offset that the tablet reports for a loaded replica; -1 if it is not loaded. */
export function trueOffset(replica: ReplicaView): bigint {
  return isServing(replica) ? (replica.report?.offset ?? -1n) : -1n;
}

/**
 * The replica that leads the partition now: flagged leader, alive, and serving as leader on a healthy
 * tablet. If several do, the one with the highest offset.
 *
 * @returns Undefined if none does, so that the partition takes no writes.
 */
export function servingLeader(view: PartitionView): ReplicaView | undefined {
  let found: ReplicaView | undefined;
  for (const one of view.replicas) {
    if (!isLeading(one) || !isServing(one)) continue;
    if (found === undefined || trueOffset(one) > trueOffset(found)) found = one;
  }
  return found;
}

/**
 * The last entry that a follower has of its leader: the lower of the leader's replication list and the
 * follower's own report. The list alone can be wrong: it outlives a follower that came back with less
 * on its disk.
 *
 * @returns Undefined if the leader does not replicate to it or did not answer, or if it does not serve.
 */
export function replicatedOffset(follower: ReplicaView, leader: ReplicaView): bigint | undefined {
  const listed = leader.followers?.followers.get(follower.endpoint);
  if (listed === undefined || !isServing(follower)) return undefined;
  return least([trueOffset(follower), listed]);
}

/** True if an alive follower holds everything that its leader held when it was observed. */
export function isInSync(follower: ReplicaView, leader: ReplicaView): boolean {
  const reached = replicatedOffset(follower, leader);
  return (
    follower.claim.isAlive &&
    follower.report?.role === "follower" &&
    reached !== undefined &&
    reached >= (leader.followers?.offset ?? 0n)
  );
}

/** Whether a replica is flagged leader and alive, and its tablet runs it as leader, in any state. */
export function isLeading({ claim, report }: ReplicaView): boolean {
  return claim.isLeader && claim.isAlive && report?.role === "leader";
}

/**
 * The replicas that were flagged alive, and in which role, when the partition was found without a leader, in this run or
 * an earlier one.
 *
 * With auto_failover on, the nameserver marks every replica of a tablet that is gone not alive, the leader too, before it
 * elects another leader and without a new term (OpenMLDB 0.9 nameserver: OnTabletOffline). If the election fails, the mark
 * stays. Such a replica may hold acknowledged entries that no other replica has, so its earlier flag counts. It counts
 * until a new term begins, a replica leads again, or one that did not lead then is flagged leader and alive: since then
 * others may have written.
 *
 * @returns Undefined if none are known, or none count.
 */
export function earlierFlags(view: PartitionView): ReadonlyMap<Endpoint, Role> | undefined {
  const { alive, term } = view.known?.bounds ?? {};
  if (alive === undefined || term !== newestTerm(view)) return undefined;
  const isOver = view.replicas.some(
    (one) =>
      isLeading(one) ||
      (one.claim.isLeader && one.claim.isAlive && alive.get(one.endpoint) !== "leader"),
  );
  return isOver ? undefined : alive;
}

/** Whether a replica is flagged alive, now or by its {@link earlierFlags}. */
export function isAlive(view: PartitionView, { endpoint, claim }: ReplicaView): boolean {
  return claim.isAlive || earlierFlags(view)?.has(endpoint) === true;
}

/** Whether a replica is flagged leader and alive, now or by its {@link earlierFlags}. */
export function isAliveLeader(view: PartitionView, { endpoint, claim }: ReplicaView): boolean {
  return claim.isLeader && (claim.isAlive || earlierFlags(view)?.get(endpoint) === "leader");
}

/** The newest term of the recorded history; 0 if it has none. */
export function newestTerm({ terms }: Pick<PartitionView, "terms">): bigint {
  return terms.at(-1)?.term ?? 0n;
}

/**
 * The first entry of the second leadership; 0 if there was only one. A replica that was down may have
 * missed any leadership but the first. So below this entry every log is a prefix of the same history;
 * from it on, only logs of replicas that are known to have taken part are.
 */
export function firstChange(view: PartitionView): bigint {
  return view.terms[1]?.offset ?? 0n;
}

/**
 * True if all of a replica's log belongs to the surviving history: there was only one leadership, or it is marked alive
 * and nothing shows that it has entries of an ex-leader, or it is the only replica flagged leader (it led the newest term,
 * or none has since).
 */
export function isOfHistory(view: PartitionView, replica: ReplicaView): boolean {
  if (firstChange(view) === 0n) return true;
  if (isAlive(view, replica)) return !mayHaveGivenUpEntries(view, replica);
  return view.replicas.every((one) => one.claim.isLeader === (one === replica));
}

/**
 * True if an alive follower may have entries that an election gave up. While a replica leads, nothing is asked: the
 * follower may be read later than its leader, or be a copy by now.
 */
function mayHaveGivenUpEntries(view: PartitionView, replica: ReplicaView): boolean {
  if (replica.claim.isLeader || view.replicas.some(isLeading)) return false;
  return hasOldSnapshot(view, replica) || mayComeFromExLeader(view, replica);
}

/**
 * True if the snapshot of a replica ends with an entry of an older term than the history names for that entry:
 * the election gave that entry up. RecoverTable moves the binlog of such a replica away, and leaves the snapshot (OpenMLDB
 * 0.9 tablet: DeleteBinlog). A disk table's snapshot has at least the term of its last entry.
 */
function hasOldSnapshot(view: PartitionView, { endpoint, snapshot }: ReplicaView): boolean {
  // Loading hides the snapshot, so one that was seen earlier in the run counts too.
  const seen = snapshot ?? view.known?.replicas.get(endpoint)?.snapshot;
  if (seen === undefined || seen.term === 0n) return false;
  const wrote = view.terms.findLast((one) => one.offset <= seen.offset);
  return wrote !== undefined && wrote.term > seen.term;
}

/**
 * True if a follower is longer than the leader of the newest term, and an ex-leader holds as much. An ex-leader
 * keeps its replication list. If the nameserver loads a follower anew meanwhile, as it does for a tablet that returns,
 * the ex-leader replicates to it, and no offset tells whose entries it has. Nothing tells either whether that leader has
 * lost entries of its disk.
 */
function mayComeFromExLeader(view: PartitionView, replica: ReplicaView): boolean {
  if (!isServing(replica)) return false;
  const held = trueOffset(replica);
  const flagged = view.replicas.filter((one) => one.claim.isLeader);
  const newest = flagged.filter((one) => isAliveLeader(view, one));
  return (
    newest.length > 0 &&
    newest.every((one) => isServing(one) && trueOffset(one) < held) &&
    flagged.some((one) => !newest.includes(one) && heldOffset(view, one) >= held)
  );
}

/**
 * The first entry of the newest leadership; 0 if there was only one, so that every log is a prefix of
 * the same history.
 */
export function newestStart(view: PartitionView): bigint {
  return view.terms.length > 1 ? (view.terms.at(-1)?.offset ?? 0n) : 0n;
}

/**
 * True if a replica may hold entries that were never part of the surviving history: nothing proves that
 * its log belongs to it, and it reaches the entry from which logs may have diverged.
 */
export function isSuspect(view: PartitionView, replica: ReplicaView): boolean {
  return !isOfHistory(view, replica) && trueOffset(replica) >= firstChange(view);
}

/** The part of a replica's offset that is certain to be of the surviving history. */
function trusted(view: PartitionView, replica: ReplicaView, offset: bigint): bigint {
  const safe = firstChange(view) - 1n;
  return isOfHistory(view, replica) || offset <= safe ? offset : safe;
}

/**
 * The part of a snapshot's offset that is certain to be of the surviving history: all of it if the
 * history names the same term for its last entry.
 */
function trustedSnapshot(view: PartitionView, replica: ReplicaView, snapshot: TermStart): bigint {
  const wrote = view.terms.findLast((one) => one.offset <= snapshot.offset);
  return wrote !== undefined && wrote.term === snapshot.term
    ? snapshot.offset
    : trusted(view, replica, snapshot.offset);
}

const NO_OFFSETS: ReadonlyMap<Endpoint, bigint> = new Map();

/**
 * The lower bounds of earlier observations of this run, or of earlier runs. An election since then may have given up
 * entries: none counts that is not before the first leadership newer than the bounds.
 */
export function earlierOffsets({ known, terms }: PartitionView): ReadonlyMap<Endpoint, bigint> {
  if (known === undefined) return NO_OFFSETS;
  const { term, offsets } = known.bounds;
  const later = terms.filter((one) => one.term > term).map((one) => one.offset - 1n);
  if (later.length === 0) return offsets;
  return new Map([...offsets].map(([endpoint, offset]) => [endpoint, least([offset, ...later])]));
}

/**
 * The least offset of the surviving history that a replica must hold: the greatest of the nameserver's
 * offset, earlier observations of this run or of earlier runs, and the snapshot on its disk. What it
 * reports when loaded does not count.
 */
export function lowerBound(view: PartitionView, replica: ReplicaView): bigint {
  const { claim, snapshot, endpoint } = replica;
  return most([
    trusted(view, replica, claim.offset ?? 0n),
    snapshot === undefined ? 0n : trustedSnapshot(view, replica, snapshot),
    earlierOffsets(view).get(endpoint) ?? 0n,
  ]);
}

/**
 * The offset of the surviving history that a replica is known to hold: the trusted part of what its
 * tablet reports; its {@link lowerBound} if it is not loaded.
 */
export function knownOffset(view: PartitionView, replica: ReplicaView): bigint {
  return isServing(replica)
    ? trusted(view, replica, replica.report?.offset ?? 0n)
    : lowerBound(view, replica);
}

/** The highest entry that a replica is known to hold, of whatever history. */
export function heldOffset(view: PartitionView, replica: ReplicaView): bigint {
  if (isServing(replica)) return trueOffset(replica);
  const { claim, snapshot } = replica;
  return most([claim.offset ?? 0n, snapshot?.offset ?? 0n, lowerBound(view, replica)]);
}

/** The offset of the surviving history that a replica is known to hold or to have held. */
export function everHeld(view: PartitionView, replica: ReplicaView): bigint {
  return most([lowerBound(view, replica), knownOffset(view, replica)]);
}

/**
 * The greatest earlier lower bound of the partition, less what an election has given up since; 0 if
 * none.
 */
export function earlierOffset(view: PartitionView): bigint {
  return most([...earlierOffsets(view).values()]);
}

/**
 * The least offset that a new leader must have: the greatest that any replica is known to hold or to
 * have held, and the entry before the newest leadership. 0 for a single replica: there is none to
 * compare it with, and what it holds is all there is.
 */
export function leastOffset(view: PartitionView): bigint {
  if (view.replicas.length === 1) return 0n;
  return most([
    (view.terms.at(-1)?.offset ?? 0n) - 1n,
    earlierOffset(view),
    ...view.replicas.map((one) => everHeld(view, one)),
  ]);
}

/** The greatest of some offsets; 0 if there are none. */
export function most(offsets: readonly bigint[]): bigint {
  let found = 0n;
  for (const one of offsets) if (one > found) found = one;
  return found;
}

function least([first = 0n, ...rest]: readonly bigint[]): bigint {
  let found = first;
  for (const one of rest) if (one < found) found = one;
  return found;
}
