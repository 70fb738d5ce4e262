import { problemsAt } from "../diagnosis/diagnose.js";
import { OpsError } from "../errors.js";
import {
  type Endpoint,
  isOpActive,
  type Op,
  type PartitionId,
  type ReplicaReport,
  replicaKey,
} from "../model/cluster-state.js";
import { durationText } from "../model/duration.js";
import { taskLimitMs } from "../model/op-standstill.js";
import { activityOf, opsOfPartition } from "../model/ops-of-partition.js";
import type { StepOutcome } from "../model/outcome.js";
import { isLoading, servingLeader } from "../policy/what-it-holds.js";
import { opsBlocked } from "./blocked-ops.js";
import { observePartition, type StepContext } from "./step-context.js";
import { failed, stale } from "./step-preconditions.js";

/**
 * A follower that its leader replicates to moves within milliseconds. Without progress for this long it
 * does not catch up.
 */
const SYNC_STALL_MS = 20_000;
const SYNC_POLL_MS = 250;

/**
 * Waits until no op of the partition with an id above `after` is queued or running; see
 * {@link untilEnded}.
 *
 * @returns The ops above `after`, all ended.
 */
export function opsEnded(
  context: StepContext,
  id: PartitionId,
  after: bigint,
): Promise<readonly Op[]> {
  return untilEnded(context, (all) => opsOfPartition(all, id).filter((op) => op.id > after));
}

/** Waits until no op of the nameserver is queued or running; see {@link untilEnded}. */
export async function allOpsEnded(context: StepContext): Promise<void> {
  await untilEnded(context, (all) => all.filter(isOpActive));
}

/**
 * Waits until some ops have ended.
 *
 * A running op has `opTimeoutMs` to reach its next task, or less, see {@link taskLimitMs}. A queued op waits as long as anything changes
 * at the nameserver, since a queue runs one op at a time. An op without progress for longer, or one
 * that is known to be blocked, is cancelled if the operator requested it (`--cancel_stuck`): cancelled
 * ops stay in their queue and do nothing more there.
 *
 * @param meant Selects them from all ops.
 * @returns Those ops, all ended.
 * @throws OpsError `deadline` if nothing changes for `opTimeoutMs`, or see {@link opsBlocked}.
 */
async function untilEnded(
  context: StepContext,
  meant: (all: readonly Op[]) => readonly Op[],
): Promise<readonly Op[]> {
  const { clock } = context.cluster;
  const { opTimeoutMs, cancelStuck } = context.limits;
  const cancelled = new Set<bigint>();
  let progressAt = clock.now();
  let last = "";
  let all = await context.ops.now();
  for (;;) {
    context.signal.throwIfAborted();
    const own = meant(all);
    const active = own.filter(isOpActive);
    const first = active[0];
    if (first === undefined) return own;
    const isRunning = active.some((op) => op.status === "doing");
    const now = isRunning ? activityOf(active) : activityOf(all);
    if (now !== last) progressAt = clock.now();
    last = now;
    const stillMs = clock.now() - progressAt;
    const stuck =
      stillMs > taskLimitMs(first, opTimeoutMs)
        ? { ops: [first], why: standstill(first, opTimeoutMs) }
        : await blocked(context, active, stillMs);
    if (stuck !== undefined) {
      if (!cancelStuck || stuck.ops.some((op) => cancelled.has(op.id))) throw stuck.why;
      await context.engageGuard();
      for (const op of stuck.ops) {
        cancelled.add(op.id);
        await context.cluster.cancelOp(op.id);
      }
      progressAt = clock.now();
    }
    all = await context.ops.next();
  }
}

async function blocked(context: StepContext, ops: readonly Op[], stillMs: number) {
  const why = await opsBlocked(context, ops, stillMs);
  return why && { ops, why };
}

function standstill(op: Op, opTimeoutMs: number): OpsError {
  const limitMs = taskLimitMs(op, opTimeoutMs);
  const longer = limitMs < opTimeoutMs ? "" : ", or with a longer --op_timeout";
  return new OpsError({
    code: "deadline",
    message: `op ${op.id} (${op.type}) has made no progress in task ${op.task} for ${durationText(limitMs)}`,
    hint: `inspect shows the command that cancels op ${op.id}; or run again with --cancel_stuck${longer}`,
  });
}

/** How long a replica that is "normal" may take to show its offset. */
const OFFSET_APPEARS_MS = 2_000;

/**
 * Waits until the replica serves. A load that makes progress is never ended. A load that the tablet
 * works on makes progress when its offset or record count grows; one that is queued there (state
 * undefined), as long as anything changes on that tablet. A tablet that is too busy to answer is asked
 * again.
 *
 * @param leastOffset The least offset that the replica is expected to show.
 * @returns The report; undefined if the replica vanished, which is how a tablet shows that a load
 *   failed.
 * @throws OpsError `deadline` if nothing changes for `stallTimeoutMs`; other errors of the call to the
 *   tablet, except a late answer.
 */
export async function loaded(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
  leastOffset = 0n,
): Promise<ReplicaReport | undefined> {
  const { clock } = context.cluster;
  const status = context.statusOf(endpoint);
  const { stallTimeoutMs } = context.limits;
  let progressAt = clock.now();
  let last: ReplicaReport | undefined;
  let rows = 0n;
  for (;;) {
    context.signal.throwIfAborted();
    const reports = await unlessLate(status.next());
    if (reports !== undefined) {
      const report = reports.get(replicaKey(id));
      if (report === undefined) return undefined;
      if (!isLoading(report)) return settled(context, id, endpoint, { report, leastOffset });
      const isSame =
        report.state === last?.state &&
        report.offset === last.offset &&
        report.recordCount === last.recordCount;
      if (!isSame) progressAt = clock.now();
      else if (report.state === "undefined") progressAt = Math.max(progressAt, status.movedAt());
      last = report;
      rows = report.recordCount;
    }
    if (clock.now() - progressAt > stallTimeoutMs) {
      throw new OpsError({
        code: "deadline",
        message: `loading has made no progress beyond ${rows} rows for ${durationText(stallTimeoutMs)}`,
        hint: `check the log of tablet ${endpoint}, or allow more time with --stall_timeout`,
      });
    }
  }
}

/** An answer; undefined if it did not come in time. */
async function unlessLate<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (thrown) {
    if (thrown instanceof OpsError && thrown.code === "deadline") return undefined;
    throw thrown;
  }
}

/**
 * Waits for the true offset of a replica: a tablet reports "normal" shortly before it sets the loaded
 * offset (OpenMLDB 0.9 tablet, LoadTable), so an offset below the expected one is read again for a
 * while.
 */
async function settled(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
  seen: { readonly report: ReplicaReport; readonly leastOffset: bigint },
): Promise<ReplicaReport | undefined> {
  const { clock } = context.cluster;
  const deadline = clock.now() + OFFSET_APPEARS_MS;
  let report: ReplicaReport | undefined = seen.report;
  while (report !== undefined && report.offset < seen.leastOffset && clock.now() < deadline) {
    context.signal.throwIfAborted();
    report = (await context.statusOf(endpoint).next()).get(replicaKey(id));
  }
  return report;
}

/**
 * Waits until a follower that its leader replicates to holds what its leader held at the start.
 *
 * @returns `stale` if the follower has another problem than being behind: the next round decides.
 */
export async function waitForSync(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const { clock } = context.cluster;
  const began = clock.now();
  let progressAt = began;
  let last: readonly (bigint | undefined)[] = [];
  for (;;) {
    const view = await observePartition(context, id);
    const replica = view?.replicas.find((one) => one.endpoint === endpoint);
    if (view === undefined || replica === undefined) return stale("the replica is gone");
    const problems = problemsAt(view, endpoint);
    if (problems.length === 0)
      return { result: "done", detail: `in sync after ${durationText(clock.now() - began)}` };
    const behind = problems.find((one) => one.code === "behind");
    if (behind === undefined || problems.length > 1) {
      return stale(problems.map((one) => one.text).join(", "));
    }
    const listed = servingLeader(view)?.followers?.followers.get(endpoint);
    const now = [replica.report?.offset, listed];
    if (now.some((one, index) => one !== last[index])) progressAt = clock.now();
    last = now;
    if (clock.now() - progressAt > SYNC_STALL_MS) {
      return failed(`it does not catch up: ${behind.text}`);
    }
    await clock.sleep(SYNC_POLL_MS, context.signal);
  }
}
