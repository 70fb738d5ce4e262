import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { partitionName } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { freeTabletText, isFree } from "../policy/free-tablets.js";
import { unhealthyLines } from "./condition.js";
import {
  opsNotes,
  placed,
  requiredTablets,
  survey,
  touchedViews,
  unfinished,
  unusableNotes,
} from "./moves.js";
import type { Operation, OperationPlan } from "./operation.js";
import { countReplicas, emptiest } from "./placement.js";
import { distributionLines } from "./scaleout.js";
import { shortList } from "./targets.js";

/** The command, for printing. */
export const ADD_MISSING = { cmd: "scaleout", add_missing: true } as const;

/**
 * Adds missing replicas: partitions that have fewer than their table specifies get new ones, each on the tablet with
 * the fewest replicas. Moves nothing. System databases are included.
 *
 * @param concurrency Limit of partitions that are processed concurrently.
 */
export function addMissingOperation(concurrency: number): Operation {
  return {
    typed: ADD_MISSING,
    needsOff: false,
    waitsForOps: true,
    concurrency,
    plan: (state) => planAdding(state),
    verify: (after, results) => unfinished(after, results, () => planAdding(after)),
    conclude: (after) => distributionLines(after),
  };
}

/**
 * Plans the missing replicas.
 *
 * @param gone Absent tablets whose replicas are removed from the record first, so that they count as
 *   missing. Another replica must lead.
 * @throws OpsError `refused` if no tablet is usable.
 */
export function planAdding(
  state: ClusterState,
  gone: ReadonlySet<Endpoint> = new Set(),
): OperationPlan {
  const tablets = requiredTablets(state);
  const surveyed = survey(state, true);
  const counts = countReplicas(surveyed.map(placed), tablets);
  const steps: Step[] = [];
  const short: string[] = [];
  for (const { view, condition, specified: wanted } of surveyed) {
    const off = view.replicas.filter((one) => gone.has(one.endpoint));
    if (condition.kind !== "well" && off.length === 0) continue;
    const held = new Set(view.replicas.map((one) => one.endpoint));
    for (const { endpoint } of off) {
      const why = "its tablet is gone";
      steps.push({ kind: "remove-from-record", id: view.id, endpoint, why, acceptsLoss: false });
      held.delete(endpoint);
    }
    while (held.size < wanted) {
      const to = emptiest(counts, (to) => !held.has(to) && isFree(state, view, to));
      if (to === undefined) {
        const name = partitionName(view.id);
        short.push(
          `${name} stays at ${held.size} of ${wanted} replicas: ${freeTabletText(state, view)}`,
        );
        break;
      }
      const why = `${held.size} of ${wanted} replicas`;
      steps.push({ kind: "add-replica", id: view.id, endpoint: to, why });
      held.add(to);
      counts.set(to, (counts.get(to) ?? 0) + 1);
    }
  }
  const touched = touchedViews(surveyed, steps);
  return {
    steps,
    notes: [
      ...opsNotes(state),
      ...unusableNotes(state),
      ...shortList(short, "no tablet is left for it: "),
      ...shortList(
        unhealthyLines(surveyed.filter((one) => !touched.includes(one.view))),
        "left alone, not healthy: ",
      ),
    ],
    restsOn: touched,
    facts: { tablets: tablets.join(" ") },
  };
}
