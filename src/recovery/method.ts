import type { Endpoint } from "../model/cluster-state.js";
import { partitionName } from "../model/partition-view.js";
import type { Method } from "../model/plan.js";
import { planPartition } from "./plan.js";
import { planDirect } from "./plan-direct.js";
import type { Planner } from "./plan-learned.js";

export type { Method } from "../model/plan.js";

/**
 * The planner of a method.
 *
 * @param accept The replica that shall lead where something has to be given up, by `partitionName`.
 */
export function plannerOf(method: Method, accept: ReadonlyMap<string, Endpoint>): Planner {
  if (method === "documented") return planPartition;
  return (view, learned) => planDirect(view, learned, accept.get(partitionName(view.id)));
}
