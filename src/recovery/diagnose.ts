import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";

/** States in which a replica serves (OpenMLDB tablet: TableState). */
const SERVING: readonly string[] = ["normal", "making-snapshot", "snapshot-paused"];

/** Whether a replica is loaded and serves in whatever role it has. */
export function isServing(replica: ReplicaView): boolean {
  return replica.report !== undefined && SERVING.includes(replica.report.state);
}

/**
 * The replica that leads the partition now: flagged leader, alive, and serving as leader on a
 * healthy tablet. Where several do, the one with the highest offset.
 *
 * @returns Undefined if nobody leads, so that the partition takes no writes.
 */
export function servingLeader(view: PartitionView): ReplicaView | undefined {
  return view.replicas
    .filter((replica) => replica.claim.isLeader && replica.claim.isAlive)
    .filter((replica) => isServing(replica) && replica.report?.role === "leader")
    .reduce<ReplicaView | undefined>(
      (best, next) => (best === undefined || offsetOf(next) > offsetOf(best) ? next : best),
      undefined,
    );
}

/**
 * Says what is wrong with a partition.
 *
 * A replica is healthy only when nameserver and tablet agree (flag, role, state, alive, tablet
 * healthy) and, for a follower, the leader feeds it up to its own offset: the flags alone hide
 * followers that nobody feeds.
 *
 * @returns Empty if the partition is healthy; else by replica, in the order of the view.
 */
export function diagnose(view: PartitionView): Problem[] {
  const leader = servingLeader(view);
  const problems: Problem[] = [];
  if (!view.replicas.some((replica) => replica.claim.isLeader)) {
    problems.push({
      code: "no-leader-flagged",
      endpoint: undefined,
      text: "no replica is flagged leader, so nothing says whose data leads",
    });
  }
  return problems.concat(
    view.replicas.flatMap((replica) => diagnoseReplica(view, replica, leader)),
  );
}

/** A finding about one replica, before it is known whose. */
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
          diagnoseAhead(view, replica, leader),
        ]
      : [diagnoseTablet(replica)];
  return findings
    .filter((one) => one !== undefined)
    .map((one) => ({ code: one.code, endpoint: replica.endpoint, text: one.text }));
}

function diagnoseTablet(replica: ReplicaView): Finding {
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
    const runs = report.role ?? "nothing known";
    findings.push({
      code: "wrong-role",
      text: `flagged ${wanted}, but its tablet runs it as ${runs}`,
    });
  }
  const least = leastOffset(view);
  if (claim.isLeader && leader === undefined && report.offset < least) {
    findings.push({ code: "rows-missing", text: rowsMissing(report.offset, least) });
  }
  return findings;
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
    return { code: "link-unknown", text: `leader ${leader.endpoint} does not say whom it feeds` };
  }
  const fed = leader.followers.followers.get(replica.endpoint);
  if (fed === undefined) {
    return { code: "not-linked", text: `leader ${leader.endpoint} does not feed it` };
  }
  // The leader's list can be wrong: it outlives a follower that came back with less on its disk.
  const own = replica.report?.offset ?? 0n;
  const reached = own < fed ? own : fed;
  if (reached < leader.followers.offset) {
    return {
      code: "behind",
      text: `at offset ${reached}, leader ${leader.endpoint} at ${leader.followers.offset}`,
    };
  }
  return undefined;
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
 * leadership only, or it is the only one flagged leader (it led the newest term, or nobody has
 * since).
 */
export function isOfHistory(view: PartitionView, replica: ReplicaView): boolean {
  if (replica.claim.isAlive || firstChange(view) === 0n) return true;
  return view.replicas.every((one) => one.claim.isLeader === (one === replica));
}

/**
 * How much of the surviving history a replica holds for certain: its offset, as its tablet reports
 * it or else as the nameserver last saw it, as far as its log can be trusted. 0 if nothing is known.
 */
export function knownOffset(view: PartitionView, replica: ReplicaView): bigint {
  const offset = isServing(replica) ? (replica.report?.offset ?? 0n) : (replica.claim.offset ?? 0n);
  const trusted = firstChange(view) - 1n;
  return isOfHistory(view, replica) || offset <= trusted ? offset : trusted;
}

/**
 * The least offset that a coming leader must have: what every replica is known to hold. A single
 * replica has nobody to be compared with: what it holds is all there is.
 */
export function leastOffset(view: PartitionView): bigint {
  let least = 0n;
  if (view.replicas.length === 1) return least;
  for (const one of view.replicas) {
    const known = knownOffset(view, one);
    const seen = one.claim.offset ?? 0n;
    const own = isOfHistory(view, one) && seen > known ? seen : known;
    if (own > least) least = own;
  }
  return least;
}

/** Why a leader that came up short is not followed by any RecoverTable. */
export function rowsMissing(offset: bigint, least: bigint): string {
  return `at offset ${offset}, but ${least} was seen before: rows are missing on its disk, and RecoverTable would delete the logs of followers that may have them`;
}

/**
 * A replica that is known to hold more than the leader which serves. One that is fed is compared
 * with the leader's list, which was made after its own report.
 */
function diagnoseAhead(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView | undefined,
): Finding | undefined {
  if (leader?.followers === undefined || leader === replica) return undefined;
  const isFed = leader.followers.followers.has(replica.endpoint) && isServing(replica);
  const known = knownOffset(view, replica);
  const held = isFed ? leader.followers.offset : (leader.report?.offset ?? 0n);
  if (known <= held) return undefined;
  return {
    code: "ahead",
    text: `known to hold entries up to ${known}, leader ${leader.endpoint} only up to ${held}: RecoverTable would delete them`,
  };
}

function offsetOf(replica: ReplicaView): bigint {
  return replica.report?.offset ?? -1n;
}
