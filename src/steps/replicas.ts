import { messageOf } from "../errors.js";
import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import { detailOf, type StepOutcome } from "../model/outcome.js";
import { type PartitionView, replicaAt } from "../model/partition-view.js";
import { strayText } from "../operations/targets.js";
import { removeCopyText } from "../policy/free-tablets.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { replicaIn } from "./expectations.js";
import { loadUnrecorded } from "./load.js";
import { describeOps, type FollowedOps, followOp, retried, type Try } from "./ops.js";
import { ALREADY, DONE, failed, StepEnd, stale } from "./outcomes.js";
import { waitForSync } from "./replicate.js";
import { demoteRunningExLeaders, unlist } from "./role.js";
import type { ReplicaId, StepContext, Task } from "./step-context.js";
import {
  assertHolds,
  claimNow,
  observePartition,
  partitionNow,
  patiently,
  reportNow,
} from "./step-preconditions.js";

/**
 * Creates a follower: AddReplicaNS, its op to the end, then verifies that the follower is alive,
 * loaded, and at its leader's offset. The leftovers of a failed op are deleted before the next attempt.
 */
export function addReplica(context: StepContext, task: Task<"add-replica">): Promise<StepOutcome> {
  const { id, endpoint } = task.step;
  let isOurs = false;
  return retried(context, id, async (before) => {
    const view = await partitionNow(context, id);
    if (replicaAt(view, endpoint) !== undefined) {
      const why = await whyNotFollowing(context, task.step);
      if (why === undefined) return before === 0 ? ALREADY : DONE;
      if (!isOurs) return stale(`a replica is there already: ${why}`);
      await deleteHalfMadeReplica(context, view, endpoint);
    }
    await prepareTablet(context, view, endpoint, isOurs);
    isOurs = true;
    const followed = await followOp(context, id, () => context.cluster.addReplicaNS(id, endpoint));
    await resumeSnapshots(context, id, followed);
    return resultOf(followed, await whyNotFollowing(context, task.step));
  });
}

/**
 * Deletes a follower: DelReplicaNS, its op to the end, then verifies that it is gone from the record,
 * from its leader's replication list and from its tablet.
 */
export function delReplica(context: StepContext, task: Task<"del-replica">): Promise<StepOutcome> {
  const { id, endpoint } = task.step;
  return retried(context, id, async (before) => {
    const view = await partitionNow(context, id);
    if (replicaAt(view, endpoint) === undefined) {
      const rest = await tracesOf(context, task.step);
      if (rest !== undefined) return failed(rest);
      return before === 0 ? ALREADY : DONE;
    }
    assertHolds(view, task.expects);
    const followed = await followOp(context, id, () => context.cluster.delReplicaNS(id, endpoint));
    const ended = resultOf(followed, await tracesOf(context, task.step));
    // Once it is gone from the record, the nameserver refuses another request.
    const isGone = replicaIn(await claimNow(context, id), endpoint) === undefined;
    return "again" in ended && isGone ? failed(ended.again) : ended;
  });
}

/**
 * Moves a follower to another tablet: Migrate, its op to the end, then verifies that the new follower
 * is in sync and the old one is gone.
 */
export function migrate(context: StepContext, task: Task<"migrate">): Promise<StepOutcome> {
  const { id, endpoint: from, to } = task.step;
  let isOurs = false;
  return retried(context, id, async (before) => {
    const view = await partitionNow(context, id);
    if (replicaAt(view, from) === undefined) return endedMove(context, view, { from, to, before });
    assertHolds(view, task.expects);
    if (replicaAt(view, to) !== undefined) {
      if (!isOurs) return stale(`${to} has a replica of it now`);
      await deleteHalfMadeReplica(context, view, to);
      await restoreReplication(context, { id, endpoint: from });
    }
    await prepareTablet(context, view, to, isOurs);
    isOurs = true;
    const table = { db: id.db, table: id.table, pids: [id.pid] };
    const followed = await followOp(context, id, () => context.cluster.migrate(from, table, to));
    await resumeSnapshots(context, id, followed);
    return resultOf(followed, await whyNotMoved(context, id, from, to));
  });
}

/**
 * The outcome of a migration whose source is gone from the record: it succeeded, or can never be
 * requested again.
 */
async function endedMove(
  context: StepContext,
  view: PartitionView,
  { from, to, before }: { readonly from: Endpoint; readonly to: Endpoint; readonly before: number },
): Promise<StepOutcome> {
  if (replicaAt(view, to) === undefined)
    return stale(`neither ${from} nor ${to} has a replica of it now`);
  const why = await whyNotMoved(context, view.id, from, to);
  if (why !== undefined) return failed(why);
  return before === 0 ? ALREADY : DONE;
}

/** The result by the observed effect; the ops become the detail. */
function resultOf(followed: FollowedOps, complaint: string | undefined): Try {
  const ended = "failed" in followed ? followed.failed : describeOps(followed.ops);
  if (complaint === undefined) return { result: "done", detail: ended };
  return { again: `${ended}: ${complaint}` };
}

/**
 * Returns why a replica is not a follower in sync; undefined if it is. Waits while it catches up.
 */
async function whyNotFollowing(
  context: StepContext,
  follower: ReplicaId,
): Promise<string | undefined> {
  const { id, endpoint } = follower;
  const now = await observePartition(context, id);
  if (now === undefined || replicaAt(now, endpoint) === undefined)
    return `the record has no replica at ${endpoint}`;
  const outcome = await waitForSync(context, follower);
  if (outcome.result !== "done") return detailOf(outcome);
  const view = await observePartition(context, id);
  return view === undefined || servingLeader(view) === undefined
    ? "no replica leads the partition now"
    : undefined;
}

async function whyNotMoved(
  context: StepContext,
  id: PartitionId,
  from: Endpoint,
  to: Endpoint,
): Promise<string | undefined> {
  const why = await whyNotFollowing(context, { id, endpoint: to });
  if (why !== undefined) return `${to}: ${why}`;
  return tracesOf(context, { id, endpoint: from });
}

/** Finds a trace of a replica that should be gone; undefined if there is none. */
async function tracesOf(
  context: StepContext,
  { id, endpoint }: ReplicaId,
): Promise<string | undefined> {
  const claim = await claimNow(context, id);
  if (replicaIn(claim, endpoint) !== undefined) return `the record still has ${endpoint}`;
  const stray = await strayAt(context, { id, endpoint });
  if (stray !== undefined) return stray;
  const leader = claim?.replicas.find((one) => one.isLeader && one.isAlive)?.endpoint;
  if (leader === undefined) return undefined;
  const list = await context.cluster.getTableFollower(leader, id);
  return list.followers.has(endpoint)
    ? `leader ${leader} still replicates to ${endpoint}`
    : undefined;
}

/**
 * Detects a loaded replica that is not on record, in words. The nameserver can neither use nor drop it,
 * and no other one can be sent there while it is loaded (OpenMLDB 0.9 tablet: SendData).
 */
async function strayAt(
  context: StepContext,
  { id, endpoint }: ReplicaId,
): Promise<string | undefined> {
  const report = await patiently(context, reportNow(context, { id, endpoint }));
  return report === undefined ? undefined : strayText(id, endpoint, report.role);
}

/**
 * Makes sure that a new replica can be created: none is loaded there, and no leader lists it.
 *
 * @param isOurs Whether this step has requested it before.
 * @throws StepEnd with the obstacle.
 */
async function prepareTablet(
  context: StepContext,
  view: PartitionView,
  endpoint: Endpoint,
  isOurs: boolean,
): Promise<void> {
  const obstacle = await strayAt(context, { id: view.id, endpoint });
  if (obstacle !== undefined) throw new StepEnd(isOurs ? failed(obstacle) : stale(obstacle));
  const old = isOurs ? undefined : await oldCopyAt(context, view, endpoint);
  if (old !== undefined) throw new StepEnd(stale(old));
  await demoteRunningExLeaders(context, view, endpoint);
  // A failed op may have left it there: a new one would fail at adding it again (code 119, OpenMLDB 0.9 tablet).
  await unlist(context, view.id, servingLeader(view), endpoint);
}

/**
 * Milliseconds in which a tablet with no other load lists an old copy of a disk table. Without a snapshot it opens
 * an empty database before it reads the log (OpenMLDB 0.9 tablet: LoadDiskTableInternal), which is quick.
 */
const OLD_COPY_LISTED_MS = 3_000;

/**
 * Detects the data of an earlier replica on a tablet's disk. AddReplicaNS sends a snapshot and loads it
 * together with whatever log is there, given-up entries included (OpenMLDB 0.9 tablet: LoadTable). A
 * snapshot shows it (GetTermPair); without one only loading does. A disk without data refuses that load (131), or, for a
 * disk table, never lists it.
 */
async function oldCopyAt(
  context: StepContext,
  view: PartitionView,
  endpoint: Endpoint,
): Promise<string | undefined> {
  const { id, storageMode } = view;
  const leader = servingLeader(view);
  if (storageMode === "unknown" || leader === undefined) return undefined;
  const of = { ...id, storageMode };
  const found = await context.cluster.getTermPair(endpoint, of);
  if (found.isLoaded) return undefined;
  if (found.offset > 0n) {
    // A snapshot equal to the leader's was sent there by an op that failed half-way.
    const sent = await context.cluster.getManifest(leader.endpoint, of);
    if (sent?.offset === found.offset && sent.term === found.term) return undefined;
    return oldCopyText(
      id,
      endpoint,
      `a snapshot of term ${found.term} up to entry ${found.offset}`,
    );
  }
  try {
    const how = { least: 0n, listedWithinMs: OLD_COPY_LISTED_MS };
    const { offset } = await loadUnrecorded(context, view, endpoint, how);
    return oldCopyText(id, endpoint, `entries up to ${offset}, loaded to see them`);
  } catch (thrown) {
    if (!(thrown instanceof StepEnd)) throw thrown;
    const { outcome } = thrown;
    // Another failure does not prove that nothing is there.
    return outcome.result === "failed" && outcome.isEmpty !== true && outcome.isFinal !== true
      ? `whether tablet ${endpoint} has an old copy of it on its disk is not known: ${outcome.detail}; if it has one, ${removeCopyText(id, endpoint)}`
      : undefined;
  }
}

function oldCopyText(id: PartitionId, endpoint: Endpoint, what: string): string {
  return `tablet ${endpoint} has an old copy of it on its disk (${what}), which would get into the new replica; ${removeCopyText(id, endpoint)}`;
}

/**
 * Deletes the replica that a failed op of this step left in the record, marked dead. It was created a
 * moment ago from the leader's data and was never alive, so nothing is lost.
 */
async function deleteHalfMadeReplica(
  context: StepContext,
  view: PartitionView,
  endpoint: Endpoint,
): Promise<void> {
  const half = replicaAt(view, endpoint);
  if (half === undefined || half.claim.isAlive || half.claim.isLeader) return;
  await followOp(context, view.id, () => context.cluster.delReplicaNS(view.id, endpoint));
}

/**
 * Makes the leader replicate to the source of a failed migration again, if the op removed it from the
 * list.
 */
async function restoreReplication(
  context: StepContext,
  { id, endpoint }: ReplicaId,
): Promise<void> {
  const view = await observePartition(context, id);
  const leader = view && servingLeader(view);
  const own = view && replicaAt(view, endpoint)?.report;
  if (leader?.followers === undefined || own?.role !== "follower") return;
  if (leader.followers.followers.has(endpoint) || own.offset > leader.followers.offset) return;
  await context.cluster.addReplica(leader.endpoint, id, endpoint);
}

/**
 * Ends kSnapshotPaused at the leader if a failed op left it so: it would make no more snapshots, and
 * its binlog would grow without limit.
 */
async function resumeSnapshots(
  context: StepContext,
  id: PartitionId,
  followed: FollowedOps,
): Promise<void> {
  if ("failed" in followed || followed.ops.every((op) => op.status === "done")) return;
  const view = await observePartition(context, id);
  const leader = view && servingLeader(view);
  if (view === undefined || view.activeOps.length > 0) return;
  if (leader?.report?.state !== "snapshot-paused") return;
  try {
    await context.cluster.recoverSnapshot(leader.endpoint, {
      ...id,
      storageMode: view.storageMode,
    });
  } catch (thrown) {
    context.signal.throwIfAborted();
    throw new Error(
      `the op failed, and its leader is left in kSnapshotPaused: ${messageOf(thrown)}`,
    );
  }
}
