import type { Endpoint, LowerBounds, Role, TermStart } from "../model/cluster-state.js";
import { keptName, type PartitionEvidence, type ReplicaEvidence } from "../model/evidence.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { partedLogs } from "./parted-logs.js";
import {
  earlierFlags,
  earlierOffsets,
  everHeld,
  isAlive,
  isLeading,
  isServing,
  knownOffset,
  leastOffset,
  lowerBound,
  most,
  newestTerm,
  servingLeader,
} from "./what-it-holds.js";

/*
 * What is known of a partition's logs, kept from round to round and, in ZooKeeper, from run to run. Loading a replica,
 * and each write of the record, hides some of it.
 */

/** Everything known of a partition's logs: earlier evidence merged with what the view shows. */
export function evidenceOf(view: PartitionView): PartitionEvidence {
  const { lastOfLost, unproven } = view.known?.bounds ?? {};
  return {
    bounds: {
      term: newestTerm(view),
      offsets: heldOffsets(view),
      lastOfLost,
      unproven,
      alive: aliveFlags(view),
      parted: partedLogs(view, servingLeader(view)),
    },
    replicas: new Map(view.replicas.map((one) => [one.endpoint, replicaEvidence(view, one)])),
  };
}

/** What each replica is known to hold or to have held, by endpoint. */
function heldOffsets(view: PartitionView): Map<Endpoint, bigint> {
  const offsets = new Map(earlierOffsets(view));
  for (const one of view.replicas) offsets.set(one.endpoint, everHeld(view, one));
  return offsets;
}

/**
 * The replicas that are flagged alive, and in which role, now or by their {@link earlierFlags}.
 *
 * @returns Undefined while a replica leads: each mark that is made then counts.
 */
function aliveFlags(view: PartitionView): ReadonlyMap<Endpoint, Role> | undefined {
  if (view.replicas.some(isLeading)) return undefined;
  const flags = new Map(earlierFlags(view));
  for (const { endpoint, claim } of view.replicas) {
    if (claim.isAlive) flags.set(endpoint, claim.isLeader ? "leader" : "follower");
  }
  return flags;
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
 * The partition's lower bounds with the last offsets of leaders on lost tablets, and with what every other replica is known
 * to hold: a nameserver that restarts forgets it, and would make the loss look larger until the replicas are loaded.
 */
export function withLastOfLost(
  view: PartitionView,
  lastOfLost: ReadonlyMap<Endpoint, bigint>,
): LowerBounds {
  const offsets = new Map([...heldOffsets(view)].filter(([, offset]) => offset > 0n));
  for (const [endpoint, offset] of lastOfLost) {
    offsets.set(endpoint, most([offset, offsets.get(endpoint) ?? 0n]));
  }
  const { unproven, parted } = view.known?.bounds ?? {};
  const alive = earlierFlags(view);
  return { term: newestTerm(view), offsets, lastOfLost, unproven, alive, parted };
}

/** The same view with everything known of its logs, and some of the bounds replaced. */
export function withChanged(view: PartitionView, change: Partial<LowerBounds>): PartitionView {
  const { bounds, replicas } = evidenceOf(view);
  return { ...view, known: { bounds: { ...bounds, ...change }, replicas } };
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
