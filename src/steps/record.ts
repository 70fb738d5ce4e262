import type { StepOutcome } from "../model/outcome.js";
import { replicaAt } from "../operations/targets.js";
import { whyNotRemove } from "../policy/lost-replicas.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { without } from "./effects.js";
import { holds, refusalIn } from "./expectations.js";
import { observePartition, type StepContext, type Task } from "./step-context.js";
import { ALREADY, stale } from "./step-preconditions.js";
import { ACTS, type StepRow } from "./step-row.js";

/** The steps that rewrite which tablets hold a partition by its record. */
export const RECORD_STEPS: {
  readonly [K in "remove-from-record"]: StepRow<K>;
} = {
  "remove-from-record": {
    ...ACTS,
    words: (step) => `take ${step.endpoint} off the record (SetTablePartition without it)`,
    expects: (step) => [
      holds("its tablet is not registered, another replica leads", (view) =>
        whyNotRemove(view, step),
      ),
    ],
    effect: (view, step) => without(view, step.endpoint),
    run: removeFromRecord,
  },
};

/**
 * Takes a replica whose tablet is gone off the record of its partition. The nameserver checks nothing
 * (protocol, section 10), so everything is looked at here. The leader stops replicating to it first: the
 * tablet may come back with its old disk one day.
 */
async function removeFromRecord(
  context: StepContext,
  { step, expects }: Task<"remove-from-record">,
): Promise<StepOutcome> {
  const { id, endpoint } = step;
  const view = await observePartition(context, id);
  if (view === undefined) return stale("the table is gone");
  if (replicaAt(view, endpoint) === undefined) return ALREADY;
  const why = refusalIn(view, expects);
  if (why !== undefined) return stale(why);
  const leader = servingLeader(view);
  if (leader?.followers?.followers.has(endpoint) === true) {
    await context.cluster.delReplica(leader.endpoint, id, endpoint);
  }
  await context.cluster.setReplicaEndpoint(id, endpoint, undefined);
  const rest = view.replicas.filter((one) => one.endpoint !== endpoint);
  return {
    result: "done",
    detail: `on record now: ${rest.map((one) => one.endpoint).join(", ")}`,
  };
}
