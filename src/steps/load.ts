import { rowsMissing } from "../diagnosis/diagnose.js";
import { OpsError } from "../errors.js";
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
import { most, newestTerm, servingLeader } from "../policy/what-it-holds.js";
import { exLeaders } from "../policy/what-may-be-overwritten.js";
import { serves } from "./expectations.js";
import { opsEnded } from "./ops-ended.js";
import { ALREADY, endedBy, failed, failedBy, StepEnd, stale } from "./outcomes.js";
import { leads, makeLeader, unlist } from "./role.js";
import type { StepContext, Task } from "./step-context.js";
import {
  asLeader,
  assertHolds,
  checkBeforeAction,
  partitionNow,
  replicaNow,
  reportNow,
} from "./step-preconditions.js";
import { listedOrLoadable, loaded } from "./wait-for-load.js";

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
  const report = await loaded(context, { id, endpoint });
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
    await checkBeforeAction(context, task, RECORD_AGE_MS);
    if (hidesOldRecord(lane, endpoint, snapshot)) {
      return stale("the snapshot on its disk has a term that the record lacks");
    }
    await unlistAtLeader(context, lane, endpoint);
    const least = most([lane.lastSeen.get(endpoint) ?? 0n, snapshot?.offset ?? 0n]);
    const report = await loadFollowing(context, lane, endpoint, least);
    return { result: "done", detail: `${report.recordCount} rows, offset ${report.offset}` };
  });
}

/**
 * Loads a replica as follower. "Loaded already" (101) counts as done.
 *
 * @throws StepEnd if it cannot be loaded, or if another client loaded it in another role.
 */
async function loadFollowing(
  context: StepContext,
  of: Loadable,
  endpoint: Endpoint,
  least: bigint,
  before?: ReplicaReport,
): Promise<ReplicaReport> {
  const report = await load(context, of, endpoint, { role: "follower", term: 0n, least }, before);
  if (report.role === "follower") return report;
  const role = report.role ?? "an unknown role";
  throw new StepEnd(stale(`another client loaded it as ${role} meanwhile`));
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
    const { term } = lane.newestTerm;
    const as = { role: "leader" as const, term, least: lane.leastOffset };
    const report = await load(context, lane, endpoint, as, found.report);
    if (report.offset < lane.leastOffset) {
      return failed(rowsMissing(report.offset, lane.leastOffset));
    }
    if (report.role !== "leader") {
      // Loading takes a while: if another replica became leader meanwhile, it stays the only one.
      await checkBeforeAction(context, task);
      return makeLeader(context, task, []);
    }
    if (found.report !== undefined) return ALREADY;
    const seen = lane.lastSeen.get(endpoint) ?? 0n;
    const short = `; ${seen} was seen before, and no other replica has it`;
    const text = `${report.recordCount} rows, offset ${report.offset}`;
    return { result: "done", detail: report.offset < seen ? `${text}${short}` : text };
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
  await opsEnded(context, id);
  return context.withLoadSlot(endpoint, async () => {
    const { view, replica } = await replicaNow(context, task.step);
    if (serves(replica.report, role)) return ALREADY;
    if (role === "follower") return loadAsFollower(context, view, endpoint, least);
    assertHolds(view, task.expects);
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
  const text = `${report.recordCount} rows, offset ${report.offset}`;
  const short = report.offset < least ? `; ${least} was known before` : "";
  if (leader === undefined || !wasListed) return { result: "done", detail: `${text}${short}` };
  const held = (await cluster.getTableFollower(leader.endpoint, view.id)).offset;
  if (report.offset > held) {
    return failed(
      `${text}, but its leader ${leader.endpoint} holds only ${held}, so it does not replicate to it`,
    );
  }
  await cluster.addReplica(leader.endpoint, view.id, endpoint);
  return { result: "done", detail: `${text}${short}, ${leader.endpoint} replicates to it again` };
}

async function loadToLead(
  context: StepContext,
  { step: { id, endpoint }, expects }: Task<"load-table">,
  view: PartitionView,
  least: bigint,
): Promise<StepOutcome> {
  const before = replicaAt(view, endpoint)?.report;
  const report = await loadFollowing(context, view, endpoint, least, before);
  if (report.offset < least) {
    return failed(
      `it loaded at offset ${report.offset}, but ${least} was known: rows are missing on its disk; it was not promoted, and runs as follower without a leader`,
    );
  }
  const now = await partitionNow(context, id);
  assertHolds(now, expects);
  const term = newestTerm(now);
  await context.cluster.changeRole(endpoint, { ...id, role: "leader", term, followers: [] });
  return leads(context, { id, endpoint }, (offset) => {
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
 * @returns Its report.
 * @throws StepEnd if it cannot be loaded.
 */
export async function loadUnrecorded(
  context: StepContext,
  of: Loadable,
  endpoint: Endpoint,
  how: { readonly least: bigint; readonly listedWithinMs?: number },
): Promise<ReplicaReport> {
  const before = await reportNow(context, { id: of.id, endpoint });
  const report = await load(context, of, endpoint, { role: "follower", term: 0n, ...how }, before);
  if (report.role === "follower") return report;
  throw new StepEnd(failed(`tablet ${endpoint} runs it as ${report.role ?? "an unknown role"}`));
}

/**
 * Loads a replica unless it is loaded, and waits.
 *
 * @throws StepEnd if it cannot be loaded.
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
): Promise<ReplicaReport> {
  const { role, term, ...waited } = as;
  const mayBeUnlisted = storageMode !== "memory";
  const listed =
    before ?? (mayBeUnlisted ? await listedOrLoadable(context, { id, endpoint }) : undefined);
  if (listed === undefined) {
    try {
      const request = { ...id, segCount, storageMode, role, term, followers: [] };
      await context.cluster.loadTable(endpoint, request);
    } catch (thrown) {
      const isEmpty = thrown instanceof OpsError && thrown.responseCode === CREATE_TABLE_FAILED;
      throw isEmpty ? new StepEnd({ ...failedBy(thrown), isEmpty }) : thrown;
    }
  }
  const report = await loaded(context, { id, endpoint }, { ...waited, mayBeUnlisted });
  if (typeof report !== "string") return report;
  const detail = `tablet ${endpoint} could not load it (check its log; is the data still on its disk?)`;
  throw new StepEnd({ result: "failed", detail, isFinal: report === "never-listed" });
}

/**
 * Removes a replica that is to be loaded from the replication list of the serving leader. The leader
 * would continue at its old position, whatever the replica's disk kept, and replicate to it while it
 * loads (OpenMLDB 0.9: replication keeps its position across the follower's restart).
 *
 * @throws StepEnd `stale` if the leader does not answer as leader.
 */
async function unlistAtLeader(
  context: StepContext,
  { leader, id }: Lane,
  endpoint: Endpoint,
): Promise<void> {
  const { cluster } = context;
  if (leader === undefined || leader === endpoint) return;
  await asLeader(context, async () => {
    const list = await cluster.getTableFollower(leader, id);
    if (list.followers.has(endpoint)) await cluster.delReplica(leader, id, endpoint);
  });
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
      return { ...endedBy(thrown), snapshot };
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
