import type { Endpoint, LowerBounds, ReplicaReport, TermStart } from "../model/cluster-state.js";
import { keptName, type PartitionEvidence, type ReplicaEvidence } from "../model/evidence.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { aliveFlags, earlierFlags, isAlive } from "./alive-flags.js";
import { partedLogs } from "./parted-logs.js";

/**
 * Replicas whose load failed, and how: `empty` if the tablet has no directory of it (code 131), so that
 * nothing can be lost there; `failed` if the contents of its disk are unknown.
 */
export type CannotLoad = ReadonlyMap<Endpoint, "empty" | "failed">;

/** The results of load attempts, which the view does not show. */
export interface LoadResults {
  readonly cannotLoad: CannotLoad;
}

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
  return view.replicas
    .filter((replica) => replica.claim.isLeader && replica.claim.isAlive)
    .filter((replica) => isServing(replica) && replica.report?.role === "leader")
    .reduce<ReplicaView | undefined>(
      (best, next) => (best === undefined || trueOffset(next) > trueOffset(best) ? next : best),
      undefined,
    );
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

/**
 * The first entry of the second leadership; 0 if there was only one. A replica that was down may have
 * missed any leadership but the first. So below this entry every log is a prefix of the same history;
 * from it on, only logs of replicas that are known to have taken part are.
 */
export function firstChange(view: PartitionView): bigint {
  return view.terms[1]?.offset ?? 0n;
}

/**
 * True if all of a replica's log belongs to the surviving history: it is marked alive, or there was
 * only one leadership, or it is the only replica flagged leader (it led the newest term, or none has
 * since).
 */
export function isOfHistory(view: PartitionView, replica: ReplicaView): boolean {
  if (isAlive(view, replica) || firstChange(view) === 0n) return true;
  return view.replicas.every((one) => one.claim.isLeader === (one === replica));
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

/** Lower bounds of earlier, less what an election has given up since. */
function stillValid(view: PartitionView, bounds: LowerBounds): Map<Endpoint, bigint> {
  const limit = givenUpFrom(view, bounds);
  const valid = new Map<Endpoint, bigint>();
  for (const [endpoint, offset] of bounds.offsets) {
    valid.set(endpoint, limit === undefined || offset < limit ? offset : limit);
  }
  return valid;
}

/** The earlier lower bound of one replica, less what an election has given up since; 0 if none. */
function earlierOf(view: PartitionView, endpoint: Endpoint): bigint {
  const offset = view.known?.bounds.offsets.get(endpoint);
  if (view.known === undefined || offset === undefined) return 0n;
  const limit = givenUpFrom(view, view.known.bounds);
  return limit === undefined || offset < limit ? offset : limit;
}

/**
 * The last entry before the first leadership that is newer than the bounds; undefined if none is.
 */
function givenUpFrom(view: PartitionView, bounds: LowerBounds): bigint | undefined {
  const later = view.terms.filter((one) => one.term > bounds.term).map((one) => one.offset - 1n);
  return later.length === 0 ? undefined : least(later);
}

/**
 * The least offset of the surviving history that a replica must hold: the greatest of the nameserver's
 * offset, earlier observations of this run or of earlier runs, and the snapshot on its disk. What it
 * reports when loaded does not count.
 */
export function lowerBound(view: PartitionView, replica: ReplicaView): bigint {
  const earlier = earlierOf(view, replica.endpoint);
  const snapshot = replica.snapshot;
  return most([
    trusted(view, replica, replica.claim.offset ?? 0n),
    snapshot === undefined ? 0n : trustedSnapshot(view, replica, snapshot),
    earlier,
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

/**
 * The greatest earlier lower bound of the partition, less what an election has given up since; 0 if
 * none.
 */
export function earlierOffset(view: PartitionView): bigint {
  return view.known === undefined ? 0n : most([...stillValid(view, view.known.bounds).values()]);
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
    ...view.replicas.flatMap((one) => [lowerBound(view, one), knownOffset(view, one)]),
  ]);
}

/**
 * Merges into the partition's lower bounds the last offsets of leaders on lost tablets, and what every other replica is
 * known to hold: a nameserver that restarts forgets it, and would make the loss look larger until the replicas are loaded.
 */
export function withLastOfLost(
  view: PartitionView,
  lastOfLost: ReadonlyMap<Endpoint, bigint>,
): LowerBounds {
  const { known } = view;
  const offsets =
    known === undefined ? new Map<Endpoint, bigint>() : stillValid(view, known.bounds);
  for (const replica of view.replicas) {
    const held = most([lowerBound(view, replica), knownOffset(view, replica)]);
    if (held > 0n) offsets.set(replica.endpoint, held);
  }
  for (const [endpoint, offset] of lastOfLost) {
    offsets.set(endpoint, most([offset, offsets.get(endpoint) ?? 0n]));
  }
  const { unproven, parted } = known?.bounds ?? {};
  const alive = earlierFlags(view);
  return { term: newestTerm(view), offsets, lastOfLost, unproven, alive, parted };
}

function newestTerm({ terms }: PartitionView): bigint {
  return terms.at(-1)?.term ?? 0n;
}

/** Everything known of a partition's logs: earlier evidence merged with what the view shows. */
export function evidenceOf(view: PartitionView): PartitionEvidence {
  const offsets = view.known === undefined ? new Map() : stillValid(view, view.known.bounds);
  for (const one of view.replicas) {
    offsets.set(one.endpoint, most([lowerBound(view, one), knownOffset(view, one)]));
  }
  return {
    bounds: {
      term: newestTerm(view),
      offsets,
      lastOfLost: view.known?.bounds.lastOfLost,
      unproven: view.known?.bounds.unproven,
      alive: aliveFlags(view),
      parted: partedLogs(view, servingLeader(view)),
    },
    replicas: new Map(view.replicas.map((one) => [one.endpoint, replicaEvidence(view, one)])),
  };
}

function replicaEvidence(view: PartitionView, replica: ReplicaView): ReplicaEvidence {
  const { endpoint, claim, report } = replica;
  const before = view.known?.replicas.get(endpoint);
  return {
    endpoint,
    claimed: before === undefined ? claim.offset : before.claimed,
    isClaimFresh: before === undefined ? replica.isOffsetFresh : before.isClaimFresh,
    snapshot: before?.snapshot ?? replica.snapshot,
    remembered: before === undefined ? view.known?.bounds.offsets.get(endpoint) : before.remembered,
    loaded: isServing(replica) ? report?.offset : before?.loaded,
    records: {
      claimed: before === undefined ? claim.recordCount : before.records.claimed,
      loaded: isServing(replica) ? report?.recordCount : before?.records.loaded,
    },
    away: replica.tablet === "ok" ? undefined : replica.tablet,
    wasAlive: before?.wasAlive ?? claim.isAlive,
    wasLeader: before?.wasLeader ?? claim.isLeader,
  };
}

/**
 * A view with lower bounds of an earlier run and no other earlier evidence; without any if undefined.
 * Bounds that were stored for another partition are ignored.
 */
export function withBounds(view: PartitionView, bounds: LowerBounds | undefined): PartitionView {
  const isOther = bounds?.partition !== undefined && bounds.partition !== keptName(view.id);
  return { ...view, known: isOther ? undefined : bounds && { bounds, replicas: new Map() } };
}

/**
 * True if rows are missing and the nameserver will soon overwrite the offset that proves it: a replica
 * came up with less than it must hold, and no other one holds the rest.
 */
export function isLosingEvidence(view: PartitionView): boolean {
  if (view.replicas.length === 1) return false;
  const loaded = view.replicas.filter(isServing);
  const isShort = loaded.some((one) => (one.report?.offset ?? 0n) < lowerBound(view, one));
  return isShort && most(loaded.map((one) => knownOffset(view, one))) < leastOffset(view);
}

/**
 * True if no replica leads, and one that is flagged alive cannot be read: it may hold entries that no other replica has,
 * and its flag may have changed when the next run reads it.
 */
export function isAnyAliveUnread(view: PartitionView): boolean {
  return (
    servingLeader(view) === undefined &&
    view.replicas.some((one) => !isServing(one) && isAlive(view, one))
  );
}

/** What is known of a replica as one line, for an operator who has to decide. */
export function evidenceText(one: ReplicaEvidence): string {
  const { claimed, snapshot, remembered, loaded, records } = one;
  const isHigher = remembered !== undefined && remembered > most([claimed ?? -1n, loaded ?? -1n]);
  const parts = [
    `flagged ${one.wasLeader ? "leader" : "follower"}, ${one.wasAlive ? "alive" : "not alive"}`,
    loaded === undefined
      ? "not loaded, so what it holds is not known"
      : `loaded: holds entries up to ${loaded}${counted(records.loaded)}`,
    ...(snapshot === undefined ? [] : [snapshotText(snapshot)]),
    claimed === undefined
      ? "the nameserver had no offset"
      : `the nameserver last saw ${claimed}${counted(records.claimed)}, which can be stale`,
    ...(isHigher ? [`an earlier run recorded ${remembered}`] : []),
  ];
  return parts.join("; ");
}

function snapshotText({ term, offset }: TermStart): string {
  return offset === 0n
    ? "no snapshot was on its disk"
    : `a snapshot up to ${offset} (term ${term}) was on its disk`;
}

function counted(records: bigint | undefined): string {
  return records === undefined ? "" : ` (${records} rows)`;
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
