import { type ClusterState, replicaKey } from "../model/cluster-state.js";
import { groupBy } from "../model/groups.js";
import { viewPartitions } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Step } from "../model/step.js";
import type { OperationPlan } from "../operations/operation.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { laneOf } from "./build-lane.js";
import { factsOf } from "./plan-facts.js";
import { basisOf, type Plan, plannedRound, plannedStep } from "./recovery-plan.js";

/** The steps of one partition, of one tablet, or about ops, in order. */
export interface LaneWork {
  /** Undefined if the steps are not about a partition. */
  readonly lane: Lane | undefined;
  readonly steps: readonly Step[];
}

/** Groups steps by their partition, else by their tablet; the others form one group. */
export function lanesOf(steps: readonly Step[], state: ClusterState): LaneWork[] {
  const byKey = groupBy(steps, ({ id, endpoint = "" }) =>
    id === undefined ? `@${endpoint}` : replicaKey(id),
  );
  const views = new Map(viewPartitions(state).map((view) => [replicaKey(view.id), view]));
  return [...byKey].map(([key, own]) => {
    const view = views.get(key);
    const lane = view && laneOf(view, { leader: servingLeader(view), steps: own });
    return { lane, steps: own };
  });
}

/**
 * The plan of an operation in the form that is shown, saved and compared: one round for each partition.
 *
 * @param now ISO 8601 in UTC.
 */
export function planOfOperation(made: OperationPlan, state: ClusterState, now: string): Plan {
  const lanes = lanesOf(made.steps, state);
  const byKey = new Map(
    lanes.flatMap(({ lane }): [string, Lane][] =>
      lane === undefined ? [] : [[replicaKey(lane.id), lane]],
    ),
  );
  return {
    method: undefined,
    only: {},
    accept: new Map(),
    madeAt: now,
    basis: basisOf(
      state,
      state.tables.reduce((sum, table) => sum + table.partitions.length, 0),
    ),
    partitions: made.restsOn.map((view) => {
      const leader = servingLeader(view);
      const lane = byKey.get(replicaKey(view.id)) ?? laneOf(view, { leader, steps: [] });
      const first = plannedRound(lane);
      return { id: view.id, facts: factsOf(view), problems: [], first, rounds: [first] };
    }),
    others: lanes.flatMap(({ lane, steps }) =>
      lane === undefined ? steps.map((step) => plannedStep(step, undefined)) : [],
    ),
    facts: new Map(Object.entries(made.facts ?? {})),
    notes: made.notes,
  };
}
