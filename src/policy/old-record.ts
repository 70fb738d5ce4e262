import type { Endpoint, TermStart } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import { evidenceOf, servingLeader } from "./what-it-holds.js";

/** A term on a disk that the partition's record does not know. */
interface OldRecord {
  /** The replica with the newest snapshot. */
  readonly endpoint: Endpoint;
  /** Term and offset of the last entry in its snapshot. */
  readonly snapshot: TermStart;
  /** The newest term of the record's history; 0 if it has none. */
  readonly newest: bigint;
}

/**
 * Whether the record of a partition is older than its disks, such as after ZooKeeper was restored from a
 * backup. A snapshot whose last entry has a term above the newest one of the history proves it: the
 * nameserver appends each leadership to the history (OpenMLDB 0.9 nameserver: UpdateLeaderInfo). Then
 * leaderships are missing in the history, so flags and history prove nothing.
 *
 * A memory table's snapshot has the term of its last entry. That of a disk table has the term that its
 * replica was given last (OpenMLDB 0.9 tablet: DiskTableSnapshot), which may be the one with which a
 * change of leader fenced it before it ended half-way. The two cannot be told apart, so both are asked about.
 *
 * Replicas that are not loaded tell, and those that run as leader although the record does not say so. Any other
 * loaded replica answers GetTermPair with the term that it was given.
 *
 * @returns Undefined if nothing proves it. That no snapshot shows it does not prove the opposite.
 */
export function oldRecord(view: PartitionView): OldRecord | undefined {
  const newest = view.terms.at(-1)?.term ?? 0n;
  let found: OldRecord | undefined;
  for (const one of view.replicas) {
    const snapshot = snapshotOf(view, one);
    if (snapshot === undefined || snapshot.term <= newest) continue;
    if (found === undefined || isNewer(snapshot, found.snapshot)) {
      found = { endpoint: one.endpoint, snapshot, newest };
    }
  }
  return found;
}

/**
 * Whether a snapshot, read right before its replica is loaded, proves that the record is old while the
 * plan did not know of it. Such a replica must not be loaded: a later run would not see the term any more.
 * A plan that knew of it was made on the operator's word, see {@link oldRecordProblem}.
 */
export function hidesOldRecord(
  { newestTerm, evidence }: Pick<Lane, "newestTerm" | "evidence">,
  endpoint: Endpoint,
  snapshot: TermStart | undefined,
): boolean {
  if (snapshot === undefined || snapshot.term <= newestTerm.term) return false;
  return (evidence.replicas.get(endpoint)?.snapshot?.term ?? 0n) < snapshot.term;
}

/** Loading hides a snapshot; what was seen of it earlier in the run counts. */
function snapshotOf(
  view: PartitionView,
  { endpoint, snapshot }: ReplicaView,
): TermStart | undefined {
  return snapshot ?? view.known?.replicas.get(endpoint)?.snapshot;
}

function isNewer(one: TermStart, other: TermStart): boolean {
  return one.term === other.term ? one.offset > other.offset : one.term > other.term;
}

/**
 * The decision that an old record asks for, see {@link oldRecord}; the replica with the newest snapshot is
 * the candidate. Undefined if nothing proves that the record is old.
 */
export function oldRecordProblem(view: PartitionView): Problem | undefined {
  const old = oldRecord(view);
  if (old === undefined) return halfDecided(view);
  const { endpoint, snapshot, newest } = old;
  const replica = view.replicas.find((one) => one.endpoint === endpoint);
  const whose =
    replica?.report?.role === "leader" ? "it runs as leader in" : "the snapshot on its disk is of";
  return {
    code: "record-is-old",
    endpoint,
    text: `${whose} term ${snapshot.term} (up to entry ${snapshot.offset}), and the newest term on record is ${newest}: the record does not know of it (ZooKeeper was restored from a backup, or a change of leader ended half-way), so neither flags nor history tell which replica led last; bring the newer ZooKeeper data back if there is any`,
    candidate: endpoint,
  };
}

/** An earlier run was told to let a replica lead on an old record, and ended before it led. */
function halfDecided(view: PartitionView): Problem | undefined {
  const unproven = view.known?.bounds.unproven;
  if (unproven === undefined || servingLeader(view) !== undefined) return undefined;
  const chosen = view.replicas.find((one) => !unproven.has(one.endpoint));
  if (chosen === undefined) return undefined;
  return {
    code: "record-is-old",
    endpoint: chosen.endpoint,
    text: `an earlier run was told to let ${chosen.endpoint} lead, because the record was older than a snapshot on a disk, and ended before it led: neither flags nor history tell which replica led last`,
    candidate: chosen.endpoint,
  };
}

/**
 * Whether nothing proves that a replica's log is a prefix of the leader's: the leader was chosen while the
 * record was proven to be old, so terms are missing in the history by which logs are compared.
 */
export function isUnproven({ known }: PartitionView, { endpoint }: ReplicaView): boolean {
  return known?.bounds.unproven?.has(endpoint) === true;
}

/**
 * A view in which, where the record is proven to be old, nothing is proven of the logs of any replica but the
 * one that was chosen to lead. Later rounds and runs go on with that, since loading hides the proof.
 */
export function withoutProofs(view: PartitionView, chosen: Endpoint): PartitionView {
  if (oldRecordProblem(view) === undefined) return view;
  const { bounds, replicas } = evidenceOf(view);
  const others = view.replicas.map((one) => one.endpoint).filter((one) => one !== chosen);
  return { ...view, known: { bounds: { ...bounds, unproven: new Set(others) }, replicas } };
}
