import { diagnose } from "../diagnosis/diagnose.js";
import { problemsOf, type Selection, selected } from "../diagnosis/selection.js";
import { OpsError, usageError } from "../errors.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { counted } from "../model/counted.js";
import { type PartitionView, partitionName } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import { type Step, stepText } from "../model/step.js";
import { rowOf } from "../steps/run-step.js";
import { NO_ATTEMPTS, type Planner } from "./attempt-history.js";
import { blockedLane } from "./build-lane.js";
import { type Difference, differencesOf, differenceText, factsOf, NO_FACTS } from "./plan-facts.js";
import { type Plan, plannedLeader, type RecoveryPlan, refusalOf } from "./recovery-plan.js";

/**
 * Finds what has changed since a plan was made. Only partitions that the plan changes are compared; one
 * that is healthy by now counts as done. The planner must also produce the same first steps. A plan
 * without partitions states that everything in its scope was healthy.
 *
 * @param views All partitions of the cluster.
 * @returns Empty if the plan can be executed.
 */
function planDifferences(
  plan: RecoveryPlan,
  state: ClusterState,
  views: readonly PartitionView[],
  planner: Planner,
): Difference[] {
  if (plan.partitions.length === 0) return notHealthy(selected(views, plan.only), plan.only);
  const byName = new Map(views.map((view) => [partitionName(view.id), view]));
  const open = plan.partitions.filter((one) => refusalOf(one) === undefined);
  const differences = open.flatMap((planned) => {
    const where = partitionName(planned.id);
    const view = byName.get(where);
    if (view === undefined) {
      return [{ where, fact: "the partition", was: "there", is: undefined }];
    }
    if (diagnose(view).length === 0 && view.id.tid === planned.id.tid) return [];
    const changed = differencesOf(where, planned.facts, factsOf(view));
    if (changed.length > 0) return changed;
    const was = stepsText(planned.first.steps);
    const is = stepsText(planner(view, NO_ATTEMPTS).steps);
    return was === is ? [] : [{ where, fact: "steps to be done first", was, is }];
  });
  const was = onOff(plan.basis.autoFailover);
  const is = onOff(state.autoFailover);
  const isOpen = open.length > 0 && was !== is;
  return isOpen
    ? [{ where: "cluster", fact: "auto_failover", was, is }, ...differences]
    : differences;
}

function notHealthy(views: readonly PartitionView[], only: Selection): Difference[] {
  return views.flatMap((view) => {
    const [problem] = problemsOf(view, only);
    if (problem === undefined) return [];
    return [{ where: partitionName(view.id), fact: "health", was: "healthy", is: problem.text }];
  });
}

/** The steps of a lane as one line, to be compared and shown. */
function stepsText(steps: readonly Step[]): string {
  return steps.map(stepText).join(", ") || "none";
}

function onOff(isOn: boolean): string {
  return isOn ? "on" : "off";
}

/**
 * Checks that the cluster is still as it was when the plan was made.
 *
 * @throws OpsError `usage` if the plan is for another cluster; `plan-stale` with the differences as
 *   details.
 */
export function checkPlan(
  plan: RecoveryPlan,
  state: ClusterState,
  views: readonly PartitionView[],
  planner: Planner,
): void {
  assertSameCluster(plan, state.tablets);
  refuseStale(planDifferences(plan, state, views, planner));
}

function assertSameCluster({ basis: { tablets } }: Plan, now: Pick<Set<Endpoint>, "has">): void {
  if (tablets.length === 0 || tablets.some((one) => now.has(one))) return;
  throw usageError(
    `the plan was made for another cluster: it names ${tablets[0]}, and no tablet of this one`,
  );
}

function refuseStale(differences: readonly Difference[]): void {
  if (differences.length === 0) return;
  const places = new Set(differences.map((one) => one.where)).size;
  throw new OpsError({
    code: "plan-stale",
    message: `the cluster has changed since the plan was made: ${counted(differences.length, "difference")} in ${counted(places, "place")}; nothing was changed`,
    hint: "make a new plan",
    details: differences.map(differenceText),
  });
}

/**
 * Checks that a newly made plan of an operation equals the one that was saved or confirmed.
 *
 * @throws OpsError `plan-stale` with the differences as details; `usage` if the plan is for another
 *   cluster.
 */
export function assertSamePlan(saved: Plan, fresh: Plan): void {
  assertSameCluster(saved, new Set(fresh.basis.tablets));
  const [was, is] = [lanesByName(saved), lanesByName(fresh)];
  const names = [...new Set([...was.keys(), ...is.keys()])];
  const differences = names.flatMap((where) => {
    const [before, now] = [was.get(where), is.get(where)];
    const facts = differencesOf(where, before?.facts ?? NO_FACTS, now?.facts ?? NO_FACTS);
    const steps = { was: before && stepsText(before.steps), is: now && stepsText(now.steps) };
    return steps.was === steps.is ? facts : [...facts, { where, fact: "steps", ...steps }];
  });
  refuseStale(differences);
}

function lanesByName(plan: Plan) {
  const { others: steps, facts } = plan;
  return new Map([
    ["cluster", { facts, steps }],
    ...plan.partitions.map(
      ({ id, facts: own, first }) =>
        [partitionName(id), { facts: own, steps: first.steps }] as const,
    ),
  ]);
}

/** The views of the partitions in a plan, in the order of the views. */
export function viewsOf(plan: RecoveryPlan, views: readonly PartitionView[]): PartitionView[] {
  const keys = new Set(plan.partitions.map((one) => replicaKey(one.id)));
  return views.filter((view) => keys.has(replicaKey(view.id)));
}

/**
 * A planner bound to a plan: a partition that the plan refuses stays refused, and no replica becomes
 * leader that the plan does not name. The evidence may lead to another decision than predicted; the
 * partition is then left as it is, with everything loaded, for a new plan by reported offsets.
 */
export function boundPlanner(plan: RecoveryPlan, planner: Planner): Planner {
  const planned = new Map(plan.partitions.map((one) => [replicaKey(one.id), one]));
  return (view, attempts) => {
    const of = planned.get(replicaKey(view.id));
    if (of === undefined) return refused(view, "the plan does not name this partition");
    const refusal = refusalOf(of);
    if (refusal !== undefined) {
      return of.first.blocked === undefined
        ? refused(view, refusal)
        : blockedLane(view, of.first.blocked);
    }
    const lane = planner(view, attempts);
    const expected = plannedLeader(of);
    const isOther = lane.leader !== undefined && lane.leader !== expected;
    if (!isOther || !lane.steps.some((step) => rowOf(step).changes)) return lane;
    return refused(
      view,
      `the plan names ${expected ?? "no replica"} to lead, and the present state requires ${lane.leader}; make a new plan`,
    );
  };
}

function refused(view: PartitionView, text: string): Lane {
  return blockedLane(view, { code: "not-as-planned", endpoint: undefined, text });
}
