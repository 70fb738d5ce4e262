import pLimit, { type LimitFunction } from "p-limit";
import { problemsAt } from "../diagnosis/diagnose.js";
import { OpsError } from "../errors.js";
import type { Endpoint } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import { type PartitionView, replicaAt } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { type FollowedOps, followNewer, followOp, retried, type Try } from "./ops.js";
import { opsEnded } from "./ops-ended.js";
import { ALREADY, DONE, outcomeOf } from "./outcomes.js";
import { waitForSync } from "./replicate.js";
import { demoteRunningExLeaders, unlist } from "./role.js";
import type { ReplicaId, StepContext, Task } from "./step-context.js";
import { assertHolds, observePartition, replicaNow } from "./step-preconditions.js";

/**
 * Child ops of RecoverTable that keep the replica's own log (OpenMLDB 0.9 nameserver:
 * RecoverEndpointTable).
 */
const KEEPS_LOG: ReadonlySet<string> = new Set([
  "kReAddReplicaSimplifyOP",
  "kReAddReplicaNoSendOP",
]);

/**
 * Recovers one follower through the nameserver: RecoverTable, then its op and child ops to their end,
 * then the replica itself, since an op can fail silently (code 0 and no op at all).
 *
 * Under load the nameserver fails such ops now and then, and a second request succeeds, so a failed op is requested
 * again up to `opRetries` times.
 */
export function recoverTable(
  context: StepContext,
  task: Task<"recover-table">,
): Promise<StepOutcome> {
  const { id, endpoint } = task.step;
  const once = async (before: number) => {
    const ended = await prepare(context, task, before);
    if (ended !== undefined) return ended;
    const request = () => context.cluster.recoverTable(id, endpoint);
    return effectOf(context, task.step, await followOp(context, id, request));
  };
  return retried(context, id, once, "RecoverTable");
}

/**
 * Recovers followers of one partition: together with others of their tablet if the endpoint batch finds
 * that equivalent, the remaining ones by themselves, one after another, since a partition must never
 * have two concurrent ops.
 *
 * @param limit Counts a follower that is recovered by itself.
 * @returns Runs one of the steps.
 */
export function recoverFollowers(
  context: StepContext,
  tasks: readonly Task<"recover-table">[],
  limit: LimitFunction,
): (task: Task<"recover-table">) => Promise<StepOutcome> {
  const one = pLimit(1);
  const together = new Map<object, Promise<StepOutcome | undefined>>();
  let allEnded: Promise<unknown> | undefined;
  const begin = () => {
    for (const each of tasks) {
      together.set(
        each.step,
        outcomeOf(context, () => recoverTogether(context, each)),
      );
    }
    return Promise.allSettled(together.values());
  };
  return async (task) => {
    allEnded ??= begin();
    const outcome = await together.get(task.step);
    if (outcome !== undefined) return outcome;
    await allEnded;
    return one(() => limit(() => outcomeOf(context, () => recoverTable(context, task))));
  };
}

/**
 * Recovers one follower with others of its tablet.
 *
 * @returns Undefined if that was not possible, or did not recover it.
 */
async function recoverTogether(
  context: StepContext,
  task: Task<"recover-table">,
): Promise<StepOutcome | undefined> {
  const { endpointBatch } = context;
  if (endpointBatch === undefined) return undefined;
  const { id, endpoint } = task.step;
  await opsEnded(context, id);
  const ended = await prepare(context, task, 0);
  if (ended !== undefined) return ended;
  return endpointBatch.recover({
    id,
    endpoint,
    async checkAgain() {
      const { view } = await replicaNow(context, task.step);
      assertHolds(view, task.expects);
      await demoteRunningExLeaders(context, view, endpoint);
    },
    async follow(after) {
      const followed = await followNewer(context, id, after);
      const outcome = await effectOf(context, task.step, followed);
      return "again" in outcome || outcome.result === "failed" ? undefined : outcome;
    },
  });
}

/**
 * Checks the replica right before RecoverTable and prepares it: demotes ex-leaders, marks the replica
 * dead, since RecoverTable refuses one that is marked alive (code 311), and removes it from its
 * leader's list if RecoverTable does not.
 *
 * @param before The number of earlier attempts.
 * @returns The end of the step without RecoverTable; undefined if it is to be requested.
 */
async function prepare(
  context: StepContext,
  { step, expects }: Task<"recover-table">,
  before: number,
): Promise<StepOutcome | undefined> {
  const { id, endpoint } = step;
  const isFirst = before === 0;
  const { view, replica } = await replicaNow(context, step);
  const problems = problemsAt(view, endpoint);
  const isWanted = step.isWanted === true && isFirst;
  if (problems.length === 0 && !isWanted) return isFirst ? ALREADY : DONE;
  assertObserved(endpoint, problems);
  assertHolds(view, expects);
  const mayCatchUp = !(step.isForced === true && isFirst) && !isWanted;
  if (mayCatchUp && problems.every((one) => one.code === "behind")) {
    return waitForSync(context, { id, endpoint });
  }
  await demoteRunningExLeaders(context, view, endpoint);
  if (replica.claim.isAlive) await context.cluster.updateTableAlive({ ...id, endpoint }, false);
  await unlistExLeader(context, { id, endpoint });
  return undefined;
}

/**
 * Ends the step if the only problem is that the replica's leader, or its own tablet, cannot be read
 * now: the replica may be healthy.
 *
 * @throws OpsError `unreachable` (retryable).
 */
function assertObserved(endpoint: Endpoint, problems: readonly Problem[]): void {
  const [first] = problems;
  const isUnread = problems.every(
    ({ code }) => code === "link-unknown" || code === "tablet-silent",
  );
  if (first === undefined || !isUnread) return;
  throw new OpsError({ code: "unreachable", message: first.text, retryable: true, endpoint });
}

/**
 * Removes a replica that is flagged leader from the leader's replication list. RecoverTable does this
 * for followers only, and with a listed replica its op would always fail at kAddReplica.
 */
async function unlistExLeader(context: StepContext, { id, endpoint }: ReplicaId): Promise<void> {
  const view = await observePartition(context, id);
  const replica = view && replicaAt(view, endpoint);
  const leader = view && servingLeader(view);
  if (replica?.claim.isLeader !== true || leader === undefined || leader === replica) return;
  await unlist(context, id, leader, endpoint);
}

/**
 * Removes a replica from its leader's list and marks it not alive, so that it does not count as in
 * sync.
 */
async function takeOut(
  { cluster }: StepContext,
  view: PartitionView,
  endpoint: Endpoint,
): Promise<void> {
  const leader = servingLeader(view);
  if (leader !== undefined) await cluster.delReplica(leader.endpoint, view.id, endpoint);
  await cluster.updateTableAlive({ ...view.id, endpoint }, false);
}

/** Observes the replica once the ops have ended: its state counts, whatever the ops' status. */
async function effectOf(
  context: StepContext,
  { id, endpoint, isCopy }: Step<"recover-table">,
  followed: FollowedOps,
): Promise<Try> {
  if ("failed" in followed) return { again: followed.failed };
  const { ops } = followed;
  const { view } = await replicaNow(context, { id, endpoint });
  const problems = problemsAt(view, endpoint);
  // RecoverTable compares by the history on record (OpenMLDB 0.9 nameserver: MatchTermOffset), which lacks terms here.
  const keeper = isCopy === true ? ops.find((op) => KEEPS_LOG.has(op.type)) : undefined;
  if (keeper !== undefined) {
    await takeOut(context, view, endpoint);
    const detail = `${keeper.type} ${keeper.id} kept the log of ${endpoint}, and nothing proves that it is a prefix of the leader's: restart tablet ${endpoint}, then run again`;
    return { result: "failed", detail };
  }
  if (problems.length === 0) {
    return { result: "done", detail: ops.map((op) => `${op.type} ${op.id}`).join(", ") };
  }
  if (problems.every((one) => one.code === "behind")) {
    const outcome = await waitForSync(context, { id, endpoint });
    return outcome.result === "failed" ? { again: outcome.detail } : outcome;
  }
  const bad = ops.find((op) => op.status !== "done");
  const text = problems.map((one) => one.text).join(", ");
  const of = bad && `op ${bad.id} (${bad.type}) failed at ${bad.task}: `;
  // RecoverTable takes such a log for a prefix of the history and keeps it (OpenMLDB 0.9: kReAddReplicaSimplifyOP).
  const isKept =
    bad === undefined &&
    problems.some((one) => one.code === "ahead") &&
    ops.some((op) => op.type === "kReAddReplicaSimplifyOP");
  const way = isKept
    ? `; RecoverTable kept its log: restart tablet ${endpoint}, then run again`
    : "";
  return { again: `${of ?? ""}${text}${way}` };
}
