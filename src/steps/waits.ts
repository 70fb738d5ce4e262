import { OpsError } from "../errors.js";
import {
  type Endpoint,
  isOpActive,
  type Op,
  type PartitionId,
  type ReplicaReport,
  replicaKey,
} from "../model/cluster-state.js";
import { activityOf, opsOfPartition } from "../model/ops-of-partition.js";
import type { StepOutcome } from "../model/outcome.js";
import { isLoading } from "../policy/what-it-holds.js";
import { problemsNow, type StepContext } from "./step-context.js";

/** A follower that is fed moves within milliseconds; one that stands still this long is not fed. */
const SYNC_STALL_MS = 20_000;
const SYNC_POLL_MS = 250;

/** Whether an op is one of this partition. */
export function isOpOf(op: Op, id: PartitionId): boolean {
  return op.db === id.db && op.table === id.table && op.pid === id.pid;
}

/** The id of the newest op; -1 if there is none. */
export function newestOf(ops: readonly Op[]): bigint {
  let newest = -1n;
  for (const op of ops) if (op.id > newest) newest = op.id;
  return newest;
}

/**
 * Waits until no op of the partition with an id above `after` is queued or running.
 *
 * An op that runs has `opTimeoutMs` to reach its next task; one that is queued waits as long as
 * anything moves at the nameserver, since a queue runs one op at a time.
 *
 * @returns The ops above `after`, all ended.
 * @throws OpsError `deadline` if nothing moves for `opTimeoutMs`.
 */
export async function opsEnded(
  context: StepContext,
  id: PartitionId,
  after: bigint,
): Promise<readonly Op[]> {
  const { clock } = context.cluster;
  const cancelled = new Set<bigint>();
  let progressAt = clock.now();
  let last = "";
  let all = await context.ops.now();
  for (;;) {
    context.signal.throwIfAborted();
    const own = opsOfPartition(all, id).filter((op) => op.id > after);
    const active = own.filter(isOpActive);
    const first = active[0];
    if (first === undefined) return own;
    const isRunning = active.some((op) => op.status === "doing");
    const now = isRunning ? activityOf(active) : activityOf(all);
    if (now !== last) progressAt = clock.now();
    last = now;
    if (clock.now() - progressAt > context.limits.opTimeoutMs) {
      if (context.limits.cancelStuck && !cancelled.has(first.id)) {
        cancelled.add(first.id);
        await context.engageGuard();
        await context.cluster.cancelOp(first.id);
        progressAt = clock.now();
        all = await context.ops.next();
        continue;
      }
      throw new OpsError({
        code: "deadline",
        message: `op ${first.id} (${first.type}) stands still in task ${first.task} for ${context.limits.opTimeoutMs / 1000} s`,
        hint: "have it cancelled with --cancel_stuck, or give it longer with --op_timeout",
      });
    }
    all = await context.ops.next();
  }
}

/** How long a replica that is "normal" may take to show its true offset. */
const OFFSET_APPEARS_MS = 2_000;

/**
 * Waits until the replica serves. A load that moves is never ended: one that the tablet works on
 * moves when its offset or record count grows; one that is queued there (state undefined) as long
 * as anything moves on that tablet. A tablet too busy to answer is asked again.
 *
 * @param leastOffset What the replica is expected to come up with, at least.
 * @returns The report, or undefined if the replica vanished: that is how a tablet tells that a
 *   load failed.
 * @throws OpsError `deadline` if nothing moves for `stallTimeoutMs`; what asking the tablet throws,
 *   if it is not that it did not answer in time.
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
  let last = "";
  let rows = 0n;
  for (;;) {
    context.signal.throwIfAborted();
    const reports = await unlessLate(status.next());
    if (reports !== undefined) {
      const report = reports.get(replicaKey(id));
      if (report === undefined) return undefined;
      if (!isLoading(report)) return settled(context, id, endpoint, { report, leastOffset });
      const now = `${report.state} ${report.offset} ${report.recordCount}`;
      if (now !== last) progressAt = clock.now();
      else if (report.state === "undefined") progressAt = Math.max(progressAt, status.movedAt());
      last = now;
      rows = report.recordCount;
    }
    if (clock.now() - progressAt > stallTimeoutMs) {
      throw new OpsError({
        code: "deadline",
        message: `loading stands still at ${rows} rows for ${stallTimeoutMs / 1000} s`,
        hint: `look into the log of tablet ${endpoint}, or give it longer with --stall_timeout`,
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
 * A tablet calls a replica normal an instant before it sets the offset that it loaded (OpenMLDB 0.9
 * tablet, LoadTable), so an offset below what was expected is looked at again for a while.
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
 * Waits until a follower that is fed has what its leader had when the wait began.
 *
 * @returns `stale` if it does not get there: the next round decides what to do about it.
 */
export async function waitForSync(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const { clock } = context.cluster;
  const began = clock.now();
  let progressAt = began;
  let last = "";
  for (;;) {
    const problems = await problemsNow(context, id, endpoint);
    if (problems === undefined) return { result: "stale", detail: "the replica is gone" };
    if (problems.length === 0)
      return { result: "done", detail: `in sync after ${clock.now() - began} ms` };
    const behind = problems.find((one) => one.code === "behind");
    if (behind === undefined || problems.length > 1) {
      return { result: "stale", detail: problems.map((one) => one.text).join(", ") };
    }
    if (behind.text !== last) progressAt = clock.now();
    last = behind.text;
    if (clock.now() - progressAt > SYNC_STALL_MS) {
      return { result: "failed", detail: `it does not catch up: ${behind.text}` };
    }
    await clock.sleep(SYNC_POLL_MS, context.signal);
  }
}
