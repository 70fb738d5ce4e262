import { absenceOf, mayBeGivenUp } from "../model/absence.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { type PartitionView, partitionName } from "../model/partition-view.js";
import type { PrintCommand } from "../model/tool-command.js";
import { whyNotRemove } from "../policy/lost-replicas.js";
import type { Obstacle } from "./targets.js";

/** Whether a tablet is not registered and not on its way back: its replicas can only be taken off the record. */
export function isGoneForCertain(state: ClusterState, endpoint: Endpoint): boolean {
  const view = state.tablets.get(endpoint);
  const absence = view && absenceOf(view);
  return absence !== undefined && mayBeGivenUp(absence);
}

/** Why a replica whose tablet is gone must stay on record; undefined if it may go. */
export function obstacleToRemoval(
  view: PartitionView,
  endpoint: Endpoint,
  print: PrintCommand,
): Obstacle | undefined {
  const why = whyNotRemove(view, { endpoint, acceptsLoss: false });
  if (why === undefined) return undefined;
  return {
    text: `${partitionName(view.id)}: ${endpoint}: ${why}`,
    hint: `see what going on without that tablet would cost: ${print({ cmd: "inspect", lost: [endpoint] })}`,
  };
}
