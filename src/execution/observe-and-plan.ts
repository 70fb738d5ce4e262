import type { Cluster } from "../cluster/cluster.js";
import {
  assertKnown,
  EVERYTHING,
  forcedIn,
  problemsOf,
  type Selection,
  selected,
} from "../diagnosis/selection.js";
import { OpsError, refused } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { counted } from "../model/counted.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import {
  givenUpCount,
  isWithin,
  type Loss,
  type Lost,
  lossFlagValue,
  sumOfLosses,
} from "../model/loss.js";
import type { OnEvent } from "../model/outcome.js";
import { type PartitionView, partitionName, viewingPartitions } from "../model/partition-view.js";
import type { Method } from "../model/plan.js";
import { observe } from "../observe/cluster.js";
import type { Planner } from "../planning/attempt-history.js";
import { boundPlanner, viewsOf } from "../planning/check-saved-plan.js";
import { type LeaderDecision, staleDecisions } from "../planning/decisions.js";
import { lossesOf } from "../planning/lost.js";
import { narrowed } from "../planning/planner.js";
import { makePlan, type RecoveryPlan } from "../planning/recovery-plan.js";
import { inTurns, mapInTurns } from "../util/yielding.js";
import { RULES, type Rules } from "./rules.js";

/** The partitions of a recovery, and the operator's decisions. */
export interface RecoverScope {
  /** The partitions to recover; all if undefined, system databases first. */
  readonly only?: Selection | undefined;
  /** `direct` if undefined. */
  readonly method?: Method | undefined;
  /** The chosen leader of each partition in which data may be discarded, by `partitionName`. */
  readonly accept?: ReadonlyMap<string, Endpoint> | undefined;
  /** Tablets that the operator declared lost; none if undefined. */
  readonly lost?: ReadonlySet<Endpoint> | undefined;
  /** The largest accepted sum of losses on lost tablets; none if undefined. */
  readonly acceptsLossOfLost?: Loss | undefined;
  /** Decisions from a file, which are checked against the cluster; `accept` contains their choices too. */
  readonly decisions?: readonly LeaderDecision[] | undefined;
}

/** Options of {@link observeAndPlan}. */
export interface ObserveAndPlanOptions extends RecoverScope {
  /** A saved plan to execute; its scope, method and choices replace those above. */
  readonly planned?: RecoveryPlan | undefined;
  /** The lower bounds stored by earlier runs; undefined: none. */
  readonly knownOffsetsStore?: KnownOffsetsStore | undefined;
  /** See `Scope` of `observe`. */
  readonly snapshotPartitions?: number | undefined;
  /** Rules other than {@link RULES}; see {@link Rules}. */
  readonly rules?: Partial<Rules> | undefined;
  readonly signal: AbortSignal;
  /** Receives the progress of the observation; absent: no progress is reported. */
  readonly onEvent?: OnEvent | undefined;
}

/** An observation of the cluster with the recovery plan made from it. */
export interface ObservedPlan {
  readonly state: ClusterState;
  readonly views: readonly PartitionView[];
  /** The views of the partitions to recover. */
  readonly unhealthy: readonly PartitionView[];
  readonly planner: Planner;
  readonly plan: RecoveryPlan;
}

/**
 * Observes the cluster and plans. Changes nothing.
 *
 * @throws OpsError if the cluster cannot be observed, if a selected or named partition or replica does not exist,
 *   if a decision is outdated (`plan-stale`), or if the accepted loss is exceeded (`refused`).
 */
export async function observeAndPlan(
  cluster: Cluster,
  options: ObserveAndPlanOptions,
): Promise<ObservedPlan> {
  const { planned, signal, onEvent } = options;
  const { only = EVERYTHING, method = "direct", accept = new Map() } = planned ?? options;
  const lost = lostOf(planned ?? options);
  onEvent?.({ kind: "phase", phase: "looking" });
  const state = await observe(cluster, {
    signal,
    onEvent,
    knownOffsetsStore: options.knownOffsetsStore,
    snapshotPartitions: options.snapshotPartitions,
    lost: lost?.tablets,
  });
  onEvent?.({ kind: "phase", phase: "planning" });
  const rules = { ...RULES, ...options.rules };
  rules.checkLost(state, lost?.tablets ?? new Set());
  const all = await inTurns(viewingPartitions(state));
  assertKnown(all, only);
  const views = selected(all, only);
  assertPartitions(accept, views);
  assertDecided(options.decisions ?? [], views);
  const plannerWith = (losses: ReadonlyMap<string, Loss>) =>
    narrowed(rules.plannerOf(method, accept, rules.decideLeader, losses), only);
  const planner = plannerWith(lost?.losses ?? new Map());
  if (planned !== undefined) {
    const isUnhealthy = await mapInTurns(views, (view) => needsWork(view, only));
    const unhealthy = viewsOf(
      planned,
      views.filter((_, index) => isUnhealthy[index] === true),
    );
    return { state, views, unhealthy, planner: boundPlanner(planned, planner), plan: planned };
  }
  const now = new Date(cluster.clock.wallTime()).toISOString();
  const input = { state, views, planner, method, only, accept, lost, now };
  const first = await inTurns(makePlan(input));
  const losses = acceptedLosses(first, options.acceptsLossOfLost);
  const isSame = lost === undefined || losses === undefined;
  const plan = isSame
    ? first
    : await inTurns(
        makePlan({ ...input, planner: plannerWith(losses), lost: { ...lost, losses } }),
      );
  const unhealthy = new Set(plan.partitions.map((one) => one.id));
  return {
    state,
    views,
    unhealthy: views.filter((view) => unhealthy.has(view.id)),
    planner: isSame ? planner : plannerWith(losses),
    plan,
  };
}

/** @throws OpsError `plan-stale` if the facts that a decision was made on have changed. */
function assertDecided(
  decisions: readonly LeaderDecision[],
  views: readonly PartitionView[],
): void {
  const stale = staleDecisions(decisions, views);
  if (stale.length === 0) return;
  throw new OpsError({
    code: "plan-stale",
    message: `${counted(stale.length, "decision")} does not fit the cluster any more; nothing was changed`,
    hint: "write the decisions again with --decisions_out",
    details: stale,
  });
}

function lostOf({ lost }: Pick<ObserveAndPlanOptions | RecoveryPlan, "lost">): Lost | undefined {
  if (lost === undefined || "tablets" in lost) return lost;
  return lost.size === 0 ? undefined : { tablets: lost, losses: new Map() };
}

/**
 * The loss that is accepted in each partition; undefined if no sum was accepted.
 *
 * @throws OpsError `refused` if the sum of the losses now exceeds the accepted sum.
 */
function acceptedLosses(
  plan: RecoveryPlan,
  accepted: Loss | undefined,
): ReadonlyMap<string, Loss> | undefined {
  if (accepted === undefined) return undefined;
  const losses = lossesOf(plan);
  const sum = sumOfLosses([...losses.values()]);
  if (isWithin(sum, accepted)) return losses;
  throw refused(
    `${givenUpCount(sum)} would be given up in ${counted(losses.size, "partition")}, and --accept_data_loss=${lossFlagValue(accepted)} does not cover that`,
    `see the plan with --dry_run; to accept it: --accept_data_loss=${lossFlagValue(sum)}`,
  );
}

function needsWork(view: PartitionView, only: Selection): boolean {
  return problemsOf(view, only).length > 0 || forcedIn(view, only).length > 0;
}

/**
 * Checks that the cluster still matches a plan.
 *
 * @param given Rules that replace those of {@link RULES}.
 * @throws OpsError `plan-stale` or `usage`, see `checkPlan`.
 */
export function assertAsPlanned(
  plan: RecoveryPlan,
  { state, views }: ObservedPlan,
  given?: Partial<Rules>,
): void {
  const rules = { ...RULES, ...given };
  const { method, accept, lost } = plan;
  const planner = rules.plannerOf(method, accept, rules.decideLeader, lost?.losses);
  rules.checkPlan(plan, state, views, narrowed(planner, plan.only));
}

/** @throws OpsError `refused` for a partition that does not exist, or an endpoint without a replica of it. */
function assertPartitions(
  accept: ReadonlyMap<string, Endpoint>,
  views: readonly PartitionView[],
): void {
  for (const [name, leader] of accept) {
    const view = views.find((one) => partitionName(one.id) === name);
    if (view?.replicas.some((one) => one.endpoint === leader) === true) continue;
    const replicas = view?.replicas.map((one) => one.endpoint).join(", ");
    throw refused(
      view === undefined ? `there is no partition ${name}` : `${name} has no replica at ${leader}`,
      replicas === undefined
        ? "partitions are written as db.table:pid"
        : `its replicas are at ${replicas}`,
    );
  }
}
