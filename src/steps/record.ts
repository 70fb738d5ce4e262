import type { StepOutcome } from "../model/outcome.js";
import { replicaAt } from "../model/partition-view.js";
import { foreignSchema } from "../policy/tablet-identity.js";
import { lowerBound, most, servingLeader } from "../policy/what-it-holds.js";
import { loadUnrecorded } from "./load.js";
import { ALREADY, failed, stale } from "./outcomes.js";
import { unlist } from "./role.js";
import type { StepContext, Task } from "./step-context.js";
import { assertHolds, partitionNow } from "./step-preconditions.js";

/**
 * Removes a replica of an absent tablet from the record of its partition. The nameserver checks nothing
 * (protocol, section 10), so all checks are made here. The leader stops replicating to it first: the
 * tablet may come back with its old disk later.
 */
export async function removeFromRecord(
  context: StepContext,
  { step, expects }: Task<"remove-from-record">,
): Promise<StepOutcome> {
  const { id, endpoint } = step;
  const view = await partitionNow(context, id);
  if (replicaAt(view, endpoint) === undefined) return ALREADY;
  assertHolds(view, expects);
  await unlist(context, id, servingLeader(view), endpoint);
  await context.cluster.setReplicaEndpoint(id, endpoint, undefined);
  const rest = view.replicas.filter((one) => one.endpoint !== endpoint);
  return {
    result: "done",
    detail: `on record now: ${rest.map((one) => one.endpoint).join(", ")}`,
  };
}

/**
 * Replaces an absent tablet by another one in the record of a partition, once the replica has loaded
 * and matched there. Every part is repeatable, so an interrupted run can continue.
 */
export async function moveInRecord(
  context: StepContext,
  { step, lane, expects }: Task<"move-in-record">,
): Promise<StepOutcome> {
  const { id, endpoint: from, to } = step;
  const view = await partitionNow(context, id);
  const replica = replicaAt(view, from);
  if (replica === undefined) {
    return replicaAt(view, to) === undefined ? stale("the replica is gone") : ALREADY;
  }
  assertHolds(view, expects);
  const least = most([lowerBound(view, replica), lane.evidence.bounds.offsets.get(from) ?? 0n]);
  return context.withLoadSlot(to, async () => {
    const report = await loadUnrecorded(context, view, to, { least });
    if (report.offset < least) {
      return failed(
        `at ${to} it holds entries up to ${report.offset}, and ${least} is known of it`,
      );
    }
    const table = await context.recordOf(id).now();
    if (table?.tid !== id.tid) return stale("the table is gone");
    const mismatch = foreignSchema(table, await context.cluster.getTableSchema(to, id));
    if (mismatch !== undefined) return failed(`at ${to} ${mismatch}`);
    const registered = await context.registered.now();
    if (registered.has(from)) return stale(`${from} is registered again`);
    if (!registered.has(to)) return stale(`${to} is not registered any more`);
    await context.cluster.setReplicaEndpoint(id, from, to);
    const detail = `it loads there with the table's schema and entries up to ${report.offset}, ${least} were known`;
    return { result: "done", detail };
  });
}
