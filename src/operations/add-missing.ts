import { refused } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { partitionName } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { freeTabletText, isFree } from "../policy/free-tablets.js";
import { unhealthyLines } from "./condition.js";
import { opsNotes, placed, remainingSteps, survey, unusableNotes, usableTablets } from "./moves.js";
import type { Operation, OperationPlan } from "./operation.js";
import { countReplicas } from "./placement.js";
import { distributionLines, shortList, touchedProblems } from "./scaleout.js";

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
    verify: (after, results) => [
      ...touchedProblems(after, results),
      ...remainingSteps(() => planAdding(after)),
    ],
    conclude: (after) => distributionLines(after),
  };
}

/**
 * Plans the missing replicas.
 *
 * @param gone Absent tablets whose replicas are removed from the record first, so that they count as
 *   missing. Another replica must lead.
 * @throws OpsError `refused` if no tablet can take a replica.
 */
export function planAdding(
  state: ClusterState,
  gone: ReadonlySet<Endpoint> = new Set(),
): OperationPlan {
  const tablets = usableTablets(state);
  if (tablets.length === 0) {
    throw refused("no tablet is healthy and answers", "start the tablets first");
  }
  const specified = new Map(state.tables.map((table) => [table.tid, table.replicaCount]));
  const surveyed = survey(state, true);
  const counts = countReplicas(surveyed.map(placed), tablets);
  const steps: Step[] = [];
  const short: string[] = [];
  for (const { view, condition } of surveyed) {
    const off = view.replicas.filter((one) => gone.has(one.endpoint));
    if (condition.kind !== "well" && off.length === 0) continue;
    const held = new Set(view.replicas.map((one) => one.endpoint));
    for (const { endpoint } of off) {
      const why = "its tablet is gone";
      steps.push({ kind: "remove-from-record", id: view.id, endpoint, why, acceptsLoss: false });
      held.delete(endpoint);
    }
    const wanted = specified.get(view.id.tid) ?? 0;
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
  const touched = new Set(steps.map((step) => step.id));
  return {
    steps,
    notes: [
      ...opsNotes(state),
      ...unusableNotes(state),
      ...shortList(short, "no tablet is left for it: "),
      ...shortList(
        unhealthyLines(surveyed.filter((one) => !touched.has(one.view.id))),
        "left alone, not healthy: ",
      ),
    ],
    restsOn: surveyed.map((one) => one.view).filter((view) => touched.has(view.id)),
    facts: { tablets: tablets.join(" ") },
  };
}

/** The tablet with the fewest replicas that can take one; ties go to the first by name. */
function emptiest(
  counts: ReadonlyMap<Endpoint, number>,
  mayTake: (endpoint: Endpoint) => boolean,
): Endpoint | undefined {
  let best: Endpoint | undefined;
  for (const [endpoint, count] of counts) {
    if (!mayTake(endpoint)) continue;
    if (best === undefined || count < (counts.get(best) ?? 0)) best = endpoint;
  }
  return best;
}
