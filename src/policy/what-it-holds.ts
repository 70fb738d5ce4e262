import type { Endpoint, LowerBounds, ReplicaReport, TermStart } from "../model/cluster-state.js";
import { keptName, type PartitionEvidence, type ReplicaEvidence } from "../model/evidence.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";

/**
 * Replicas whose load failed, and how: `empty` if the tablet has no directory of it (code 131), so
 * that nothing can be lost there; `failed` if what its disk holds is not known.
 */
export type CannotLoad = ReadonlyMap<Endpoint, "empty" | "failed">;

/** What is known beside the view, from trying. */
export interface Tried {
  readonly cannotLoad: CannotLoad;
}

/** States in which a replica serves (OpenMLDB tablet: TableState). */
const SERVING: readonly string[] = ["normal", "making-snapshot", "snapshot-paused"];

/** Whether a replica is loaded and serves in whatever role it has. */
export function isServing(replica: Pick<ReplicaView, "report">): boolean {
  return replica.report !== undefined && SERVING.includes(replica.report.state);
}

/** Whether a tablet is loading a replica, or has it in its queue (OpenMLDB tablet: TableState). */
export function isLoading({ state }: ReplicaReport): boolean {
  return state === "loading" || state === "undefined";
}

/** What a loaded replica holds; -1 if it is not loaded. */
export function trueOffset(replica: ReplicaView): bigint {
  return isServing(replica) ? (replica.report?.offset ?? -1n) : -1n;
}

/**
 * The replica that leads the partition now: flagged leader, alive, and serving as leader on a
 * healthy tablet. Where several do, the one with the highest offset.
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
 * The last entry that a follower has of its leader, as the leader's replication list and the follower
 * itself say: the list can be wrong, it outlives a follower that came back with less on its disk.
 *
 * @returns Undefined if the leader does not replicate to it, or did not tell.
 */
export function replicatedOffset(follower: ReplicaView, leader: ReplicaView): bigint | undefined {
  const listed = leader.followers?.followers.get(follower.endpoint);
  if (listed === undefined || !isServing(follower)) return undefined;
  return least([trueOffset(follower), listed]);
}

/** Whether an alive follower has everything that its leader had a moment ago. */
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
 * First entry of the oldest leadership but the first; 0 if there was only one. A replica that died
 * may have missed any leadership but the first, so below this entry every log is a prefix of the
 * same history, and from it on only logs of replicas that are known to have been there.
 */
export function firstChange(view: PartitionView): bigint {
  return view.terms[1]?.offset ?? 0n;
}

/**
 * Whether all of a replica's log is of the surviving history: it is marked alive, or there was one
 * leadership only, or it is the only one flagged leader (it led the newest term, or none has
 * since).
 */
export function isOfHistory(view: PartitionView, replica: ReplicaView): boolean {
  if (replica.claim.isAlive || firstChange(view) === 0n) return true;
  return view.replicas.every((one) => one.claim.isLeader === (one === replica));
}

/**
 * First entry of the newest leadership; 0 if there was only one, so that every log is a prefix of
 * the same history.
 */
export function newestStart(view: PartitionView): bigint {
  return view.terms.length > 1 ? (view.terms.at(-1)?.offset ?? 0n) : 0n;
}

/**
 * Whether a replica may hold entries that were never part of the surviving history: nothing says
 * that its log is of it, and it reaches beyond the point where leaderships may have parted.
 */
export function isSuspect(view: PartitionView, replica: ReplicaView): boolean {
  return !isOfHistory(view, replica) && trueOffset(replica) >= firstChange(view);
}

/** An offset of a replica, as far as it can be trusted to be of the surviving history. */
function trusted(view: PartitionView, replica: ReplicaView, offset: bigint): bigint {
  const safe = firstChange(view) - 1n;
  return isOfHistory(view, replica) || offset <= safe ? offset : safe;
}

/**
 * The offset of a snapshot on disk, as far as it is of the surviving history: its last entry's term
 * tells, where the history has one for that number.
 */
function trustedSnapshot(view: PartitionView, replica: ReplicaView, snapshot: TermStart): bigint {
  const wrote = view.terms.findLast((one) => one.offset <= snapshot.offset);
  return wrote !== undefined && wrote.term === snapshot.term
    ? snapshot.offset
    : trusted(view, replica, snapshot.offset);
}

/** Earlier lower bounds, less what an election has given up since they were taken. */
function stillValid(view: PartitionView, bounds: LowerBounds): Map<Endpoint, bigint> {
  const limit = givenUpFrom(view, bounds);
  const valid = new Map<Endpoint, bigint>();
  for (const [endpoint, offset] of bounds.offsets) {
    valid.set(endpoint, limit === undefined || offset < limit ? offset : limit);
  }
  return valid;
}

/** What was known earlier of one replica, less what an election gave up; 0 if nothing. */
function earlierOf(view: PartitionView, endpoint: Endpoint): bigint {
  const offset = view.known?.bounds.offsets.get(endpoint);
  if (view.known === undefined || offset === undefined) return 0n;
  const limit = givenUpFrom(view, view.known.bounds);
  return limit === undefined || offset < limit ? offset : limit;
}

/** The last entry before the first leadership that began since; undefined if none did. */
function givenUpFrom(view: PartitionView, bounds: LowerBounds): bigint | undefined {
  const later = view.terms.filter((one) => one.term > bounds.term).map((one) => one.offset - 1n);
  return later.length === 0 ? undefined : least(later);
}

/**
 * What a replica must hold of the surviving history: where it was seen by the nameserver, by an
 * earlier look, or by an earlier run, and the snapshot on its disk. Whatever it came up with.
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
 * How much of the surviving history a replica holds as far as is known: its offset, as its tablet
 * reports it, as far as its log can be trusted; its {@link lowerBound} if it is not loaded.
 */
export function knownOffset(view: PartitionView, replica: ReplicaView): bigint {
  return isServing(replica)
    ? trusted(view, replica, replica.report?.offset ?? 0n)
    : lowerBound(view, replica);
}

/** What was known earlier that the partition holds, less what an election gave up; 0 if nothing. */
export function earlierOffset(view: PartitionView): bigint {
  return view.known === undefined ? 0n : most([...stillValid(view, view.known.bounds).values()]);
}

/**
 * The least offset that a coming leader must have: what any replica is known to hold or to have
 * held, and what the newest leadership began behind. A single replica has none to be compared
 * with: what it holds is all there is.
 */
export function leastOffset(view: PartitionView): bigint {
  if (view.replicas.length === 1) return 0n;
  return most([
    (view.terms.at(-1)?.offset ?? 0n) - 1n,
    earlierOffset(view),
    ...view.replicas.flatMap((one) => [lowerBound(view, one), knownOffset(view, one)]),
  ]);
}

/** What was known of a partition, with where leaders on lost tablets were seen last laid beside. */
export function withLastOfLost(
  view: PartitionView,
  lastOfLost: ReadonlyMap<Endpoint, bigint>,
): LowerBounds {
  const { known } = view;
  const offsets =
    known === undefined ? new Map<Endpoint, bigint>() : stillValid(view, known.bounds);
  for (const [endpoint, offset] of lastOfLost) {
    offsets.set(endpoint, most([offset, offsets.get(endpoint) ?? 0n]));
  }
  return { term: newestTerm(view), offsets, lastOfLost, unproven: known?.bounds.unproven };
}

function newestTerm({ terms }: PartitionView): bigint {
  return terms.at(-1)?.term ?? 0n;
}

/** Everything known of a partition's logs: what was known before, and what the view shows. */
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
    },
    replicas: new Map(view.replicas.map((one) => [one.endpoint, replicaEvidence(view, one)])),
  };
}

function replicaEvidence(view: PartitionView, replica: ReplicaView): ReplicaEvidence {
  const { endpoint, claim, report } = replica;
  const before = view.known?.replicas.get(endpoint);
  return {
    endpoint,
    seen: before === undefined ? claim.offset : before.seen,
    isSeenFresh: before === undefined ? replica.isOffsetFresh : before.isSeenFresh,
    snapshot: before?.snapshot ?? replica.snapshot,
    remembered: before === undefined ? view.known?.bounds.offsets.get(endpoint) : before.remembered,
    loaded: isServing(replica) ? report?.offset : before?.loaded,
    records: {
      claimed: before === undefined ? claim.recordCount : before.records.claimed,
      loaded: isServing(replica) ? report?.recordCount : before?.records.loaded,
    },
    wasAlive: before?.wasAlive ?? claim.isAlive,
    wasLeader: before?.wasLeader ?? claim.isLeader,
  };
}

/**
 * A view with an earlier run's lower bounds, and nothing else from before; undefined: with none. Bounds
 * that were kept of another partition say nothing of this one.
 */
export function withBounds(view: PartitionView, bounds: LowerBounds | undefined): PartitionView {
  const isOther = bounds?.partition !== undefined && bounds.partition !== keptName(view.id);
  return { ...view, known: isOther ? undefined : bounds && { bounds, replicas: new Map() } };
}

/**
 * Whether rows are missing that the nameserver will soon have forgotten: a replica came up with
 * less than it must hold, and no other one has the rest.
 */
export function isForgetting(view: PartitionView): boolean {
  if (view.replicas.length === 1) return false;
  const loaded = view.replicas.filter(isServing);
  const isShort = loaded.some((one) => (one.report?.offset ?? 0n) < lowerBound(view, one));
  return isShort && most(loaded.map((one) => knownOffset(view, one))) < leastOffset(view);
}

/** What is known of a replica as one line, for a person who has to decide. */
export function evidenceText(one: ReplicaEvidence): string {
  const { seen, snapshot, remembered, loaded, records } = one;
  const parts = [
    `flagged ${one.wasLeader ? "leader" : "follower"}, ${one.wasAlive ? "alive" : "not alive"}`,
    loaded === undefined
      ? "not loaded, so what it holds is not known"
      : `loaded: holds entries up to ${loaded}${counted(records.loaded)}`,
    ...(snapshot === undefined ? [] : [snapshotText(snapshot)]),
    seen === undefined
      ? "the nameserver knew no offset"
      : `the nameserver last saw ${seen}${counted(records.claimed)}, which can be stale`,
    ...(remembered === undefined ? [] : [`an earlier run knew of ${remembered}`]),
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
