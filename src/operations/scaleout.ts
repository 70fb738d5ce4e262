import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { isSystemDatabase } from "../model/partition-view.js";
import { unhealthyLines } from "./condition.js";
import {
  changesOf,
  leaderChoice,
  leftoverLines,
  opsNotes,
  placed,
  requiredTablets,
  stepsOf,
  survey,
  touchedViews,
  unfinished,
  unusableNotes,
  usableTablets,
} from "./moves.js";
import type { Operation, OperationPlan } from "./operation.js";
import { balanceReplicas, countReplicas } from "./placement.js";
import { spreadLeaders } from "./placement-leaders.js";
import { shortList } from "./targets.js";

/** The options of `scaleout`. */
export interface ScaleOutOptions {
  /** True if partitions with more replicas than their table specifies keep them. */
  readonly keepsSurplus: boolean;
  /** Limit of partitions that are processed concurrently. */
  readonly concurrency: number;
}

/**
 * Spreads the replicas and leaders of all user databases over all healthy tablets. System databases
 * stay where they are, as with `openmldb_ops.py`.
 */
export function scaleOutOperation(options: ScaleOutOptions): Operation {
  return {
    typed: { cmd: "scaleout", keep_surplus: options.keepsSurplus },
    needsOff: true,
    waitsForOps: true,
    concurrency: options.concurrency,
    plan: (state) => planScaleOut(state, options),
    verify: (after, results) => unfinished(after, results, () => planScaleOut(after, options)),
    conclude: (after) => distributionLines(after),
  };
}

function planScaleOut(state: ClusterState, { keepsSurplus }: ScaleOutOptions): OperationPlan {
  const tablets = requiredTablets(state);
  const surveyed = survey(state, keepsSurplus).filter((one) => !isSystemDatabase(one.view.id.db));
  const changes = changesOf(surveyed, balanceReplicas(surveyed.map(placed), tablets));
  const leaders = spreadLeaders(changes.map(leaderChoice), tablets, false);
  const steps = changes.flatMap((change) =>
    stepsOf({ ...change, leader: leaders.get(change.one.key) ?? change.leader }),
  );
  const left = unhealthyLines(surveyed);
  return {
    steps,
    notes: [
      ...opsNotes(state),
      ...unusableNotes(state),
      ...shortList(leftoverLines(state, surveyed), "not moved there: "),
      ...shortList(left, "left alone, not healthy: "),
      ...(left.length > 0 ? ["recover them with recoverdata and run this command again"] : []),
    ],
    restsOn: touchedViews(surveyed, steps),
    facts: { tablets: tablets.join(" ") },
  };
}

/** Replicas and leaders of user and system tables on each tablet, one line each. */
export function distributionLines(state: ClusterState): string[] {
  const tablets = usableTablets(state);
  const all = survey(state, true);
  const user = all.filter((one) => !isSystemDatabase(one.view.id.db));
  const counts = countReplicas(user.map(placed), tablets);
  const system = countReplicas(all.filter((one) => !user.includes(one)).map(placed), tablets);
  const leads = (endpoint: Endpoint) =>
    user.filter((one) => placed(one).leader === endpoint).length;
  return tablets.map(
    (endpoint) =>
      `${endpoint}: ${counts.get(endpoint) ?? 0} replicas, ${leads(endpoint)} of them leaders; system tables: ${system.get(endpoint) ?? 0}`,
  );
}
