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
import { activityOf, opsOfPartition, taskLimitMs } from "../model/ops.js";
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

/** Limit in milliseconds for a replica that is "normal" to show its offset. */
const OFFSET_APPEARS_MS = 2_000;
/** Limit in milliseconds for a tablet that lists no other load to list a disk table after LoadTable. */
const LISTED_WITHIN_MS = 10_000;
/** Accepted age in milliseconds of the list of a tablet's replicas before a load is requested. */
const STATUS_AGE_MS = 1_000;

/**
 * Waits until the replica serves. A load that makes progress is never ended. A load that the tablet
 * works on makes progress when its offset or record count grows; one that is queued there (state
 * undefined), as long as anything changes on that tablet. A tablet that is too busy to answer is called
 * again.
 *
 * @param expected `least`: the least offset that the replica is expected to show. `mayBeUnlisted`: whether the
 *   tablet lists the replica only when a thread takes its load (OpenMLDB 0.9 tablet: LoadTable of a disk
 *   table). `listedWithinMs`: how long a tablet without other loads may take to list it.
 * @returns The report; `vanished` if the replica is not listed any more, which is how a tablet shows that a load
 *   failed; `never-listed` if it did not appear within `listedWithinMs` although no other load was listed.
 * @throws OpsError `deadline` if nothing changes for `stallTimeoutMs`; other errors of the call to the
 *   tablet, except a late answer.
 */
export async function loaded(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
  { least = 0n, mayBeUnlisted = false, listedWithinMs = LISTED_WITHIN_MS } = {},
): Promise<ReplicaReport | "vanished" | "never-listed"> {
  const { clock } = context.cluster;
  const status = context.statusOf(endpoint);
  const { stallTimeoutMs } = context.limits;
  let progressAt = clock.now();
  /** Since when the tablet has had a free thread for a replica that it does not list. */
  let freeSince = progressAt;
  let last: ReplicaReport | undefined;
  for (;;) {
    context.signal.throwIfAborted();
    const reports = await unlessLate(status.next());
    const report = reports?.get(replicaKey(id));
    if (report !== undefined && !isLoading(report)) {
      return settled(context, id, endpoint, { report, least });
    }
    const isUnlisted = reports !== undefined && report === undefined;
    if (isUnlisted && (last !== undefined || !mayBeUnlisted)) return "vanished";
    if (mayBeQueued(report, reports)) {
      freeSince = clock.now();
      progressAt = Math.max(progressAt, status.movedAt());
    }
    if (isChanged(report, last)) progressAt = clock.now();
    last = report ?? last;
    if (isUnlisted && clock.now() - freeSince > listedWithinMs) return "never-listed";
    if (clock.now() - progressAt > stallTimeoutMs) throw stalled(endpoint, last, stallTimeoutMs);
  }
}

/** True if a replica may wait for a thread of its tablet: it makes progress with the loads that occupy the threads. */
function mayBeQueued(
  report: ReplicaReport | undefined,
  reports: ReadonlyMap<string, ReplicaReport> | undefined,
): boolean {
  if (report !== undefined) return report.state === "undefined";
  return reports !== undefined && loadCount(reports) > 0;
}

function stalled(endpoint: Endpoint, last: ReplicaReport | undefined, ms: number): OpsError {
  return new OpsError({
    code: "deadline",
    message: `loading has made no progress beyond ${last?.recordCount ?? 0n} rows for ${durationText(ms)}`,
    hint: `check the log of tablet ${endpoint}, or allow more time with --stall_timeout`,
  });
}

/** True if a load has shown progress since the last answer; an answer without the replica shows none. */
function isChanged(now: ReplicaReport | undefined, last: ReplicaReport | undefined): boolean {
  return (
    now !== undefined &&
    (now.state !== last?.state ||
      now.offset !== last.offset ||
      now.recordCount !== last.recordCount)
  );
}

/** An answer; undefined if it did not come in time. */
async function unlessLate<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
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
  seen: { readonly report: ReplicaReport; readonly least: bigint },
): Promise<ReplicaReport | "vanished"> {
  const { clock } = context.cluster;
  const deadline = clock.now() + OFFSET_APPEARS_MS;
  let report: ReplicaReport | undefined = seen.report;
  while (report !== undefined && report.offset < seen.least && clock.now() < deadline) {
    context.signal.throwIfAborted();
    report = (await context.statusOf(endpoint).next()).get(replicaKey(id));
  }
  return report ?? "vanished";
}

/**
 * Waits until a tablet lists fewer loads than the limit of a run, or the replica itself. A second LoadTable of a
 * disk table that another client has queued there would move the data of the first one away (OpenMLDB 0.9 tablet:
 * LoadDiskTableInternal), and the tablet does not list what is queued.
 *
 * @returns The replica's report if the tablet lists it; undefined if it can be loaded now.
 * @throws OpsError `deadline` if nothing changes on the tablet for `stallTimeoutMs`; other errors of the call.
 */
export async function listedOrLoadable(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
): Promise<ReplicaReport | undefined> {
  const { clock } = context.cluster;
  const { stallTimeoutMs, loadsPerTablet } = context.limits;
  const status = context.statusOf(endpoint);
  const began = clock.now();
  let reports = await status.lately(STATUS_AGE_MS);
  for (;;) {
    context.signal.throwIfAborted();
    const report = reports.get(replicaKey(id));
    const count = loadCount(reports);
    if (report !== undefined || count < loadsPerTablet) return report;
    if (clock.now() - Math.max(began, status.movedAt()) > stallTimeoutMs) {
      throw new OpsError({
        code: "deadline",
        message: `tablet ${endpoint} loads ${count} other replicas, and none made progress for ${durationText(stallTimeoutMs)}`,
        hint: `check the log of tablet ${endpoint}, or allow more time with --stall_timeout`,
      });
    }
    reports = (await unlessLate(status.next())) ?? reports;
  }
}

function loadCount(reports: ReadonlyMap<string, ReplicaReport>): number {
  return [...reports.values()].filter(isLoading).length;
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
