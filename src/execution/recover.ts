import type { Cluster } from "../cluster/cluster.js";
import { EVERYTHING, problemsOf, type Selection, selected } from "../diagnosis/selection.js";
import { type ClusterState, replicaKey } from "../model/cluster-state.js";
import { counted } from "../model/counted.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import type { LaneFailure, OnEvent } from "../model/outcome.js";
import { type PartitionView, viewingPartitions } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import type { PartitionAtWork } from "../model/progress.js";
import type { RecoveryCommand, RunReport } from "../model/report.js";
import type { PrintCommand, RecoverAgain } from "../model/tool-command.js";
import { observe } from "../observe/cluster.js";
import type { Identities } from "../observe/identified-cluster.js";
import { awaitReturning, changedTablets } from "../observe/returning-tablets.js";
import { ADD_MISSING } from "../operations/add-missing.js";
import { NO_ATTEMPTS } from "../planning/attempt-history.js";
import { decideCommands } from "../planning/decisions.js";
import type { RecoveryPlan } from "../planning/recovery-plan.js";
import { createGuard, type Guard, isOn } from "../run/guard.js";
import type { Limits } from "../steps/step-context.js";
import { untilAborted } from "../util/within.js";
import { inTurns, mapInTurns } from "../util/yielding.js";
import { decideGuard } from "./decide-guard.js";
import { execute } from "./execute.js";
import { createKnownOffsets, type KnownOffsets } from "./known-offsets.js";
import {
  assertAsPlanned,
  type ObservedPlan,
  observeAndPlan,
  type RecoverScope,
} from "./observe-and-plan.js";
import { RULES, type Rules } from "./rules.js";
import { type RunTracker, reportObserved, trackRun } from "./run-tracker.js";

/** Options of {@link recoverData}. */
export interface RecoverOptions extends RecoverScope {
  /** The command, for the report; `recoverdata` if undefined. */
  readonly command?: RecoveryCommand | undefined;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
  /** Formats the command that repeats the recovery, for the report. */
  readonly again: RecoverAgain;
  readonly print: PrintCommand;
  /**
   * Creates the guard of auto_failover from the observed value; left out: a guard without a marker, so that
   * only this process can restore the value.
   */
  readonly createGuard?: (observed: boolean) => Promise<Guard>;
  /**
   * Called once if partitions need a decision at the end; true leaves auto_failover off until they are decided.
   * If it is on and a tablet returns, the nameserver elects other leaders for the partitions that the tablet
   * leads and rebuilds its replicas, whatever they hold (OpenMLDB 0.9 nameserver: OnTabletOnline). Left out:
   * auto_failover is restored.
   */
  readonly keepsOff?: (undecided: number) => Promise<boolean>;
  /**
   * A saved plan to execute; its scope, method and choices apply. It is compared with the cluster before the
   * first change.
   */
  readonly planned?: RecoveryPlan | undefined;
  /**
   * Receives the plan before the first change. An error that it throws ends the run without changes.
   *
   * @param signal Ends the review with its reason.
   * @returns True if the review took so long that the cluster has to be observed again.
   */
  readonly review?: (plan: RecoveryPlan, signal: AbortSignal) => Promise<boolean>;
  /** The store for lower bounds; left out: nothing is stored beyond the run. */
  readonly knownOffsetsStore?: KnownOffsetsStore | undefined;
  /** The identities of tablets that earlier attempts of the same run verified; undefined: none. */
  readonly identities?: Identities | undefined;
  /** The progress of earlier attempts of the same run. */
  readonly earlier?: Progress | undefined;
  /** Rules that replace those of {@link RULES}; see {@link Rules}. */
  readonly rules?: Partial<Rules> | undefined;
}

/** The progress of a run that ended early. */
export interface Progress {
  /** The partitions that were unhealthy, by `replicaKey`. */
  readonly unhealthy: ReadonlySet<string>;
  /** Those of them whose recovery finished without a failure. */
  readonly finished: ReadonlySet<string>;
  /** Changes made. */
  readonly changes: number;
}

/** The result of a recovery: a report, or the error that ended it early. */
export type RecoverResult =
  | { readonly report: RunReport }
  | {
      readonly error: unknown;
      /** Why auto_failover could not be restored; undefined if it is as it was. */
      readonly notRestored: string | undefined;
      /** True if the cluster was changed before the run ended. */
      readonly hasChanged: boolean;
      readonly progress: Progress;
    };

/** Limit of passes over the partitions that are still unhealthy. */
const PASSES_MAX = 3;

/**
 * Recovers a cluster: observes, diagnoses, plans and executes partition by partition, observes again, continues
 * with the partitions that are still unhealthy, restores auto_failover and verifies the result.
 *
 * Changes nothing on a healthy cluster, auto_failover included.
 *
 * @throws OpsError if the cluster cannot be observed at all; nothing has been changed then.
 */
export async function recoverData(
  unchecked: Cluster,
  options: RecoverOptions,
): Promise<RecoverResult> {
  const rules = { ...RULES, ...options.rules };
  const cluster = rules.identify(unchecked, options.identities);
  const { onEvent, signal } = options;
  const { only = EVERYTHING } = options.planned ?? options;
  const began = cluster.clock.now();
  const found = await observeAndReview(cluster, options);
  const { state, unhealthy } = found;
  const before = state.autoFailover;
  reportObserved(onEvent, "before", state);
  const guard = (await options.createGuard?.(before)) ?? createGuard({ cluster, before, onEvent });
  const tracker = trackRun(onEvent);
  const knownOffsets = createKnownOffsets(options.knownOffsetsStore, onEvent, state.remembered);
  let worked: WorkResult | undefined;
  let error: unknown;
  try {
    worked = await workInPasses(cluster, found, { options, only, guard, tracker, knownOffsets });
    await decideGuard(guard, worked, { only, keepsOff: options.keepsOff });
  } catch (thrown) {
    error = thrown;
  }
  const notRestored = await guard.restore();
  const progress: Progress = {
    unhealthy: new Set([
      ...unhealthy.map((view) => replicaKey(view.id)),
      ...(options.earlier?.unhealthy ?? []),
    ]),
    finished: new Set([...tracker.finished, ...(options.earlier?.finished ?? [])]),
    changes: tracker.changes() + (options.earlier?.changes ?? 0),
  };
  const endEarly = (thrown: unknown): RecoverResult => ({
    error: thrown,
    notRestored,
    hasChanged: progress.changes > 0,
    progress,
  });
  if (worked === undefined) return endEarly(error);

  try {
    await untilAborted(knownOffsets.settle(worked.all), signal);
    reportObserved(onEvent, "after", worked.state);
    const verified = await inTurns(
      rules.verifyPartitions({
        state: worked.state,
        views: knownOffsets.addTo(selected(worked.all, only)),
        only,
        unhealthyBefore: progress.unhealthy,
        failures: worked.failures,
        notes: tracker.notes,
        again: options.again,
        print: options.print,
      }),
    );
    const after = worked.isTouched ? isOn(await untilAborted(cluster.confGet(), signal)) : before;
    return {
      report: {
        command: options.command ?? "recoverdata",
        ...verified,
        decide: decideCommands(options.again),
        lost: lostReport(worked, found.plan, options),
        autoFailover: { before: guard.before, after, notRestored, isLeftOff: guard.isLeftOff() },
        changes: progress.changes,
        calls: cluster.callCount(),
        tookMs: cluster.clock.now() - began,
      },
    };
  } catch (thrown) {
    return endEarly(thrown);
  }
}

function lostReport(
  { state, all }: WorkResult,
  { lost, only }: RecoveryPlan,
  { print }: RecoverOptions,
): RunReport["lost"] {
  if (lost === undefined) return undefined;
  const specified = new Map(state.tables.map((table) => [table.tid, table.replicaCount]));
  const short = selected(all, only).filter(
    ({ id, replicas }) => replicas.length < (specified.get(id.tid) ?? 0),
  );
  return {
    tablets: [...lost.tablets],
    shortPartitions: short.length,
    addMissing: print(ADD_MISSING),
  };
}

/** The result of all passes. */
interface WorkResult {
  /** The last observation, made after the last change other than restoring auto_failover. */
  readonly state: ClusterState;
  /** All its partitions. */
  readonly all: readonly PartitionView[];
  /** The failures, by `replicaKey`. */
  readonly failures: ReadonlyMap<string, LaneFailure>;
  /** True if the cluster was, or may have been, changed. */
  readonly isTouched: boolean;
}

/** The parts of a pass other than the cluster. */
interface PassContext {
  readonly options: RecoverOptions;
  readonly only: Selection;
  readonly guard: Guard;
  readonly tracker: RunTracker;
  readonly knownOffsets: KnownOffsets;
}

/**
 * Executes passes: recovers the unhealthy partitions, observes the whole cluster again, and continues with the
 * partitions that are still unhealthy and for which steps can be planned (for example, because a tablet came
 * back). Ends if there are none, if a pass changes nothing, or after {@link PASSES_MAX}.
 */
async function workInPasses(
  cluster: Cluster,
  found: ObservedPlan,
  { options, only, guard, tracker, knownOffsets }: PassContext,
): Promise<WorkResult> {
  const { limits, signal, onEvent } = options;
  const { planner } = found;
  const lost = found.plan.lost?.tablets;
  const failures = new Map<string, LaneFailure>();
  const ours = new Set(found.unhealthy.map((view) => replicaKey(view.id)));
  const needed = new Set(
    found.unhealthy.flatMap(({ replicas }) => replicas.map((one) => one.endpoint)),
  );
  let { state } = found;
  let unhealthy = await untilAborted(knownOffsets.keepLastOfLost(found.unhealthy), signal);
  for (let pass = 1; ; pass += 1) {
    const changes = tracker.changes();
    const before = state;
    tracker.onEvent({
      kind: "work",
      partitions: unhealthy.map((view) => atWork(view, problemsOf(view, only))),
    });
    const failed = await execute(cluster, unhealthy, state.tables, {
      planner,
      limits,
      signal,
      engageGuard: () => guard.engage(),
      onEvent: tracker.onEvent,
      knownOffsets,
      lost,
    });
    for (const [key, failure] of failed) failures.set(key, failure);
    const isTouched = ours.size > 0 || guard.isEngaged();
    onEvent({ kind: "phase", phase: "verifying" });
    if (isTouched) state = await observe(cluster, { signal, lost, onEvent });
    const returned = await awaitReturning(cluster, state, needed, { signal, onEvent });
    if (returned.size > 0) state = await observe(cluster, { signal, lost, onEvent });
    const changed = changedTablets(before, state);
    const all = await inTurns(viewingPartitions(state));
    const isOpen = (view: PartitionView) => {
      const key = replicaKey(view.id);
      if (!ours.has(key) || problemsOf(view, only).length === 0) return false;
      const failure = failures.get(key);
      // After a lasting failure the step would fail again.
      if (failure !== undefined && failure.step !== "plan" && failure.isTransient !== true)
        return false;
      // A tablet of the partition has changed, so the reason may be outdated.
      const isOutdated = view.replicas.some((one) => changed.has(one.endpoint));
      return isOutdated || planner(view, NO_ATTEMPTS).steps.length > 0;
    };
    const views = knownOffsets.addTo(selected(all, only));
    const open = await mapInTurns(views, isOpen);
    unhealthy = views.filter((_, index) => open[index] === true);
    const isTransient = unhealthy.some(
      ({ id }) => failures.get(replicaKey(id))?.isTransient === true,
    );
    const isIdle = tracker.changes() === changes && changed.size === 0 && !isTransient;
    if (unhealthy.length === 0 || pass === PASSES_MAX || isIdle) {
      return { state, all, failures, isTouched };
    }
    for (const { id } of unhealthy) failures.delete(replicaKey(id));
    onEvent({
      kind: "note",
      text: `${counted(unhealthy.length, "partition")} not healthy yet: continuing with them`,
    });
  }
}

/** A partition with its unhealthy replicas; all replicas if only the partition as a whole has a problem. */
function atWork({ id, replicas }: PartitionView, problems: readonly Problem[]): PartitionAtWork {
  const endpoints = problems.flatMap((one) => one.endpoint ?? []);
  const all = replicas.map((one) => one.endpoint);
  return { id, replicas: endpoints.length === 0 ? all : [...new Set(endpoints)] };
}

/**
 * Observes the cluster, plans, and has the plan reviewed. A later attempt of the same run skips the review and the
 * comparison with the saved plan, because the first attempt has changed the cluster.
 */
async function observeAndReview(cluster: Cluster, options: RecoverOptions): Promise<ObservedPlan> {
  const { planned, review, earlier, signal, onEvent } = options;
  // Snapshots are normally read by the steps that load. A saved plan has to be recomputed from the same facts
  // that the dry run had, so that the two can be compared.
  const scope = {
    ...options,
    snapshotPartitions: planned === undefined ? 0 : undefined,
    // An earlier attempt has changed the cluster, so the decisions no longer match it.
    decisions: earlier === undefined ? options.decisions : undefined,
  };
  const found = await observeAndPlan(cluster, scope);
  const { views, unhealthy, state } = found;
  onEvent({
    kind: "note",
    text: `${counted(views.length, "partition")} on ${counted(state.tablets.size, "tablet")}, ${unhealthy.length} not healthy`,
  });
  const healthy = views.length - unhealthy.length;
  if (options.command === "recovertable" && healthy > 0) {
    onEvent({
      kind: "note",
      text: `${counted(healthy, "partition")} with nothing to recover left alone; --force recovers alive followers anyway`,
    });
  }
  if (earlier !== undefined) return found;
  if (planned !== undefined) assertAsPlanned(planned, found, options.rules);
  if ((await review?.(found.plan, signal)) !== true) return found;
  const again = await observeAndPlan(cluster, scope);
  assertAsPlanned(found.plan, again, options.rules);
  return again;
}
