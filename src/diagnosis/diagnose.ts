import type { Endpoint } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import { noLeaderFlagged } from "../policy/flagged-leader.js";
import { oldRecordProblem } from "../policy/old-record.js";
import {
  earlierOffset,
  isServing,
  knownOffset,
  leastOffset,
  replicatedOffset,
  servingLeader,
} from "../policy/what-it-holds.js";
import { discardedBy, discardedText } from "../policy/what-may-be-overwritten.js";

/**
 * Returns the problems of a partition.
 *
 * A replica is healthy only if nameserver and tablet agree (flag, role, state, alive, tablet health) and, for a
 * follower, the leader replicates to it up to the leader's offset. The flags alone do not show followers that no
 * leader replicates to.
 *
 * @returns Empty if the partition is healthy; else problems of the partition, then by replica in the order of the view.
 */
export function diagnose(view: PartitionView): Problem[] {
  const leader = servingLeader(view);
  const isRead = view.replicas.some((one) => one.snapshot !== undefined);
  return [
    noLeaderFlagged(view),
    isRead ? oldRecordProblem(view) : undefined,
    ...view.replicas.flatMap((replica) => diagnoseReplica(view, replica, leader)),
  ].filter((one) => one !== undefined);
}

/** A problem of a replica, without its endpoint. */
type Finding = Pick<Problem, "code" | "text">;

function diagnoseReplica(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView | undefined,
): Problem[] {
  const findings =
    replica.tablet === "ok"
      ? [
          diagnoseLoad(replica),
          ...diagnoseRole(view, replica, leader),
          diagnoseFlag(replica),
          diagnosePause(view, replica),
          diagnoseLink(replica, leader),
          diagnoseDiscarded(view, replica, leader),
        ]
      : [diagnoseTablet(replica)];
  return findings
    .filter((one) => one !== undefined)
    .map((one) => ({ code: one.code, endpoint: replica.endpoint, text: one.text }));
}

function diagnoseTablet(replica: ReplicaView): Finding {
  if (replica.absence?.kind === "not-what-it-says") {
    return { code: "tablet-foreign", text: replica.tabletDetail };
  }
  return {
    code: replica.tablet === "offline" ? "tablet-offline" : "tablet-silent",
    text: `tablet ${replica.tabletDetail}`,
  };
}

function diagnoseLoad({ report }: ReplicaView): Finding | undefined {
  if (report === undefined) return { code: "not-loaded", text: "not loaded on its tablet" };
  if (report.state === "loading" || report.state === "undefined") {
    return {
      code: "loading",
      text: `its tablet is loading it (${report.recordCount} rows so far)`,
    };
  }
  if (report.state !== "other") return undefined;
  return {
    code: "state-unknown",
    text: "its tablet reports a state that this version does not know",
  };
}

function diagnoseRole(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView | undefined,
): Finding[] {
  const { claim, report } = replica;
  if (claim.isLeader && leader !== undefined && leader !== replica) {
    return [{ code: "extra-leader", text: `still flagged leader beside ${leader.endpoint}` }];
  }
  if (report === undefined || !isServing(replica)) return [];
  const findings: Finding[] = [];
  const wanted = claim.isLeader ? "leader" : "follower";
  if (report.role !== wanted) {
    const runs = report.role ?? "an unknown role";
    findings.push({
      code: "wrong-role",
      text: `flagged ${wanted}, but its tablet runs it as ${runs}`,
    });
  }
  const least = claim.isLeader && leader === undefined ? leastOffset(view) : undefined;
  if (least !== undefined && report.offset < least) {
    findings.push({ code: "rows-missing", text: rowsMissing(report.offset, least) });
  }
  const short = leader === replica ? servesShort(view, replica) : undefined;
  return short === undefined ? findings : [...findings, short];
}

/** Finds a leader that serves with fewer entries than were known before, whether by decision or unnoticed. */
function servesShort(view: PartitionView, leader: ReplicaView): Finding | undefined {
  const held = leader.followers?.offset ?? leader.report?.offset ?? 0n;
  const known = earlierOffset(view);
  // If another replica has the entries, that replica is reported as ahead instead.
  const isElsewhere = view.replicas.some(
    (one) => one !== leader && knownOffset(view, one) >= known,
  );
  if (view.replicas.length === 1 || known <= held || isElsewhere) return undefined;
  return {
    code: "rows-missing",
    text: `it leads at offset ${held}, but ${known} was known before: ${known - held} entries are missing, and each write reuses their offsets`,
  };
}

function diagnoseFlag({ claim }: ReplicaView): Finding | undefined {
  return claim.isAlive ? undefined : { code: "marked-dead", text: "marked not alive" };
}

function diagnosePause(view: PartitionView, { report }: ReplicaView): Finding | undefined {
  if (report?.state !== "snapshot-paused" || view.activeOps.length > 0) return undefined;
  return { code: "snapshot-paused", text: "left in kSnapshotPaused with no op running" };
}

function diagnoseLink(replica: ReplicaView, leader: ReplicaView | undefined): Finding | undefined {
  if (leader === undefined || leader === replica || !isServing(replica)) return undefined;
  if (leader.followers === undefined) {
    return {
      code: "link-unknown",
      text: `leader ${leader.endpoint} does not report its replication list`,
    };
  }
  const reached = replicatedOffset(replica, leader);
  if (reached === undefined) {
    return { code: "not-linked", text: `leader ${leader.endpoint} does not replicate to it` };
  }
  if (reached < leader.followers.offset) {
    return {
      code: "behind",
      text: `at offset ${reached}, leader ${leader.endpoint} at ${leader.followers.offset}`,
    };
  }
  return undefined;
}

/** Explains why no RecoverTable is sent after a leader loaded with fewer entries than were seen before. */
export function rowsMissing(offset: bigint, least: bigint): string {
  return `at offset ${offset}, but ${least} was seen before: rows are missing on its disk, and RecoverTable would delete the logs of followers that may have them`;
}

function diagnoseDiscarded(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView | undefined,
): Finding | undefined {
  // Without the replication list the two offsets may be from different moments.
  if (leader?.followers === undefined) return undefined;
  const discarded = discardedBy(view, replica, leader);
  return discarded && { code: discarded.code, text: discardedText(discarded, leader) };
}

/** The problems of the replica at an endpoint. */
export function problemsAt(view: PartitionView, endpoint: Endpoint): Problem[] {
  return diagnose(view).filter((one) => one.endpoint === endpoint);
}
