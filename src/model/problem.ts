import type { Endpoint } from "./cluster-state.js";
import type { Loss } from "./loss.js";

/** Everything that can be found wrong with a partition, worst first. */
export const PROBLEM_CODES = [
  /** No replica of the partition is flagged leader, so no replica is known to have led. */
  "no-leader-flagged",
  /** A disk has a term that the record does not know: flags and history prove nothing. */
  "record-is-old",
  /** A replica cannot be loaded, so what its disk holds is not known. */
  "load-failed",
  /** Two or more replicas hold entries that only one of them can have had; no call tells which. */
  "diverged",
  /** A replica holds more than the leader that serves. */
  "ahead",
  /** An ex-leader holds rows that it took from clients and that the newest leadership began without. */
  "surplus",
  /** The leader, or the coming one, has fewer entries than were seen before. */
  "rows-missing",
  /** A replica that may hold more than every loaded one cannot be asked. */
  "unread",
  /** Every replica that may lead is on a tablet that is offline or silent. */
  "leader-unavailable",
  /** The nameserver does not count the replica's tablet as healthy. */
  "tablet-offline",
  /** The nameserver counts the tablet as healthy, but it does not answer. */
  "tablet-silent",
  /** What answers under the tablet's name is another tablet. */
  "tablet-foreign",
  /** The tablet answers and has not loaded the replica: what every replica is after a restart. */
  "not-loaded",
  /** The tablet is loading the replica. */
  "loading",
  /** The tablet reports a state that this version of the tool does not know. */
  "state-unknown",
  /** A second replica is flagged leader beside the one that leads: an ex-leader. */
  "extra-leader",
  /** The tablet runs the replica in another role than the nameserver believes. */
  "wrong-role",
  /** The nameserver counts the replica as dead. */
  "marked-dead",
  /** The leader does not replicate to the follower: it is missing in the replication list. */
  "not-linked",
  /** The replication list of the leader could not be read. */
  "link-unknown",
  /** The leader replicates to the follower, but the follower does not reach the leader's offset. */
  "behind",
  /** A failed op left the replica in kSnapshotPaused: it serves, but makes no snapshots. */
  "snapshot-paused",
  /** A plan that is being applied refuses it, or names another leader than what is known now. */
  "not-as-planned",
] as const;

/** One of {@link PROBLEM_CODES}. */
export type ProblemCode = (typeof PROBLEM_CODES)[number];

/** One thing that is wrong with a partition or with one replica of it. */
export interface Problem {
  readonly code: ProblemCode;
  /** The replica concerned; undefined if it is the partition as a whole. */
  readonly endpoint: Endpoint | undefined;
  /** The cause in words, with numbers where there are any. No final stop. */
  readonly text: string;
  /**
   * If the operator has to decide: the replica whose log is the longest of those that can lead.
   * Undefined if none can, or if there is nothing to decide.
   */
  readonly candidate?: Endpoint | undefined;
  /** With a candidate: what is given up where it leads. */
  readonly loss?: Loss | undefined;
  /**
   * With a candidate: whether nothing but replicas on tablets that are lost (`--lost`) keeps it from
   * leading, so that no tablet that is started could save anything.
   */
  readonly isOfLost?: boolean | undefined;
}

/** A problem as reports and JSON have it: without an endpoint it is about the partition. */
export function problemRow({ code, endpoint, text }: Problem) {
  return { code, endpoint: endpoint ?? null, text };
}
