import type { Cluster } from "../cluster/cluster.js";
import {
  assertKnown,
  EVERYTHING,
  forcedIn,
  narrowed,
  problemsOf,
  type Selection,
  selected,
} from "../diagnosis/selection.js";
import { OpsError } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import type { SeenStore } from "../model/evidence.js";
import { type PartitionView, partitionName, viewingPartitions } from "../model/partition-view.js";
import { observe } from "../observe/cluster.js";
import type { Planner } from "../planning/attempt-history.js";
import { boundPlanner, viewsOf } from "../planning/check-saved-plan.js";
import type { Method } from "../planning/method.js";
import { makePlan, type RecoveryPlan } from "../planning/recovery-plan.js";
import { inTurns, mapInTurns } from "../util/yielding.js";
import { RULES, type Rules } from "./rules.js";

/** What to look for and how to plan. */
export interface LookOptions {
  /** What it is about; everything if undefined, system databases first. */
  readonly only?: Selection | undefined;
  /** `direct` if undefined. */
  readonly method?: Method | undefined;
  /** The replica that shall lead where something has to be given up, by `partitionName`. */
  readonly accept?: ReadonlyMap<string, Endpoint> | undefined;
  /** A plan to keep to; its database, method and choices count instead of those above. */
  readonly planned?: RecoveryPlan | undefined;
  /** What earlier runs knew; undefined: nothing. */
  readonly seen?: SeenStore | undefined;
  /** See `Scope` of `observe`. */
  readonly snapshotPartitions?: number | undefined;
  /** Rules other than {@link RULES}; see {@link Rules}. */
  readonly rules?: Partial<Rules> | undefined;
  readonly signal: AbortSignal;
}

/** The cluster as observed, and what is to be done about it. */
export interface Look {
  readonly state: ClusterState;
  readonly views: readonly PartitionView[];
  /** The views of the partitions to be worked on. */
  readonly sick: readonly PartitionView[];
  readonly planner: Planner;
  readonly plan: RecoveryPlan;
}

/**
 * Observes the cluster and plans. Changes nothing.
 *
 * @throws OpsError if the cluster cannot be observed, or if what is selected does not exist.
 */
export async function look(cluster: Cluster, options: LookOptions): Promise<Look> {
  const { planned, signal } = options;
  const { only = EVERYTHING, method = "direct", accept = new Map() } = planned ?? options;
  const state = await observe(cluster, {
    signal,
    seen: options.seen,
    snapshotPartitions: options.snapshotPartitions,
  });
  const all = await inTurns(viewingPartitions(state));
  assertKnown(all, only);
  const views = selected(all, only);
  assertPartitions(accept, views);
  const rules = { ...RULES, ...options.rules };
  const planner = narrowed(rules.plannerOf(method, accept, rules.decideLeader), only);
  if (planned !== undefined) {
    const isSick = await mapInTurns(views, (view) => isToDo(view, only));
    const sick = viewsOf(
      planned,
      views.filter((_, index) => isSick[index] === true),
    );
    return { state, views, sick, planner: boundPlanner(planned, planner), plan: planned };
  }
  const now = new Date(cluster.clock.wallTime()).toISOString();
  const plan = await inTurns(makePlan({ state, views, planner, method, only, accept, now }));
  const sick = new Set(plan.partitions.map((one) => one.id));
  return { state, views, sick: views.filter((view) => sick.has(view.id)), planner, plan };
}

function isToDo(view: PartitionView, only: Selection): boolean {
  return problemsOf(view, only).length > 0 || forcedIn(view, only).length > 0;
}

/**
 * Checks that a look at the cluster is still as the plan saw it.
 *
 * @param given Rules other than the usual ones.
 * @throws OpsError `plan-stale` or `usage`, see `checkPlan`.
 */
export function assertAsPlanned(
  plan: RecoveryPlan,
  { state, views }: Look,
  given?: Partial<Rules>,
): void {
  const rules = { ...RULES, ...given };
  const planner = rules.plannerOf(plan.method, plan.accept, rules.decideLeader);
  rules.checkPlan(plan, state, views, narrowed(planner, plan.only));
}

/** @throws OpsError `refused` for a partition that does not exist, or a replica that is not one of it. */
function assertPartitions(
  accept: ReadonlyMap<string, Endpoint>,
  views: readonly PartitionView[],
): void {
  for (const [name, leader] of accept) {
    const view = views.find((one) => partitionName(one.id) === name);
    if (view?.replicas.some((one) => one.endpoint === leader) === true) continue;
    const replicas = view?.replicas.map((one) => one.endpoint).join(", ");
    throw new OpsError({
      code: "refused",
      message:
        view === undefined
          ? `there is no partition ${name}`
          : `${name} has no replica at ${leader}`,
      hint:
        replicas === undefined
          ? "partitions are written as db.table:pid"
          : `its replicas are at ${replicas}`,
    });
  }
}
