import { rowsMissing } from "../diagnosis/diagnose.js";
import { messageOf, OpsError } from "../errors.js";
import type {
  Endpoint,
  PartitionId,
  ReplicaReport,
  Role,
  StorageMode,
  TermStart,
} from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import { type PartitionView, replicaAt } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import { leastOffsetToLead } from "../policy/check-leader-change.js";
import { hidesOldRecord } from "../policy/old-record.js";
import { most, servingLeader } from "../policy/what-it-holds.js";
import { exLeaders } from "../policy/what-may-be-overwritten.js";
import { checkBeforeAction } from "./check-before-action.js";
import { refusalIn, serves } from "./expectations.js";
import { leads, makeLeader, unlist } from "./role.js";
import { observePartition, type StepContext, type Task } from "./step-context.js";
import { ALREADY, failed, failedBy, reportNow, stale } from "./step-preconditions.js";
import { listedOrLoadable, loaded, opsEnded } from "./waits.js";

/**
 * "create table failed": the tablet has no directory of the replica in that storage mode, so its disk
 * has no data of it (OpenMLDB 0.9 tablet, memory tables).
 */
const CREATE_TABLE_FAILED = 131;
/** The greatest age of the record by which a replica is loaded as follower, which does no harm. */
const RECORD_AGE_MS = 1_000;

/** Waits for a load that another client started. */
export async function waitForLoad(
  context: StepContext,
  { step: { id, endpoint } }: Task<"wait-load">,
): Promise<StepOutcome> {
  const report = await loaded(context, id, endpoint);
  return typeof report === "string"
    ? stale("the load that was running failed")
    : { result: "done", detail: `${report.recordCount} rows` };
}

/**
 * Loads a replica as follower with an empty replication list, which shows its offset. Nothing is
 * written to it: no leader replicates to it, and clients do not use it.
 */
export function loadFollower(
  context: StepContext,
  task: Task<"load-follower">,
): Promise<StepOutcome> {
  const { lane, step } = task;
  const { endpoint } = step;
  return loadWithinLimit(context, lane, endpoint, async (snapshot) => {
    const found = await checkBeforeAction(context, task, RECORD_AGE_MS);
    if ("result" in found) return found;
    if (hidesOldRecord(lane, endpoint, snapshot)) {
      return stale("the snapshot on its disk has a term that the record lacks");
    }
    const obstacle = await unlistAtLeader(context, lane, endpoint);
    if (obstacle !== undefined) return stale(obstacle);
    const least = most([lane.lastSeen.get(endpoint) ?? 0n, snapshot?.offset ?? 0n]);
    const report = await loadFollowing(context, lane, endpoint, least);
    if ("result" in report) return report;
    return { result: "done", detail: `${report.recordCount} rows, offset ${report.offset}` };
  });
}

/** Loads a replica as follower. "Loaded already" (101) counts as done, except in another role, by another client. */
async function loadFollowing(
  context: StepContext,
  of: Loadable,
  endpoint: Endpoint,
  least: bigint,
  before?: ReplicaReport,
): Promise<ReplicaReport | StepOutcome> {
  const report = await load(context, of, endpoint, { role: "follower", term: 0n, least }, before);
  if ("result" in report || report.role === "follower") return report;
  return stale(`another client loaded it as ${report.role ?? "an unknown role"} meanwhile`);
}

/**
 * Loads the future leader. The request must name the role: a replica that was created as follower and
 * became leader later keeps "follower" on its disk and would be loaded as one, with no leader to
 * replicate to it (OpenMLDB tablet: LoadTable merges the request with table_meta.txt).
 */
export function loadLeader(context: StepContext, task: Task<"load-leader">): Promise<StepOutcome> {
  const { lane, step } = task;
  const { endpoint } = step;
  return loadWithinLimit(context, lane, endpoint, async () => {
    const found = await checkBeforeAction(context, task);
    if ("result" in found) return found;
    const { term } = lane.newestTerm;
    const as = { role: "leader" as const, term, least: lane.leastOffset };
    const report = await load(context, lane, endpoint, as, found.report);
    if ("result" in report) return report;
    if (report.offset < lane.leastOffset) {
      return failed(rowsMissing(report.offset, lane.leastOffset));
    }
    if (report.role !== "leader") {
      // Loading takes a while: if another replica became leader meanwhile, it stays the only one.
      const again = await checkBeforeAction(context, task);
      return "result" in again ? again : makeLeader(context, task, []);
    }
    if (found.report !== undefined) return ALREADY;
    const seen = lane.lastSeen.get(endpoint) ?? 0n;
    const short = `; ${seen} was seen before, and no other replica has it`;
    const came = `${report.recordCount} rows, offset ${report.offset}`;
    return { result: "done", detail: report.offset < seen ? `${came}${short}` : came };
  });
}

/**
 * Loads a replica in the role that the operator chose and waits until it serves. A replica that is to
 * lead is loaded as follower first, and gets the leader's role only if it shows all known entries of
 * the partition. Until then no client writes to it, so a disk that lost rows does no harm.
 */
export async function loadTable(
  context: StepContext,
  task: Task<"load-table">,
): Promise<StepOutcome> {
  const { id, endpoint, role, least } = task.step;
  await opsEnded(context, id, -1n);
  return context.withLoadSlot(endpoint, async () => {
    const view = await observePartition(context, id);
    const replica = view && replicaAt(view, endpoint);
    if (view === undefined || replica === undefined) return stale("the replica is gone");
    if (serves(replica.report, role)) return ALREADY;
    if (role === "follower") return loadAsFollower(context, view, endpoint, least);
    const why = refusalIn(view, task.expects);
    if (why !== undefined) return stale(why);
    return loadToLead(context, task, view, most([leastOffsetToLead(view, replica), least]));
  });
}

/**
 * Loads a follower while no leader and no ex-leader replicates to it: a leader would continue at its
 * old position, whatever the follower's disk kept. If the leader replicated to it before, it does so
 * again afterwards, from the follower's own offset.
 */
async function loadAsFollower(
  context: StepContext,
  view: PartitionView,
  endpoint: Endpoint,
  least: bigint,
): Promise<StepOutcome> {
  const { cluster } = context;
  const leader = servingLeader(view);
  for (const one of exLeaders(view, leader)) {
    await unlist(context, view.id, one, endpoint);
  }
  const wasListed = await unlist(context, view.id, leader, endpoint);
  const before = replicaAt(view, endpoint)?.report;
  const report = await loadFollowing(context, view, endpoint, least, before);
  if ("result" in report) return report;
  const came = `${report.recordCount} rows, offset ${report.offset}`;
  const short = report.offset < least ? `; ${least} was known before` : "";
  if (leader === undefined || !wasListed) return { result: "done", detail: `${came}${short}` };
  const held = (await cluster.getTableFollower(leader.endpoint, view.id)).offset;
  if (report.offset > held) {
    return failed(
      `${came}, but its leader ${leader.endpoint} holds only ${held}, so it does not replicate to it`,
    );
  }
  await cluster.addReplica(leader.endpoint, view.id, endpoint);
  return { result: "done", detail: `${came}${short}, ${leader.endpoint} replicates to it again` };
}

async function loadToLead(
  context: StepContext,
  { step: { id, endpoint }, expects }: Task<"load-table">,
  view: PartitionView,
  least: bigint,
): Promise<StepOutcome> {
  const before = replicaAt(view, endpoint)?.report;
  const report = await loadFollowing(context, view, endpoint, least, before);
  if ("result" in report) return report;
  if (report.offset < least) {
    return failed(
      `it loaded at offset ${report.offset}, but ${least} was known: rows are missing on its disk; it was not promoted, and runs as follower without a leader`,
    );
  }
  const now = await observePartition(context, id);
  const why = now === undefined ? "the table is gone" : refusalIn(now, expects);
  if (why !== undefined) return stale(why);
  const term = now?.terms.at(-1)?.term ?? 0n;
  await context.cluster.changeRole(endpoint, { ...id, role: "leader", term, followers: [] });
  return leads(context, id, endpoint, (offset) => {
    return `${report.recordCount} rows, leads term ${term} from offset ${offset}`;
  });
}

/** The fields of the nameserver's record that LoadTable needs. */
interface Loadable {
  readonly id: PartitionId;
  readonly segCount: number;
  readonly storageMode: StorageMode;
}

/**
 * Loads a replica as follower, with an empty replication list, on a tablet that has no replica of the
 * partition on record.
 *
 * @returns Its report, or the end of the step.
 */
export async function loadUnrecorded(
  context: StepContext,
  of: Loadable,
  endpoint: Endpoint,
  how: { readonly least: bigint; readonly listedWithinMs?: number },
): Promise<ReplicaReport | StepOutcome> {
  const before = await reportNow(context, of.id, endpoint);
  const report = await load(context, of, endpoint, { role: "follower", term: 0n, ...how }, before);
  if ("result" in report || report.role === "follower") return report;
  return failed(`tablet ${endpoint} runs it as ${report.role ?? "an unknown role"}`);
}

/**
 * Loads a replica unless it is loaded, and waits.
 *
 * @returns The end of the step if it cannot be loaded.
 */
async function load(
  context: StepContext,
  { id, segCount, storageMode }: Loadable,
  endpoint: Endpoint,
  as: {
    readonly role: Role;
    readonly term: bigint;
    readonly least: bigint;
    readonly listedWithinMs?: number;
  },
  before?: ReplicaReport,
): Promise<ReplicaReport | StepOutcome> {
  const { role, term, ...waited } = as;
  const mayBeUnlisted = storageMode !== "memory";
  const listed =
    before ?? (mayBeUnlisted ? await listedOrLoadable(context, id, endpoint) : undefined);
  if (listed === undefined) {
    try {
      const request = { ...id, segCount, storageMode, role, term, followers: [] };
      await context.cluster.loadTable(endpoint, request);
    } catch (thrown) {
      return loadRefused(thrown);
    }
  }
  const report = await loaded(context, id, endpoint, { ...waited, mayBeUnlisted });
  if (typeof report !== "string") return report;
  const detail = `tablet ${endpoint} could not load it (check its log; is the data still on its disk?)`;
  return { result: "failed", detail, isFinal: report === "never-listed" };
}

function loadRefused(thrown: unknown): StepOutcome {
  const isEmpty = thrown instanceof OpsError && thrown.responseCode === CREATE_TABLE_FAILED;
  if (isEmpty) return { ...failedBy(thrown), isEmpty };
  throw thrown;
}

/**
 * Removes a replica that is to be loaded from the replication list of the serving leader. The leader
 * would continue at its old position, whatever the replica's disk kept, and replicate to it while it
 * loads (OpenMLDB 0.9: replication keeps its position across the follower's restart).
 *
 * @returns Why the leader could not be called; undefined if the replica is not in its list now.
 */
async function unlistAtLeader(
  { cluster, signal }: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<string | undefined> {
  if (lane.leader === undefined || lane.leader === endpoint) return undefined;
  try {
    const list = await cluster.getTableFollower(lane.leader, lane.id);
    if (list.followers.has(endpoint)) await cluster.delReplica(lane.leader, lane.id, endpoint);
    return undefined;
  } catch (thrown) {
    signal.throwIfAborted();
    return `its leader does not answer as leader: ${messageOf(thrown)}`;
  }
}

/**
 * Runs a load when its tablet's limit allows it, and reads the snapshot on the replica's disk right
 * before (GetTermPair): loading shows what is there, and hides what should have been there.
 *
 * @param work Receives the snapshot; undefined if the tablet does not report it or the replica is loaded.
 * @returns Its outcome, with that snapshot.
 */
function loadWithinLimit(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
  work: (snapshot: TermStart | undefined) => Promise<StepOutcome>,
): Promise<StepOutcome> {
  const mayQueue = lane.storageMode === "memory";
  const run = async (): Promise<StepOutcome> => {
    context.signal.throwIfAborted();
    const snapshot = await snapshotOf(context, lane, endpoint);
    try {
      const outcome = await work(snapshot);
      return snapshot === undefined ? outcome : { ...outcome, snapshot };
    } catch (thrown) {
      context.signal.throwIfAborted();
      return { ...failedBy(thrown), snapshot };
    }
  };
  return context.withLoadSlot(endpoint, run, mayQueue);
}

async function snapshotOf(
  { cluster, signal }: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<TermStart | undefined> {
  if (lane.storageMode === "unknown") return undefined;
  try {
    const of = { ...lane.id, storageMode: lane.storageMode };
    const { isLoaded, term, offset } = await cluster.getTermPair(endpoint, of);
    return isLoaded ? undefined : { term, offset };
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof OpsError)) throw thrown;
    // Without an answer the snapshot is unknown, and nothing depends on it.
    return undefined;
  }
}
