import { OpsError } from "../errors.js";
import { type Endpoint, type ReplicaReport, replicaKey } from "../model/cluster-state.js";
import { durationText } from "../model/duration.js";
import { isLoading } from "../policy/what-it-holds.js";
import type { ReplicaId, StepContext } from "./step-context.js";

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
  { id, endpoint }: ReplicaId,
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
      return settled(context, { id, endpoint }, { report, least });
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
  { id, endpoint }: ReplicaId,
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
  { id, endpoint }: ReplicaId,
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
