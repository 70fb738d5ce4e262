import type { Endpoint } from "../model/cluster-state.js";
import type { Loss } from "../model/loss.js";
import { partitionName } from "../model/partition-view.js";
import type { Method } from "../model/plan.js";
import { decideLeader } from "../policy/who-may-lead.js";
import type { Planner } from "./attempt-history.js";
import { planDirect } from "./direct.js";
import { planPartition } from "./documented.js";

/**
 * Returns the planner of a method. The documented procedure has no operator's decisions, so a decided
 * partition is planned by the direct method.
 *
 * @param accept The chosen leader where a loss is unavoidable, by `partitionName`.
 * @param decide The rule by which the direct method chooses a leader.
 * @param losses The accepted loss with lost tablets, by `partitionName`.
 */
export function plannerOf(
  method: Method,
  accept: ReadonlyMap<string, Endpoint>,
  decide: typeof decideLeader = decideLeader,
  losses: ReadonlyMap<string, Loss> = new Map(),
): Planner {
  return (view, attempts) => {
    const name = partitionName(view.id);
    const accepted = accept.get(name);
    return method === "documented" && accepted === undefined
      ? planPartition(view, attempts)
      : planDirect(view, attempts, accepted, decide, losses.get(name));
  };
}
