import pLimit, { type LimitFunction } from "p-limit";
import { diagnose } from "../diagnosis/diagnose.js";
import { messageOf } from "../errors.js";
import type { Endpoint, Op } from "../model/cluster-state.js";
import { opsOfPartition } from "../model/ops-of-partition.js";
import type { StepOutcome } from "../model/outcome.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Lane, Step } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { observePartition, problemsNow, type StepContext } from "./step-context.js";
import { mayHaveWorked, outcomeOf } from "./step-preconditions.js";
import { newestOf, opsEnded, waitForSync } from "./waits.js";

/** The first pause before an op is tried again; it doubles each time. */
const BACKOFF_MS = 1_000;
/** How long an op that RecoverTable promised may take to show up in the nameserver's list. */
const OP_APPEARS_MS = 5_000;

/**
 * Recovers one follower through the nameserver: RecoverTable, then its op and child ops to their
 * end, then the replica itself, since an op can fail silently (code 0 and no op at all).
 *
 * The real nameserver fails such ops now and then under load and does them when asked again, so a
 * failed one is tried again up to `opRetries` times.
 */
export async function recoverFollower(
  context: StepContext,
  lane: Pick<Lane, "id">,
  step: Step,
): Promise<StepOutcome> {
  const { cluster, limits, signal } = context;
  const endpoint = step.endpoint ?? "";
  let why = "";
  for (let attempt = 0; attempt <= limits.opRetries; attempt += 1) {
    if (attempt > 0) await cluster.clock.sleep(BACKOFF_MS * 2 ** (attempt - 1), signal);
    signal.throwIfAborted();
    const ready = await prepare(context, lane, step, attempt);
    if (ready !== undefined) return ready;
    const round = await recoverOnce(context, lane, endpoint);
    if (round.result !== "failed") return round;
    why = round.detail;
  }
  const times = limits.opRetries + 1;
  return { result: "failed", detail: `RecoverTable failed ${times} times; the last time: ${why}` };
}

/**
 * Recovers followers of one partition: each with others of its tablet where the desk finds that it is
 * the same, and those that are left by themselves, one after another, since a partition must never
 * have two ops that run side by side.
 *
 * @param place Holds the place in which a follower is recovered by itself.
 * @returns Does one of the steps.
 */
export function recoverFollowers(
  context: StepContext,
  lane: Pick<Lane, "id">,
  steps: readonly Step[],
  place: LimitFunction,
): (step: Step) => Promise<StepOutcome> {
  const one = pLimit(1);
  const together = new Map<Step, Promise<StepOutcome | undefined>>();
  let allThrough: Promise<unknown> | undefined;
  const begin = () => {
    for (const each of steps) {
      together.set(
        each,
        outcomeOf(context, () => recoverTogether(context, lane, each)),
      );
    }
    return Promise.allSettled(together.values());
  };
  return async (step) => {
    allThrough ??= begin();
    const outcome = await together.get(step);
    if (outcome !== undefined) return outcome;
    await allThrough;
    return one(() => place(() => outcomeOf(context, () => recoverFollower(context, lane, step))));
  };
}

/**
 * Recovers one follower with others of its tablet.
 *
 * @returns Undefined if that was not possible, or did not recover it.
 */
async function recoverTogether(
  context: StepContext,
  lane: Pick<Lane, "id">,
  step: Step,
): Promise<StepOutcome | undefined> {
  const { desk } = context;
  if (desk === undefined) return undefined;
  const { id } = lane;
  const endpoint = step.endpoint ?? "";
  const ready = await prepare(context, lane, step, 0);
  if (ready !== undefined) return ready;
  return desk.recover({
    id,
    endpoint,
    async mayBeAsked() {
      const view = await observePartition(context, id);
      const replica = view?.replicas.find((one) => one.endpoint === endpoint);
      if (view === undefined || replica === undefined) return false;
      const problems = diagnose(view).filter((one) => one.endpoint === endpoint);
      return refusalNow(view, replica, problems, step) === undefined;
    },
    async follow(after) {
      const outcome = await followOps(context, lane, endpoint, after);
      return outcome.result === "failed" ? undefined : outcome;
    },
  });
}

/** Sees to it that RecoverTable may be asked for, see {@link lookBefore}. */
async function prepare(
  context: StepContext,
  lane: Pick<Lane, "id">,
  step: Step,
  attempt: number,
): Promise<StepOutcome | undefined> {
  await opsEnded(context, lane.id, -1n);
  const ready = await lookBefore(context, lane, step, attempt);
  if (ready === undefined) await unlistExLeader(context, lane, step.endpoint ?? "");
  return ready;
}

/**
 * Looks at the replica right before RecoverTable, and marks it dead if it is not: RecoverTable
 * takes no replica that is marked alive (code 311).
 *
 * @returns How the step ends without RecoverTable; undefined if it is to be asked for.
 */
async function lookBefore(
  context: StepContext,
  lane: Pick<Lane, "id">,
  step: Step,
  attempt: number,
): Promise<StepOutcome | undefined> {
  const endpoint = step.endpoint ?? "";
  const view = await observePartition(context, lane.id);
  const replica = view?.replicas.find((one) => one.endpoint === endpoint);
  if (view === undefined || replica === undefined) {
    return { result: "stale", detail: "the replica is gone" };
  }
  const problems = diagnose(view).filter((one) => one.endpoint === endpoint);
  const isWanted = step.why === "forced" && attempt === 0;
  if (problems.length === 0 && !isWanted) {
    return attempt === 0 ? { result: "already-done" } : { result: "done", detail: "" };
  }
  const refusal = refusalNow(view, replica, problems, step);
  if (refusal !== undefined) return { result: "stale", detail: refusal };
  const isForced = step.isForced === true && attempt === 0;
  if (!isForced && !isWanted && problems.every((one) => one.code === "behind")) {
    return waitForSync(context, lane.id, endpoint);
  }
  if (replica.claim.isAlive)
    await context.cluster.updateTableAlive({ ...lane.id, endpoint }, false);
  return undefined;
}

/**
 * Why RecoverTable must not be asked for now: it deletes what an unloaded replica holds before
 * anything is compared, so the leader must lead, and hold at least as much, at that moment.
 */
function refusalNow(
  view: PartitionView,
  replica: ReplicaView,
  problems: readonly Problem[],
  step: Step,
): string | undefined {
  // A single replica is loaded from its own disk: there is nothing that it could be compared with.
  if (view.replicas.length === 1) return undefined;
  const leader = servingLeader(view);
  if (leader === undefined) return "nobody leads the partition now";
  if (leader === replica) return "it leads the partition now";
  const ahead = problems.find((one) => one.code === "ahead");
  return ahead === undefined || step.why === "ahead" ? undefined : ahead.text;
}

/**
 * RecoverTable takes a follower out of the leader's replication list first, but not a replica that
 * is flagged leader: one that is fed already would fail its op at kAddReplica for ever.
 */
async function unlistExLeader(
  context: StepContext,
  lane: Pick<Lane, "id">,
  endpoint: Endpoint,
): Promise<void> {
  const view = await observePartition(context, lane.id);
  const replica = view?.replicas.find((one) => one.endpoint === endpoint);
  const leader = view && servingLeader(view);
  if (replica?.claim.isLeader !== true || leader === undefined || leader === replica) return;
  if (leader.followers?.followers.has(endpoint) !== true) return;
  await context.cluster.delReplica(leader.endpoint, lane.id, endpoint);
}

/** One RecoverTable and all that follows from it. */
async function recoverOnce(
  context: StepContext,
  lane: Pick<Lane, "id">,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const after = newestOf(await context.ops.now());
  try {
    await context.cluster.recoverTable(lane.id, endpoint);
  } catch (thrown) {
    // A lost answer may have had its effect: the op, if there is one, is followed all the same.
    if (!mayHaveWorked(thrown)) throw thrown;
    const late = await appearedOps(context, lane, after);
    if (late.length === 0) return { result: "failed", detail: messageOf(thrown) };
  }
  return followOps(context, lane, endpoint, after);
}

/** Follows the ops above `after` to their end, and looks at the replica. */
async function followOps(
  context: StepContext,
  lane: Pick<Lane, "id">,
  endpoint: Endpoint,
  after: bigint,
): Promise<StepOutcome> {
  if ((await appearedOps(context, lane, after)).length === 0) {
    return { result: "failed", detail: "the nameserver accepted it and queued no op" };
  }
  const ops = await opsEnded(context, lane.id, after);
  const problems = await problemsNow(context, lane.id, endpoint);
  if (problems === undefined) return { result: "stale", detail: "the replica is gone" };
  if (problems.length === 0) return { result: "done", detail: describeOps(ops) };
  if (problems.every((one) => one.code === "behind")) {
    return waitForSync(context, lane.id, endpoint);
  }
  const bad = ops.find((op) => op.status !== "done");
  const text = problems.map((one) => one.text).join(", ");
  return {
    result: "failed",
    detail: bad === undefined ? text : `op ${bad.id} (${bad.type}) failed at ${bad.task}: ${text}`,
  };
}

/** The partition's ops above `after`, as soon as there is one; empty if none shows up in time. */
async function appearedOps(
  context: StepContext,
  lane: Pick<Lane, "id">,
  after: bigint,
): Promise<readonly Op[]> {
  const { clock } = context.cluster;
  const deadline = clock.now() + OP_APPEARS_MS;
  let all = await context.ops.now();
  for (;;) {
    context.signal.throwIfAborted();
    const own = opsOfPartition(all, lane.id).filter((op) => op.id > after);
    if (own.length > 0 || clock.now() > deadline) return own;
    all = await context.ops.next();
  }
}

function describeOps(ops: readonly Op[]): string {
  return ops.map((op) => `${op.type} ${op.id}`).join(", ");
}
