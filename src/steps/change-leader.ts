import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import { detailOf, type StepOutcome } from "../model/outcome.js";
import { partitionName } from "../model/partition-view.js";
import { ledText } from "../operations/targets.js";
import { checkLeaderChange } from "../policy/check-leader-change.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { describeOps, followOp, retried, type Try } from "./ops.js";
import { allOpsEnded } from "./ops-ended.js";
import { ALREADY, stale } from "./outcomes.js";
import { waitForSync } from "./replicate.js";
import type { StepContext, Task } from "./step-context.js";
import { assertHolds, observePartition, partitionNow } from "./step-preconditions.js";

/** Milliseconds for which the old leader must have accepted no write before the leader is changed. */
const QUIET_MS = 500;
const QUIET_POLL_MS = 100;
/** Limit in milliseconds for the followers to receive all entries, and for clients to stop writing. */
const DRAIN_MS = 20_000;
/** Limit in milliseconds for the op of a stopped change to end; an op takes less than a second. */
const OP_ENDS_MS = 1_000;

/**
 * Makes a replica the leader of a new term: ChangeLeader with that candidate, its op to the end, then
 * the replica itself and its followers.
 *
 * ChangeLeader disconnects the followers from the old leader, which accepts rows until clients learn of
 * the new one (OpenMLDB 0.9 nameserver: SelectLeader, tablet: FollowOfNoOne): these rows are lost. So a
 * serving leader is marked not alive first, which makes clients stop using it (OpenMLDB 0.9 SDK:
 * TableClientManager), and its candidate receives the remaining entries. If the leader then cannot be
 * changed, it is marked alive again, also after a stop.
 *
 * @returns `stale` with the reason if the change is not allowed by what is known then.
 */
export async function changeLeader(
  context: StepContext,
  task: Task<"change-leader">,
): Promise<StepOutcome> {
  const { id } = task.step;
  const marked: Endpoint[] = [];
  const forget = context.rollback.add((later) => markAliveAgain(later, id, marked, true));
  try {
    const outcome = await retried(context, id, (before) =>
      changeOnce(context, task, before, marked),
    );
    if (outcome.result !== "done") await markAliveAgain(context, id, marked);
    forget();
    return outcome.result === "done" ? await followed(context, id, outcome.detail) : outcome;
  } catch (thrown) {
    // After a stop the run reverts it, within the time that it has left.
    context.signal.throwIfAborted();
    await markAliveAgain(context, id, marked).catch(() => undefined);
    forget();
    throw thrown;
  }
}

/** @param marked Replicas that were marked not alive here. */
async function changeOnce(
  context: StepContext,
  { step, expects }: Task<"change-leader">,
  before: number,
  marked: Endpoint[],
): Promise<Try> {
  const { id, endpoint: to, acceptsLoss, lastSeen } = step;
  const view = await partitionNow(context, id);
  if (servingLeader(view)?.endpoint === to) {
    return before === 0 ? ALREADY : { result: "done", detail: ledText(view, to) };
  }
  assertHolds(view, expects);
  const old = servingLeader(view);
  if (old !== undefined) {
    // Otherwise its op could wait behind others in the nameserver's queues while no client can write.
    await allOpsEnded(context);
    await markDead(context, id, old.endpoint, marked);
    const why = acceptsLoss ? undefined : await drained(context, id, old.endpoint, to);
    if (why !== undefined) return stale(why);
  }
  const change = checkLeaderChange(view, { candidate: to, acceptsLoss, lastSeen });
  const dropped = "refusal" in change ? [] : change.dropped;
  for (const endpoint of dropped) await markDead(context, id, endpoint, marked);
  const result = await followOp(context, id, () => context.cluster.changeLeader(id, to));
  if ("failed" in result) return { again: result.failed };
  const after = await partitionNow(context, id);
  return servingLeader(after)?.endpoint === to
    ? { result: "done", detail: ledText(after, to) }
    : { again: `${describeOps(result.ops)}: it does not lead` };
}

async function markDead(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
  marked: Endpoint[],
): Promise<void> {
  // Stored before the call, because a call that fails may have had its effect.
  marked.push(endpoint);
  await context.cluster.updateTableAlive({ ...id, endpoint }, false);
}

/**
 * Marks replicas alive again that were marked for a change that did not take place.
 *
 * @param isStopped Whether an op that is still running is left to end by itself.
 * @returns What was marked, in words; undefined if nothing was.
 */
async function markAliveAgain(
  context: StepContext,
  id: PartitionId,
  marked: readonly Endpoint[],
  isStopped = false,
): Promise<string | undefined> {
  if (marked.length === 0) return undefined;
  const { clock } = context.cluster;
  const deadline = clock.now() + OP_ENDS_MS;
  for (;;) {
    const view = await observePartition(context, id);
    if (view === undefined || servingLeader(view) !== undefined) return undefined;
    if (view.activeOps.length === 0) break;
    if (clock.now() > deadline) {
      if (isStopped) return `${partitionName(id)}: the leader change continues by itself`;
      break;
    }
    await clock.sleep(QUIET_POLL_MS, context.signal);
  }
  for (const endpoint of marked) await context.cluster.updateTableAlive({ ...id, endpoint }, true);
  return `${partitionName(id)}: ${marked.join(", ")} marked alive again, the leader is not changed`;
}

/**
 * Waits until a leader that is marked not alive accepts no more writes and the candidate holds all its
 * entries.
 *
 * @returns Why this did not happen in time; undefined if it did.
 */
async function drained(
  context: StepContext,
  id: PartitionId,
  leader: Endpoint,
  to: Endpoint,
): Promise<string | undefined> {
  const { clock } = context.cluster;
  const deadline = clock.now() + DRAIN_MS;
  let last: bigint | undefined;
  let quietSince = clock.now();
  for (;;) {
    const list = await context.cluster.getTableFollower(leader, id);
    const has = list.followers.get(to);
    if (has === undefined) return `leader ${leader} does not replicate to ${to}`;
    if (list.offset !== last) quietSince = clock.now();
    last = list.offset;
    const isQuiet = clock.now() - quietSince >= QUIET_MS;
    if (isQuiet && has >= list.offset) return undefined;
    if (clock.now() > deadline) {
      return isQuiet
        ? `${to} stays at entry ${has} of ${list.offset} that leader ${leader} holds`
        : `clients still write to ${leader} although it is marked not alive`;
    }
    await clock.sleep(QUIET_POLL_MS, context.signal);
  }
}

/**
 * Waits until the followers of the new leader hold its entries. A follower that does not is reported
 * and is no failure.
 */
async function followed(
  context: StepContext,
  id: PartitionId,
  detail: string,
): Promise<StepOutcome> {
  const view = await observePartition(context, id);
  const followers = view?.replicas.filter(
    (one) => one.claim.isAlive && !one.claim.isLeader && one.tablet === "ok",
  );
  const waits = (followers ?? []).map(async ({ endpoint }) => {
    const outcome = await waitForSync(context, { id, endpoint });
    return outcome.result === "done" ? [] : [`${endpoint} does not follow: ${detailOf(outcome)}`];
  });
  const lines = (await Promise.all(waits)).flat();
  return { result: "done", detail: [detail, ...lines].join("; ") };
}
