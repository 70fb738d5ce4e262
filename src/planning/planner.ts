import { forcedIn, type Selection } from "../diagnosis/selection.js";
import type { Endpoint } from "../model/cluster-state.js";
import type { Loss } from "../model/loss.js";
import { partitionName } from "../model/partition-view.js";
import type { Method } from "../model/plan.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { decideLeader } from "../policy/who-may-lead.js";
import type { Planner } from "./attempt-history.js";
import { blockedLane } from "./build-lane.js";
import { planDirect } from "./direct.js";
import { planDocumented } from "./documented.js";

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
      ? planDocumented(view, attempts)
      : planDirect(view, attempts, { accepted, decide, lossOfLost: losses.get(name) });
  };
}

/**
 * Restricts a planner to the selection: steps of other replicas are left out, and forced replicas are recovered
 * once.
 */
export function narrowed(planner: Planner, only: Selection): Planner {
  if (only.endpoint === undefined && only.isForced !== true) return planner;
  return (view, attempts) => {
    const lane = planner(view, attempts);
    const forced = forcedIn(view, only).filter((endpoint) => !attempts.forced.has(endpoint));
    const steps = lane.steps.filter(
      (step) =>
        only.endpoint === undefined ||
        step.endpoint === undefined ||
        step.endpoint === only.endpoint,
    );
    const needsOthers = steps.length < lane.steps.length && servingLeader(view) === undefined;
    if (needsOthers) {
      const text = `no replica leads ${partitionName(view.id)} now, so its other replicas are needed: recover it without --endpoint`;
      return blockedLane(view, { code: "not-as-planned", endpoint: undefined, text });
    }
    if (lane.blocked !== undefined || steps.length > 0 || forced.length === 0) {
      return { ...lane, steps };
    }
    return {
      ...lane,
      leader: servingLeader(view)?.endpoint,
      steps: forced.map((endpoint) => ({
        kind: "recover-table",
        id: view.id,
        endpoint,
        why: "forced",
        isForced: true,
        isWanted: true,
      })),
    };
  };
}
