import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";

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

function diagnoseReplica(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView | undefined,
): Problem[] {
  const found: Problem[] = [];
  const add = (code: ProblemCode, text: string) =>
    found.push({ code, endpoint: replica.endpoint, text });

  if (replica.tablet !== "ok") {
    add(
      replica.tablet === "offline" ? "tablet-offline" : "tablet-silent",
      `tablet ${replica.tabletDetail}`,
    );
    return found;
  }
  const report = replica.report;
  if (report === undefined) {
    add("not-loaded", "not loaded on its tablet");
  } else if (report.state === "loading" || report.state === "undefined") {
    add("loading", `its tablet is loading it (${report.recordCount} rows so far)`);
  } else if (report.state === "other") {
    add("state-unknown", "its tablet reports a state that this version does not know");
  }
  const isExtra = replica.claim.isLeader && leader !== undefined && leader !== replica;
  if (isExtra) add("extra-leader", `still flagged leader beside ${leader.endpoint}`);
  const wanted = replica.claim.isLeader ? "leader" : "follower";
  if (report !== undefined && isServing(replica) && report.role !== wanted && !isExtra) {
    add(
      "wrong-role",
      `flagged ${wanted}, but its tablet runs it as ${report.role ?? "nothing known"}`,
    );
  }
  if (!replica.claim.isAlive) add("marked-dead", "marked not alive");
  if (report?.state === "snapshot-paused" && view.activeOps.length === 0) {
    add("snapshot-paused", "left in kSnapshotPaused with no op running");
  }
  if (isServing(replica) && leader !== undefined && leader !== replica) {
    const link = diagnoseLink(replica, leader);
    if (link !== undefined) add(link.code, link.text);
  }
  return found;
}

function diagnoseLink(
  replica: ReplicaView,
  leader: ReplicaView,
): { code: ProblemCode; text: string } | undefined {
  if (leader.followers === undefined) {
    return { code: "link-unknown", text: `leader ${leader.endpoint} does not say whom it feeds` };
  }
  const fed = leader.followers.followers.get(replica.endpoint);
  if (fed === undefined) {
    return { code: "not-linked", text: `leader ${leader.endpoint} does not feed it` };
  }
  if (fed < leader.followers.offset) {
    return {
      code: "behind",
      text: `at offset ${fed}, leader ${leader.endpoint} at ${leader.followers.offset}`,
    };
  }
  return undefined;
}

function offsetOf(replica: ReplicaView): bigint {
  return replica.report?.offset ?? -1n;
}
