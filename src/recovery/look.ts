import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { type PartitionView, partitionName, viewPartitions } from "../model/partition-view.js";
import { diagnose } from "./diagnose.js";
import { type Method, plannerOf } from "./method.js";
import { observe } from "./observe.js";
import { boundPlanner, checkPlan, viewsOf } from "./plan-apply.js";
import type { Planner } from "./plan-learned.js";
import { makePlan, type RecoveryPlan } from "./plan-recovery.js";

/** What to look for and how to plan. */
export interface LookOptions {
  /** Only this database; undefined: all of them, system databases first. */
  readonly db: string | undefined;
  /** `direct` if undefined. */
  readonly method?: Method | undefined;
  /** The replica that shall lead where something has to be given up, by `partitionName`. */
  readonly accept?: ReadonlyMap<string, Endpoint> | undefined;
  /** A plan to keep to; its database, method and choices count instead of those above. */
  readonly planned?: RecoveryPlan | undefined;
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
 * @throws OpsError if the cluster cannot be observed, or if no table lives in `db`.
 */
export async function look(cluster: Cluster, options: LookOptions): Promise<Look> {
  const { planned, signal } = options;
  const { db, method = "direct", accept = new Map() } = planned ?? options;
  const state = await observe(cluster, { signal });
  const views = ofDatabase(viewPartitions(state), db);
  if (db !== undefined) assertKnown(db, views, state);
  assertPartitions(accept, views);
  const sick = views.filter((view) => diagnose(view).length > 0);
  const planner = plannerOf(method, accept);
  const now = new Date(cluster.clock.now()).toISOString();
  return {
    state,
    views,
    sick: planned === undefined ? sick : viewsOf(planned, sick),
    planner: planned === undefined ? planner : boundPlanner(planned, planner),
    plan: planned ?? makePlan({ state, views, planner, method, db, accept, now }),
  };
}

/**
 * Checks that a look at the cluster is still as the plan saw it.
 *
 * @throws OpsError `plan-stale` or `usage`, see {@link checkPlan}.
 */
export function assertAsPlanned(plan: RecoveryPlan, { state, views }: Look): void {
  checkPlan(plan, state, views, plannerOf(plan.method, plan.accept));
}

/** The views of one database; of all with undefined. */
export function ofDatabase(
  views: readonly PartitionView[],
  db: string | undefined,
): PartitionView[] {
  return views.filter((view) => db === undefined || view.id.db === db);
}

/** @throws OpsError `refused` if no table lives in `db`: a typo must not look like success. */
export function assertKnown(
  db: string,
  views: readonly PartitionView[],
  state: ClusterState,
): void {
  if (views.length > 0) return;
  const known = [...new Set(state.tables.map((table) => table.db))].filter((name) => name !== "");
  throw new OpsError({
    code: "refused",
    message: `no table lives in a database named ${JSON.stringify(db)}`,
    hint: `the databases with tables are: ${known.join(", ") || "none"}`,
  });
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
