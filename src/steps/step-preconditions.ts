import { messageOf } from "../errors.js";
import {
  type Endpoint,
  type PartitionClaim,
  type PartitionId,
  type ReplicaReport,
  replicaKey,
  type TableClaim,
} from "../model/cluster-state.js";
import { type PartitionView, type ReplicaView, replicaAt } from "../model/partition-view.js";
import { isLoading } from "../policy/what-it-holds.js";
import { untilAborted, within } from "../util/within.js";
import {
  type AwayReplica,
  type Expectation,
  type Found,
  refusalIn,
  serves,
} from "./expectations.js";
import { StepEnd, stale } from "./outcomes.js";
import type { ReplicaId, StepContext } from "./step-context.js";

/**
 * Reads the state that the expectations of a step need, and checks them.
 *
 * @param recordAgeMs Accepted age of the nameserver's record in milliseconds; 0: it is read now.
 * @throws StepEnd `stale` if one does not hold.
 */
export async function checkBeforeAction(
  context: StepContext,
  {
    step: { id, endpoint },
    expects,
  }: { readonly step: ReplicaId; readonly expects: readonly Expectation[] },
  recordAgeMs = 0,
): Promise<Found> {
  const record = context.recordOf(id);
  const read = recordAgeMs > 0 ? record.lately(recordAgeMs) : record.now();
  const needsReport = expects.some((one) => one.needs?.report === true);
  const [table, report] = await Promise.all([
    read,
    needsReport ? reportNow(context, { id, endpoint }) : undefined,
  ]);
  const claim = claimOf(table, id);
  const which = expects.find((one) => one.needs?.other !== undefined)?.needs?.other;
  const away = expects.flatMap((one) => one.needs?.away ?? []);
  const other = which && (await otherLeader(context, { id, endpoint }, claim, which));
  // Last: a read of a silent tablet is repeated for up to a second, and an absent one may return meanwhile.
  const returned = await tabletBack(context, away);
  const found = { claim, report, other, returned };
  for (const { check } of expects) {
    const why = check?.(found);
    if (why !== undefined) throw new StepEnd(stale(why));
  }
  return found;
}

/**
 * Returns the first tablet that is available again: it was offline and the nameserver counts it as healthy now, or it
 * was silent and answers now.
 */
async function tabletBack(
  context: StepContext,
  away: readonly AwayReplica[],
): Promise<Endpoint | undefined> {
  const isBack = await Promise.all(
    away.map(async ({ endpoint, away: how }) =>
      how === "offline"
        ? (await context.tablets.now()).get(endpoint)?.isHealthy === true
        : (await patiently(context, context.statusOf(endpoint).now())) !== undefined,
    ),
  );
  return away.find((_one, index) => isBack[index])?.endpoint;
}

/** Observes the whole partition now. @throws StepEnd `stale` if the table is gone. */
export async function partitionNow(context: StepContext, id: PartitionId): Promise<PartitionView> {
  const view = await observePartition(context, id);
  if (view === undefined) throw new StepEnd(stale("the table is gone"));
  return view;
}

/** Observes a replica and its partition now. @throws StepEnd `stale` if there is no such replica. */
export async function replicaNow(
  context: StepContext,
  { id, endpoint }: ReplicaId,
): Promise<{ readonly view: PartitionView; readonly replica: ReplicaView }> {
  const view = await observePartition(context, id);
  const replica = view && replicaAt(view, endpoint);
  if (view === undefined || replica === undefined) throw new StepEnd(stale("the replica is gone"));
  return { view, replica };
}

/** Checks the expectations of a step on the whole partition. @throws StepEnd `stale` if one does not hold. */
export function assertHolds(view: PartitionView, expects: readonly Expectation[]): void {
  const why = refusalIn(view, expects);
  if (why !== undefined) throw new StepEnd(stale(why));
}

/** Observes the partition now; undefined if the table is gone. */
export function observePartition(
  context: StepContext,
  id: PartitionId,
  recordAgeMs = 0,
): Promise<PartitionView | undefined> {
  return untilAborted(context.viewOf(id, recordAgeMs), context.signal);
}

/**
 * Limit in milliseconds for a tablet whose answer could only contradict the step: longer than two shared observations
 * take. A tablet that does not answer by then leads nothing now.
 */
const ANSWER_MS = 3_000;

/** Reads the partition from the nameserver's record; undefined if the table is gone. */
export async function claimNow(
  context: StepContext,
  id: PartitionId,
): Promise<PartitionClaim | undefined> {
  return claimOf(await context.recordOf(id).now(), id);
}

/** The partition in a table's record; undefined if the partition or the very table is gone. */
export function claimOf(
  table: TableClaim | undefined,
  id: PartitionId,
): PartitionClaim | undefined {
  return table?.tid === id.tid ? table.partitions.find((one) => one.pid === id.pid) : undefined;
}

/** Calls the leader of a partition. @throws StepEnd `stale` if it does not answer as leader. */
export async function asLeader<T>(
  { signal }: Pick<StepContext, "signal">,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    signal.throwIfAborted();
    throw new StepEnd(stale(`its leader does not answer as leader: ${messageOf(thrown)}`));
  }
}

/** Reads a tablet's report of a replica; undefined if it has not loaded it. */
export async function reportNow(
  context: StepContext,
  { id, endpoint }: ReplicaId,
): Promise<ReplicaReport | undefined> {
  return (await context.statusOf(endpoint).now()).get(replicaKey(id));
}

/**
 * Finds a replica other than `endpoint` that serves as leader or is being loaded as one; undefined if
 * there is none. A replica on a tablet that does not answer does not lead.
 *
 * @param which `flagged`: only a replica that clients write to, flagged leader and alive; `any`: every
 *   replica that its tablet runs as leader.
 */
async function otherLeader(
  context: StepContext,
  { id, endpoint }: ReplicaId,
  claim: PartitionClaim | undefined,
  which: "flagged" | "any",
): Promise<Endpoint | undefined> {
  const others = (claim?.replicas ?? [])
    .filter((one) => one.endpoint !== endpoint)
    .filter((one) => which === "any" || (one.isLeader && one.isAlive));
  const leads = await Promise.all(
    others.map(async (one) => {
      const report = await patiently(context, reportNow(context, { id, endpoint: one.endpoint }));
      // A replica that another client is loading as leader is about to lead.
      return report?.role === "leader" && (serves(report) || isLoading(report));
    }),
  );
  return others.find((_one, index) => leads[index])?.endpoint;
}

/** The answer of a tablet, or undefined if it does not answer soon. */
export async function patiently<T>(
  { cluster, signal }: StepContext,
  call: Promise<T>,
): Promise<T | undefined> {
  try {
    return await within(cluster.clock, ANSWER_MS, "the tablet", call, signal);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}
