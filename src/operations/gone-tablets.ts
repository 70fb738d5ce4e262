import { absenceOf, mayBeGivenUp } from "../model/absence.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { type PartitionView, partitionName } from "../model/partition-view.js";
import type { PrintCommand } from "../model/tool-command.js";
import { whyNotRemove } from "../policy/lost-replicas.js";
import type { Obstacle } from "./targets.js";

/**
 * True if a tablet is not registered and not restarting: its replicas can only be removed from the
 * record.
 */
export function isAbsentForGood(state: ClusterState, endpoint: Endpoint): boolean {
  const view = state.tablets.get(endpoint);
  const absence = view && absenceOf(view);
  return absence !== undefined && mayBeGivenUp(absence);
}

/**
 * Returns why a replica of an absent tablet must stay on record; undefined if it may be removed.
 */
export function obstacleToRemoval(
  view: PartitionView,
  endpoint: Endpoint,
  print: PrintCommand,
): Obstacle | undefined {
  const why = whyNotRemove(view, { endpoint, acceptsLoss: false });
  if (why === undefined) return undefined;
  return {
    text: `${partitionName(view.id)}: ${endpoint}: ${why}`,
    hint: `show what would be lost without that tablet: ${print({ cmd: "inspect", lost: [endpoint] })}`,
  };
}
