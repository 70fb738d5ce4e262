import type { PartitionFlags } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import {
  type Endpoint,
  isOpActive,
  type PartitionClaim,
  replicaKey,
  type TableClaim,
} from "../model/cluster-state.js";
import { opsOfPartition } from "../model/ops.js";
import type { StepOutcome } from "../model/outcome.js";
import { replicaAt, viewPartitions } from "../model/partition-view.js";
import { whyNotMark } from "../operations/table-alive.js";
import { replicaIn, serves } from "./expectations.js";
import { ALREADY, DONE, stale } from "./outcomes.js";
import type { StepContext, Task } from "./step-context.js";
import {
  assertHolds,
  checkBeforeAction,
  claimOf,
  patiently,
  replicaNow,
  reportNow,
} from "./step-preconditions.js";

/** "endpoint is not exist" (nameserver). */
const ENDPOINT_UNKNOWN = 302;

/**
 * Marks a replica alive. Clients use it afterwards, so it must serve in the expected role; `checks` determines how much
 * of that is verified.
 */
export async function markAlive(
  context: StepContext,
  task: Task<"mark-alive">,
): Promise<StepOutcome> {
  const { id, endpoint, checks } = task.step;
  if (checks === "role") {
    const { claim } = await checkBeforeAction(context, task);
    if (replicaIn(claim, endpoint)?.isAlive === true) return ALREADY;
  } else {
    const { view, replica } = await replicaNow(context, task.step);
    assertHolds(view, task.expects);
    if (replica.claim.isAlive) return ALREADY;
  }
  await context.cluster.updateTableAlive({ ...id, endpoint }, true);
  return DONE;
}

/**
 * Marks a replica dead, so that clients stop using it and RecoverTable accepts it. A replica that leads
 * by now is not marked: the partition would lose its leader.
 *
 * A tablet that never came back after the nameserver restarted is unknown to it (code 302). Its replica
 * cannot be marked and need not be: clients do not use it.
 */
export async function markDead(
  context: StepContext,
  { step: { id, endpoint, mayLead } }: Task<"mark-dead">,
): Promise<StepOutcome> {
  const table = await context.recordOf(id).now();
  const replica = replicaIn(claimOf(table, id), endpoint);
  if (replica === undefined) return stale("the replica is gone");
  if (!replica.isAlive) return ALREADY;
  // Last, because the nameserver may have taken its time, and a load may have ended meanwhile.
  const reports = await patiently(context, context.statusOf(endpoint).now());
  const isLeading = replica.isLeader && serves(reports?.get(replicaKey(id)), "leader");
  if (isLeading && !mayLead) return stale("it leads the partition now");
  const isServed = (tid: number, pid: number) => serves(reports?.get(replicaKey({ tid, pid })));
  try {
    const mayShare = !pidsAt(table, endpoint).some(([tid, pid]) => isServed(tid, pid));
    await context.markDead(id, endpoint, mayShare);
    return DONE;
  } catch (thrown) {
    if (thrown instanceof OpsError && thrown.responseCode === ENDPOINT_UNKNOWN) return ALREADY;
    throw thrown;
  }
}

/** The partitions of a table with a replica at an endpoint, as tid and pid. */
function pidsAt(table: TableClaim | undefined, endpoint: Endpoint): [number, number][] {
  return (table?.partitions ?? [])
    .filter((one) => replicaIn(one, endpoint) !== undefined)
    .map((one) => [table?.tid ?? 0, one.pid]);
}

/** Marks all replicas of a table on a tablet with one call; see {@link whyNotMark}. */
export async function markTable(
  context: StepContext,
  { step: { db, table, tid, endpoint, isAlive, isForced } }: Task<"mark-table">,
): Promise<StepOutcome> {
  const state = await context.observe();
  const tables = state.tables.filter((one) => one.tid === tid);
  const wanted = viewPartitions({ ...state, tables }).filter((view) => {
    const replica = replicaAt(view, endpoint);
    return replica !== undefined && replica.claim.isAlive !== isAlive;
  });
  if (tables.every((one) => pidsAt(one, endpoint).length === 0))
    return stale("the replica is gone");
  if (wanted.length === 0) return ALREADY;
  for (const view of isForced ? [] : wanted) {
    const why = whyNotMark(view, endpoint, isAlive);
    if (why !== undefined) return stale(why);
  }
  await context.cluster.updateTableAlive({ db, table, endpoint }, isAlive);
  return DONE;
}

/**
 * Makes the nameserver's record name the leader. A leader that is flagged alive takes writes from then
 * on, so it must run as leader and no other may lead. A leader that is not flagged alive need not run.
 */
export async function setFlags(
  context: StepContext,
  task: Task<"set-flags">,
): Promise<StepOutcome> {
  const { id, endpoint: leader, alive, keepsFlag } = task.step;
  const claim = claimOf(await context.recordOf(id).now(), id);
  if (claim !== undefined && isRecorded(claim, { leader, alive, keepsFlag })) return ALREADY;
  await checkBeforeAction(context, task);
  await context.cluster.setPartitionFlags(id, { leader, alive, keepsFlag });
  return { result: "done", detail: `the record names ${leader} as leader` };
}

function isRecorded(
  claim: PartitionClaim,
  { leader, alive, keepsFlag = [] }: PartitionFlags,
): boolean {
  return claim.replicas.every(
    ({ endpoint, isLeader, isAlive }) =>
      (isLeader === (endpoint === leader) || (isLeader && keepsFlag.includes(endpoint))) &&
      isAlive === alive.includes(endpoint),
  );
}

/** Ends kSnapshotPaused, unless an op of the partition runs: the op may have paused it. */
export async function recoverSnapshot(
  context: StepContext,
  { step: { id, endpoint }, lane }: Task<"recover-snapshot">,
): Promise<StepOutcome> {
  const ops = opsOfPartition(await context.ops.now(), id);
  if (ops.some(isOpActive)) return stale("an op of the partition is running");
  const report = await reportNow(context, { id, endpoint });
  if (report?.state !== "snapshot-paused") return ALREADY;
  await context.cluster.recoverSnapshot(endpoint, { ...id, storageMode: lane.storageMode });
  return DONE;
}
