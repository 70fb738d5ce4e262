import type { Endpoint, TermStart } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import { withChanged } from "./evidence.js";
import { newestTerm, servingLeader } from "./what-it-holds.js";

/** The replica with the newest term that the partition's recorded history lacks. */
interface OldRecord {
  readonly replica: ReplicaView;
  /** Term and offset of the last entry in its snapshot. */
  readonly snapshot: TermStart;
}

/**
 * Detects that the record of a partition is older than its disks, for example after ZooKeeper was
 * restored from a backup. A snapshot whose last entry has a term above the newest one of the history
 * proves it: the nameserver appends each leadership to the history (OpenMLDB 0.9 nameserver:
 * UpdateLeaderInfo). The history then lacks leaderships, so flags and history prove nothing.
 *
 * A memory table's snapshot has the term of its last entry. A disk table's snapshot has the term that
 * its replica was given last (OpenMLDB 0.9 tablet: DiskTableSnapshot), which may come from a
 * ChangeLeader that fenced the replica and then failed. The two cases cannot be told apart, so both
 * need a decision.
 *
 * Evidence comes from replicas that are not loaded, and from those that run as leader against the
 * record. Any other loaded replica answers GetTermPair with the term that it was given.
 *
 * @returns Undefined if nothing proves it, which does not prove the opposite.
 */
export function oldRecord(view: PartitionView): OldRecord | undefined {
  let found: OldRecord | undefined;
  for (const replica of view.replicas) {
    // Loading hides the snapshot, so one that was seen earlier in the run counts too.
    const snapshot = replica.snapshot ?? view.known?.replicas.get(replica.endpoint)?.snapshot;
    if (snapshot === undefined || snapshot.term <= newestTerm(view)) continue;
    if (found === undefined || isNewer(snapshot, found.snapshot)) found = { replica, snapshot };
  }
  return found;
}

/**
 * True if a snapshot, read right before its replica is loaded, proves that the record is old and the
 * plan did not know it. Such a replica must not be loaded: a later run could not see the term any more.
 * A plan that knew the term was accepted by the operator, see {@link oldRecordProblem}.
 */
export function hidesOldRecord(
  { newestTerm, evidence }: Pick<Lane, "newestTerm" | "evidence">,
  endpoint: Endpoint,
  snapshot: TermStart | undefined,
): boolean {
  if (snapshot === undefined || snapshot.term <= newestTerm.term) return false;
  return (evidence.replicas.get(endpoint)?.snapshot?.term ?? 0n) < snapshot.term;
}

function isNewer(one: TermStart, other: TermStart): boolean {
  return one.term === other.term ? one.offset > other.offset : one.term > other.term;
}

/**
 * The decision that an old record requires, see {@link oldRecord}. Its candidate is the replica with
 * the newest term. Undefined if nothing proves that the record is old.
 */
export function oldRecordProblem(view: PartitionView): Problem | undefined {
  const old = oldRecord(view);
  if (old === undefined) return interruptedDecision(view);
  const { replica, snapshot } = old;
  const { endpoint, report } = replica;
  const source =
    report?.role === "leader" ? "it runs as leader in" : "the snapshot on its disk is of";
  return {
    code: "record-is-old",
    endpoint,
    text: `${source} term ${snapshot.term} (up to entry ${snapshot.offset}), and the newest term on record is ${newestTerm(view)}: the record does not know of it (ZooKeeper was restored from a backup, or a change of leader ended half-way), so neither flags nor history tell which replica led last; restore newer ZooKeeper data if there is any`,
    candidate: endpoint,
  };
}

/**
 * The decision of an earlier run that was to let a replica lead on an old record, and ended before it
 * led. A leader that is unproven itself is one of the old record: the chosen replica leads in a new term.
 */
function interruptedDecision(view: PartitionView): Problem | undefined {
  const { unproven, term } = view.known?.bounds ?? {};
  if (unproven === undefined) return undefined;
  const leader = servingLeader(view);
  const isOfOldRecord = term === newestTerm(view);
  if (leader !== undefined && !(isOfOldRecord && unproven.has(leader.endpoint))) return undefined;
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
 * True if nothing proves that a replica's log is a prefix of the leader's: the leader was chosen while
 * the record was proven to be old, so the history by which logs are compared lacks terms.
 */
export function isUnproven({ known }: PartitionView, { endpoint }: ReplicaView): boolean {
  return known?.bounds.unproven?.has(endpoint) === true;
}

/**
 * If the record is proven to be old, returns a view that marks every replica but the chosen leader as
 * unproven, see {@link isUnproven}. Later rounds and runs keep the marks, since loading hides the
 * proof.
 */
export function withoutProofs(view: PartitionView, chosen: Endpoint): PartitionView {
  if (oldRecordProblem(view) === undefined) return view;
  const others = view.replicas.map((one) => one.endpoint).filter((one) => one !== chosen);
  return withChanged(view, { unproven: new Set(others) });
}
