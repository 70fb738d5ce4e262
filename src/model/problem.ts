import type { Endpoint } from "./cluster-state.js";
import type { Loss } from "./loss.js";

/** Codes of all problems that a partition can have, worst first. */
export const PROBLEM_CODES = [
  /** No replica of the partition is flagged leader, so the last leader is not known. */
  "no-leader-flagged",
  /** A replica has a newer term than the record, so the record's flags and terms are outdated. */
  "record-is-old",
  /** A replica cannot be loaded, so the content of its disk is not known. */
  "load-failed",
  /** Several replicas hold entries of different histories, and no call shows which of them is the right one. */
  "diverged",
  /** A replica holds more entries than the serving leader. */
  "ahead",
  /** An ex-leader holds rows from clients that the newest leadership began without. */
  "surplus",
  /** The current or future leader has fewer entries than were seen before. */
  "rows-missing",
  /** A replica that may hold more entries than every loaded one is unreachable. */
  "unread",
  /** Every replica that may lead is on a tablet that is offline or silent. */
  "leader-unavailable",
  /** The nameserver does not count the replica's tablet as healthy. */
  "tablet-offline",
  /** The nameserver counts the tablet as healthy, but it does not answer. */
  "tablet-silent",
  /** Another tablet answers at this tablet's address. */
  "tablet-foreign",
  /** The tablet answers but has not loaded the replica: the state of every replica after a restart. */
  "not-loaded",
  /** The tablet is loading the replica. */
  "loading",
  /** The tablet reports a state that this version of the tool does not know. */
  "state-unknown",
  /** A second replica is flagged leader beside the current leader: an ex-leader. */
  "extra-leader",
  /** The tablet runs the replica in another role than the record has. */
  "wrong-role",
  /** The record flags the replica as not alive. */
  "marked-dead",
  /** The leader does not replicate to the follower: it is missing in the replication list. */
  "not-linked",
  /** The replication list of the leader could not be read. */
  "link-unknown",
  /** The leader replicates to the follower, but the follower does not reach the leader's offset. */
  "behind",
  /** A failed op left the replica in kSnapshotPaused: it serves, but makes no snapshots. */
  "snapshot-paused",
  /** The saved plan that is applied leaves the partition alone, or names another leader than the current facts do. */
  "not-as-planned",
] as const;

/** One of {@link PROBLEM_CODES}. */
export type ProblemCode = (typeof PROBLEM_CODES)[number];

/** A problem of a partition, or of one replica of it. */
export interface Problem {
  readonly code: ProblemCode;
  /** The replica concerned; undefined if the problem concerns the partition as a whole. */
  readonly endpoint: Endpoint | undefined;
  /** The cause in words, with the numbers involved. No final stop. */
  readonly text: string;
  /**
   * If the operator has to decide: the replica with the longest log among those that can lead. Undefined if
   * none can lead, or if there is nothing to decide.
   */
  readonly candidate?: Endpoint | undefined;
  /** If there is a candidate: the entries that are discarded if it leads. */
  readonly loss?: Loss | undefined;
  /**
   * If there is a candidate: true if only replicas on lost tablets (`--lost`) keep it from leading, so that
   * starting a tablet cannot preserve any entry.
   */
  readonly isOfLost?: boolean | undefined;
}

/** The codes of the problems of the replica at an endpoint. */
export function codesAt(problems: readonly Problem[], endpoint: Endpoint): ProblemCode[] {
  return problems.filter((one) => one.endpoint === endpoint).map((one) => one.code);
}

/** A problem as reports and JSON have it; `endpoint` is null if it concerns the partition. */
export function problemRow({ code, endpoint, text }: Problem) {
  return { code, endpoint: endpoint ?? null, text };
}
