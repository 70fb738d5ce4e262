import type { StepOutcome } from "../model/outcome.js";
import { type PartitionView, replicaAt } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { whyNotRemove } from "../policy/absent-replicas.js";
import { foreignSchema } from "../policy/tablet-identity.js";
import { lowerBound, most, servingLeader } from "../policy/what-it-holds.js";
import { assertHolds, partitionNow } from "./check-before-action.js";
import { changed, without } from "./effects.js";
import { holds } from "./expectations.js";
import { loadUnrecorded } from "./load.js";
import { unlist } from "./role.js";
import type { StepContext, Task } from "./step-context.js";
import { ALREADY, failed, stale } from "./step-preconditions.js";
import { ACTS, type StepRow } from "./step-row.js";

/** The steps that change which tablets hold a partition by its record. */
export const RECORD_STEPS: {
  readonly [K in "remove-from-record" | "move-in-record"]: StepRow<K>;
} = {
  "remove-from-record": {
    ...ACTS,
    words: (step) => `remove ${step.endpoint} from the record (SetTablePartition without it)`,
    expects: (step) => [
      holds("its tablet is not registered, another replica leads", (view) =>
        whyNotRemove(view, step),
      ),
    ],
    effect: (view, step) => without(view, step.endpoint),
    run: removeFromRecord,
  },
  "move-in-record": {
    ...ACTS,
    words: (step) => `record ${step.to} in place of ${step.endpoint}`,
    expects: (step) => [
      holds(
        "its tablet is not registered; at the other one it loads as follower, with the table's schema and all its known entries",
        (view) => whyNotMove(view, step),
      ),
    ],
    effect: (view, step) => changed(view, step.endpoint, (one) => ({ ...one, endpoint: step.to })),
    run: moveInRecord,
  },
};

/**
 * Removes a replica of an absent tablet from the record of its partition. The nameserver checks nothing
 * (protocol, section 10), so all checks are made here. The leader stops replicating to it first: the
 * tablet may come back with its old disk later.
 */
async function removeFromRecord(
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
async function moveInRecord(
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

function whyNotMove(
  view: PartitionView,
  { endpoint, to }: Pick<Step<"move-in-record">, "endpoint" | "to">,
): string | undefined {
  const replica = replicaAt(view, endpoint);
  if (replica === undefined) return undefined;
  if (replicaAt(view, to) !== undefined) return `${to} has another replica of it`;
  if (view.activeOps.length > 0) return "ops of the partition are running";
  return replica.tablet === "offline" && replica.absence?.kind !== "restarting"
    ? undefined
    : `tablet ${endpoint} is not gone (${replica.tabletDetail || "it answers"})`;
}
