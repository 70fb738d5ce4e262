import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import { type PartitionView, type ReplicaView, replicaAt } from "../model/partition-view.js";
import { type AwayReplica, type Expectation, type Found, refusalIn } from "./expectations.js";
import { type AnyTask, observePartition, type StepContext } from "./step-context.js";
import {
  claimOf,
  otherLeader,
  patiently,
  reportNow,
  StepEnd,
  stale,
} from "./step-preconditions.js";

/**
 * Reads the state that the expectations of a step need, and checks them.
 *
 * @param recordAgeMs Accepted age of the nameserver's record in milliseconds; 0: it is read now.
 * @throws StepEnd `stale` if one does not hold.
 */
export async function checkBeforeAction(
  context: StepContext,
  { step, lane, expects }: AnyTask,
  recordAgeMs = 0,
): Promise<Found> {
  const { id, endpoint } = step;
  if (id === undefined) throw new TypeError(`${step.kind} is not about a partition`);
  const record = context.recordOf(id);
  const read = recordAgeMs > 0 ? record.lately(recordAgeMs) : record.now();
  const needsReport = expects.some((one) => one.needs?.report === true);
  const [table, report] = await Promise.all([
    read,
    needsReport && endpoint !== undefined ? reportNow(context, id, endpoint) : undefined,
  ]);
  const claim = claimOf(table, id);
  const which = expects.find((one) => one.needs?.other !== undefined)?.needs?.other;
  const beside = endpoint ?? lane?.leader ?? "";
  const away = expects.flatMap((one) => one.needs?.away ?? []);
  const other = which && (await otherLeader(context, { id }, claim, { endpoint: beside, which }));
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
 * The first tablet that is available again: the nameserver calls one healthy that was offline, or one answers
 * that was silent.
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
  { id, endpoint }: { readonly id: PartitionId; readonly endpoint: Endpoint },
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
