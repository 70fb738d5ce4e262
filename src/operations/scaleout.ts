import { diagnose } from "../diagnosis/diagnose.js";
import { refused } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import type { StepResult } from "../model/outcome.js";
import { isSystemDatabase, partitionName, viewPartitions } from "../model/partition-view.js";
import { unhealthyLines } from "./condition.js";
import {
  changesOf,
  leaderChoice,
  leftoverLines,
  opsNotes,
  placed,
  remainingSteps,
  stepsOf,
  survey,
  unusableNotes,
  usableTablets,
} from "./moves.js";
import type { Operation, OperationPlan } from "./operation.js";
import { balanceReplicas, countReplicas } from "./placement.js";
import { spreadLeaders } from "./placement-leaders.js";

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
    verify: (after, results) => [
      ...touchedProblems(after, results),
      ...remainingSteps(() => planScaleOut(after, options)),
    ],
    conclude: (after) => distributionLines(after),
  };
}

function planScaleOut(state: ClusterState, { keepsSurplus }: ScaleOutOptions): OperationPlan {
  const tablets = usableTablets(state);
  if (tablets.length === 0) {
    throw refused("no tablet is healthy and answers", "start the tablets first");
  }
  const surveyed = survey(state, keepsSurplus).filter((one) => !isSystemDatabase(one.view.id.db));
  const changes = changesOf(surveyed, balanceReplicas(surveyed.map(placed), tablets));
  const leaders = spreadLeaders(changes.map(leaderChoice), tablets, false);
  const steps = changes.flatMap((change) =>
    stepsOf({ ...change, leader: leaders.get(change.one.key) ?? change.leader }),
  );
  const touched = new Set(steps.map((step) => step.id));
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
    restsOn: surveyed.map((one) => one.view).filter((view) => touched.has(view.id)),
    facts: { tablets: tablets.join(" ") },
  };
}

/** Number of lines of one kind that are shown. */
const SHOWN = 20;

/** The first lines, and the number of the others. */
export function shortList(lines: readonly string[], prefix: string): string[] {
  const more = lines.length - SHOWN;
  return [
    ...lines.slice(0, SHOWN).map((line) => `${prefix}${line}`),
    ...(more > 0 ? [`${prefix}and ${more} more`] : []),
  ];
}

/** The problems of the partitions that were changed. */
export function touchedProblems(after: ClusterState, results: readonly StepResult[]): string[] {
  const tids = new Set(results.map(({ step }) => `${step.id?.tid}/${step.id?.pid}`));
  return viewPartitions(after)
    .filter((view) => tids.has(`${view.id.tid}/${view.id.pid}`))
    .flatMap((view) =>
      diagnose(view)
        .filter((one) => one.code !== "behind")
        .map((one) => `${partitionName(view.id)} ${one.endpoint ?? ""}: ${one.text}`),
    );
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
