import pLimit from "p-limit";
import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import { newestOf } from "../model/ops.js";
import { detailOf, isSuccess, type StepOutcome } from "../model/outcome.js";
import { type PartitionView, partitionName, replicaAt } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { isToRecover, isUnhealthy } from "../operations/recover-endpoint.js";
import { viewsAt } from "../operations/targets.js";
import { laneOf } from "../planning/build-lane.js";
import { checkLeaderChange, lastSeenLeader } from "../policy/check-leader-change.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { whyNotOverwrite } from "../policy/what-may-be-overwritten.js";
import { appear } from "./ops.js";
import { opsEnded } from "./ops-ended.js";
import { ALREADY, DONE, mayHaveWorked, outcomeOf, stale } from "./outcomes.js";
import { demoteRunningExLeaders, unlist } from "./role.js";
import type { StepContext, Task } from "./step-context.js";
import { assertHolds, replicaNow } from "./step-preconditions.js";

/** Number of partitions that are tried again in parallel; the nameserver has two queues by default. */
const AGAIN_AT_ONCE = 8;
/** Number of failures that are listed. */
const NAMED_MAX = 10;

/**
 * Takes a tablet out of service with OfflineEndpoint, follows all ops that it queued, and handles the
 * remaining partitions one by one: the nameserver does not repeat a failed op, and does not report an
 * op that it could not create.
 */
export async function offlineEndpoint(
  context: StepContext,
  { step: { endpoint, concurrency } }: Task<"offline-endpoint">,
): Promise<StepOutcome> {
  const before = viewsAt(await context.observe(), endpoint);
  if (before.every((view) => isOffline(view, endpoint))) return ALREADY;
  const risky = before.find((view) => wouldLose(view, endpoint));
  if (risky !== undefined) return stale(`${partitionName(risky.id)} would now give rows up`);
  // Its ops write the record, which hides whether an offset is fresh.
  const lastSeen = new Map(before.map((view) => [partitionName(view.id), lastSeenLeader(view)]));
  const ids = before.map((view) => view.id);
  const count = await allOps(context, ids, () =>
    context.cluster.offlineEndpoint(endpoint, concurrency),
  );
  return finishEach(context, endpoint, `${count} ops`, {
    isLeft: (view) => !isOffline(view, endpoint),
    finish: (view) => offlineOne(context, view, endpoint, lastSeen.get(partitionName(view.id))),
  });
}

/** True if a replica is out of service, and the partition, if it has others, has a leader. */
function isOffline(view: PartitionView, endpoint: Endpoint): boolean {
  const isAlive = replicaAt(view, endpoint)?.claim.isAlive === true;
  if (view.replicas.length === 1) return !isAlive;
  return servingLeader(view) !== undefined && !isAlive;
}

function wouldLose(view: PartitionView, endpoint: Endpoint): boolean {
  if (servingLeader(view) !== undefined && servingLeader(view)?.endpoint !== endpoint) return false;
  const change = checkLeaderChange(view, { candidate: "auto", acceptsLoss: false });
  return "refusal" in change && change.remedy === "accept-loss";
}

const LEFT = "the op of the whole tablet left it";

function runOn(context: StepContext, view: PartitionView, step: Step): Promise<StepOutcome> {
  return context.runStep(step, laneOf(view, { leader: servingLeader(view), steps: [step] }));
}

function offlineOne(
  context: StepContext,
  view: PartitionView,
  endpoint: Endpoint,
  lastSeen: bigint | undefined,
): Promise<StepOutcome> {
  if (view.replicas.length === 1 || servingLeader(view) !== undefined) {
    return runOn(context, view, { kind: "offline-replica", id: view.id, endpoint, why: LEFT });
  }
  const on = { acceptsLoss: false, lastSeen };
  const change = checkLeaderChange(view, { candidate: "auto", ...on });
  if ("refusal" in change) return Promise.resolve(stale(change.refusal));
  const { to, from } = change;
  const step = { kind: "change-leader" as const, id: view.id, endpoint: to, why: LEFT };
  return runOn(context, view, { ...step, from, ...on });
}

/**
 * Takes one replica that does not lead out of service, as the nameserver's kOfflineReplicaOP does:
 * marked not alive, and off its leader's list. A single replica is marked only.
 */
export async function offlineReplica(
  context: StepContext,
  task: Task<"offline-replica">,
): Promise<StepOutcome> {
  const { id, endpoint } = task.step;
  await opsEnded(context, id);
  const { view, replica } = await replicaNow(context, task.step);
  assertHolds(view, task.expects);
  if (!replica.claim.isAlive) return ALREADY;
  const leader = servingLeader(view);
  // Readers first: a replica to which no leader replicates would show them old rows.
  await context.cluster.updateTableAlive({ ...id, endpoint }, false);
  if (leader?.endpoint !== endpoint) await unlist(context, id, leader, endpoint);
  return DONE;
}

/**
 * Recovers all replicas of a tablet that are marked not alive with RecoverEndpoint, follows all ops
 * that it queued, and repeats the failed ones partition by partition.
 */
export async function recoverEndpoint(
  context: StepContext,
  { step: { endpoint, concurrency } }: Task<"recover-endpoint">,
): Promise<StepOutcome> {
  const before = viewsAt(await context.observe(), endpoint);
  const todo = before.filter((view) => isToRecover(view, endpoint));
  if (todo.length === 0) return ALREADY;
  for (const view of todo) {
    const replica = replicaAt(view, endpoint);
    const danger = replica && whyNotOverwrite(view, replica);
    if (danger !== undefined) return stale(`${partitionName(view.id)}: ${danger.text}`);
  }
  for (const view of todo) await demoteRunningExLeaders(context, view, endpoint);
  const ids = todo.map((view) => view.id);
  const count = await allOps(context, ids, () =>
    context.cluster.recoverEndpoint(endpoint, { needRestore: false, concurrency }),
  );
  const wanted = new Set(ids.map(partitionName));
  return finishEach(context, endpoint, `${count} ops, ${todo.length} replicas`, {
    isLeft: (view) => wanted.has(partitionName(view.id)) && isUnhealthy(view, endpoint),
    finish: (view) =>
      runOn(context, view, {
        kind: "recover-table",
        id: view.id,
        endpoint,
        why: LEFT,
      }),
  });
}

/**
 * Requests ops of many partitions at once and follows them to their end. If the answer is lost, the ops
 * show whether it took effect; without ops the partitions are handled one by one.
 *
 * @returns The number of ops.
 */
async function allOps(
  context: StepContext,
  ids: readonly PartitionId[],
  request: () => Promise<void>,
): Promise<number> {
  await Promise.all(ids.map((id) => opsEnded(context, id)));
  const after = newestOf(await context.ops.next());
  try {
    await request();
  } catch (thrown) {
    if (!mayHaveWorked(thrown)) throw thrown;
  }
  await appear(context, ids, after);
  const ended = await Promise.all(ids.map((id) => opsEnded(context, id, after)));
  return ended.flat().length;
}

/**
 * Observes again, handles the remaining partitions one by one, and reports the result. A failure in one partition
 * never stops another.
 */
async function finishEach(
  context: StepContext,
  endpoint: Endpoint,
  detail: string,
  how: {
    readonly isLeft: (view: PartitionView) => boolean;
    readonly finish: (view: PartitionView) => Promise<StepOutcome>;
  },
): Promise<StepOutcome> {
  const left = viewsAt(await context.observe(), endpoint).filter(how.isLeft);
  if (left.length === 0) return { result: "done", detail };
  const limit = pLimit(AGAIN_AT_ONCE);
  const lines = await Promise.all(
    left.map((view) =>
      limit(async () => {
        const outcome = await outcomeOf(context, () => how.finish(view));
        if (isSuccess(outcome.result)) return [];
        return [`${partitionName(view.id)}: ${detailOf(outcome)}`];
      }),
    ),
  );
  const bad = lines.flat();
  const again = `${detail}, ${left.length} partitions again one by one`;
  if (bad.length === 0) return { result: "done", detail: again };
  const more = bad.length > NAMED_MAX ? `; and ${bad.length - NAMED_MAX} more` : "";
  return { result: "failed", detail: `${again}: ${bad.slice(0, NAMED_MAX).join("; ")}${more}` };
}
