import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import { recoverDanger } from "../operations/recover-danger.js";
import { replicaAt } from "../operations/targets.js";
import { recoverFollower } from "./recover-table.js";
import { observePartition, type StepContext } from "./step-context.js";
import { stale } from "./step-preconditions.js";

/**
 * Brings one replica back with RecoverTable: its op and child ops to their end, then the replica
 * itself.
 *
 * @param how.since See {@link recoverDanger}.
 * @returns `stale` where the replica holds more than the leader, unless that is accepted.
 */
export async function recoverReplica(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
  how: { readonly acceptsLoss: boolean; readonly since?: bigint | undefined },
): Promise<StepOutcome> {
  const view = await observePartition(context, id);
  const replica = view && replicaAt(view, endpoint);
  if (view === undefined || replica === undefined) return stale("the replica is gone");
  const danger = recoverDanger(view, replica, how.since);
  if (danger !== undefined && !(danger.isLoss && how.acceptsLoss)) return stale(danger.text);
  const why = how.acceptsLoss ? "ahead" : "marked-dead";
  return recoverFollower(context, { id }, { kind: "recover-table", endpoint, why });
}
