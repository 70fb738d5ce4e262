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
import { tabletSummaries } from "../model/tablet-summary.js";
import type { PrintCommand, RecoverAgain } from "../model/tool-command.js";
import { observe } from "../observe/cluster.js";
import type { Identities } from "../observe/identified-cluster.js";
import { awaitReturning } from "../observe/returning-tablets.js";
import { ADD_MISSING } from "../operations/add-missing.js";
import { NO_ATTEMPTS } from "../planning/attempt-history.js";
import { decideCommands } from "../planning/decisions.js";
import type { RecoveryPlan } from "../planning/recovery-plan.js";
import { createGuard, type Guard, isOn } from "../run/guard.js";
import type { Limits } from "../steps/step-context.js";
import { untilAborted } from "../util/until-aborted.js";
import { inTurns, mapInTurns } from "../util/yielding.js";
import { decideGuard } from "./decide-guard.js";
import { execute } from "./execute.js";
import { createKnownOffsets, type KnownOffsetsOfRun } from "./known-offsets.js";
import { assertAsPlanned, type Look, look, type RecoverScope } from "./look.js";
import { RULES, type Rules } from "./rules.js";
import { keepTrack, type Told } from "./told.js";

export type { Method } from "../planning/method.js";

/** What a recovery is asked to do. */
export interface RecoverOptions extends RecoverScope {
  /** The command that asks for it, for the report; `recoverdata` if undefined. */
  readonly command?: RecoveryCommand | undefined;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
  /** The command that runs the recovery again, for the report. */
  readonly again: RecoverAgain;
  readonly print: PrintCommand;
  /**
   * Makes the guard of auto_failover, given the observed value; left out: a guard whose value
   * only this process remembers.
   */
  readonly createGuard?: (observed: boolean) => Promise<Guard>;
  /**
   * Asked once where partitions need a decision at the end: whether auto_failover stays off until they have
   * one. With it on, the nameserver elects another leader for what a returning tablet leads, and rebuilds
   * its replicas, without asking what they hold (OpenMLDB 0.9 nameserver: OnTabletOnline). Left out: it is put back.
   */
  readonly keepsOff?: (undecided: number) => Promise<boolean>;
  /**
   * A plan to execute, and nothing else: its database, method and choices count. It is compared
   * with the cluster before anything is done.
   */
  readonly planned?: RecoveryPlan | undefined;
  /**
   * Sees the plan before the first change. What it throws ends the run with nothing changed.
   *
   * @param signal Ends the review with its reason.
   * @returns Whether it took a while, so that the cluster has to be looked at again.
   */
  readonly review?: (plan: RecoveryPlan, signal: AbortSignal) => Promise<boolean>;
  /** What outlives a run; left out: a later run knows nothing of what this one saw. */
  readonly seen?: KnownOffsetsStore | undefined;
  /** What attempts of the same run found out about tablets; undefined: nothing. */
  readonly identities?: Identities | undefined;
  /** What attempts of the same run found and did before this one. */
  readonly earlier?: Progress | undefined;
  /** Rules other than those of every command; see {@link Rules}. */
  readonly rules?: Partial<Rules> | undefined;
}

/** What a run that ended early had found and done until then. */
export interface Progress {
  /** The partitions that were not healthy, by `replicaKey`. */
  readonly unhealthy: ReadonlySet<string>;
  /** Those of them that are through and ended well. */
  readonly through: ReadonlySet<string>;
  /** Changes made. */
  readonly changes: number;
}

/** How a recovery ended: with a report, or early, with the reason and the state of the guard. */
export type RecoverResult =
  | { readonly report: RunReport }
  | {
      readonly error: unknown;
      /** Why auto_failover could not be put back; undefined if it is as it was. */
      readonly notRestored: string | undefined;
      /** Whether anything was changed before the run ended. */
      readonly hasChanged: boolean;
      readonly progress: Progress;
    };

/** How often what is still not healthy at the end is worked on in one run. */
const PASSES_MAX = 3;

/**
 * Brings a cluster back: observe, diagnose, plan and execute partition by partition, observe afresh,
 * go on with what is still not healthy, put auto_failover back and judge.
 *
 * On a healthy cluster nothing is changed, auto_failover included.
 *
 * @throws OpsError if the cluster cannot be observed at all; nothing has been changed then.
 */
export async function recoverData(
  unchecked: Cluster,
  options: RecoverOptions,
): Promise<RecoverResult> {
  const identify = options.rules?.identify ?? RULES.identify;
  const cluster = identify(unchecked, options.identities);
  const { onEvent, signal } = options;
  const { only = EVERYTHING } = options.planned ?? options;
  const began = cluster.clock.now();
  const seen = await lookAndReview(cluster, options);
  const { state, unhealthy } = seen;
  const before = state.autoFailover;
  const observed = (when: "before" | "after", { topology, ...of }: ClusterState) =>
    onEvent({ kind: "observed", when, nameserver: topology.leader, tablets: tabletSummaries(of) });
  observed("before", state);
  const guard = (await options.createGuard?.(before)) ?? createGuard({ cluster, before, onEvent });
  const told = keepTrack(onEvent);
  const knownOffsets = createKnownOffsets(options.seen, onEvent, state.remembered);
  let worked: Worked | undefined;
  let error: unknown;
  try {
    worked = await workInPasses(cluster, seen, { options, only, guard, told, knownOffsets });
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
    through: new Set([...told.through, ...(options.earlier?.through ?? [])]),
    changes: told.changes() + (options.earlier?.changes ?? 0),
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
    observed("after", worked.state);
    const judged = await inTurns(
      (options.rules?.judge ?? RULES.judge)({
        state: worked.state,
        views: knownOffsets.beside(selected(worked.all, only)),
        only,
        unhealthyBefore: progress.unhealthy,
        failures: worked.failures,
        notes: told.notes,
        again: options.again,
        print: options.print,
      }),
    );
    const after = worked.isTouched ? isOn(await untilAborted(cluster.confGet(), signal)) : before;
    return {
      report: {
        command: options.command ?? "recoverdata",
        ...judged,
        decide: decideCommands(options.again),
        lost: lostReport(worked, seen.plan, options),
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
  { state, all }: Worked,
  { lost, only }: RecoveryPlan,
  { print }: RecoverOptions,
): RunReport["lost"] {
  if (lost === undefined) return undefined;
  const asked = new Map(state.tables.map((table) => [table.tid, table.replicaCount]));
  const short = selected(all, only).filter(
    ({ id, replicas }) => replicas.length < (asked.get(id.tid) ?? 0),
  );
  return {
    tablets: [...lost.tablets],
    shortPartitions: short.length,
    addMissing: print(ADD_MISSING),
  };
}

/** What came of the work. */
interface Worked {
  /** The cluster as it was seen last, after the last change but for auto_failover. */
  readonly state: ClusterState;
  /** All its partitions. */
  readonly all: readonly PartitionView[];
  /** What was tried in vain, by `replicaKey`. */
  readonly failures: ReadonlyMap<string, LaneFailure>;
  /** Whether the cluster was, or may have been, changed. */
  readonly isTouched: boolean;
}

/** What the passes need beside the cluster. */
interface Surroundings {
  readonly options: RecoverOptions;
  readonly only: Selection;
  readonly guard: Guard;
  readonly told: Told;
  readonly knownOffsets: KnownOffsetsOfRun;
}

/**
 * Works on what is not healthy, looks at the whole cluster afresh, and goes on with those partitions
 * that were thought to be through and are not, or can be helped by now (a tablet came back). It ends
 * when there are none, when a pass changes nothing, or after {@link PASSES_MAX}.
 */
async function workInPasses(
  cluster: Cluster,
  seen: Look,
  { options, only, guard, told, knownOffsets }: Surroundings,
): Promise<Worked> {
  const { limits, signal, onEvent } = options;
  const { planner } = seen;
  const lost = seen.plan.lost?.tablets;
  const failures = new Map<string, LaneFailure>();
  const ours = new Set(seen.unhealthy.map((view) => replicaKey(view.id)));
  const needed = new Set(
    seen.unhealthy.flatMap(({ replicas }) => replicas.map((one) => one.endpoint)),
  );
  let { state } = seen;
  let unhealthy = await untilAborted(knownOffsets.keepLastOfLost(seen.unhealthy), signal);
  for (let pass = 1; ; pass += 1) {
    const changes = told.changes();
    told.onEvent({
      kind: "work",
      partitions: unhealthy.map((view) => atWork(view, problemsOf(view, only))),
    });
    const failed = await execute(cluster, unhealthy, state.tables, {
      planner,
      limits,
      signal,
      engageGuard: () => guard.engage(),
      onEvent: told.onEvent,
      knownOffsets,
      lost,
    });
    for (const [key, failure] of failed) failures.set(key, failure);
    const isTouched = ours.size > 0 || guard.isEngaged();
    onEvent({ kind: "phase", phase: "verifying" });
    if (isTouched) state = await observe(cluster, { signal, lost, onEvent });
    const changed = await awaitReturning(cluster, state, needed, { signal, onEvent });
    if (changed.size > 0) state = await observe(cluster, { signal, lost, onEvent });
    const all = await inTurns(viewingPartitions(state));
    const isOpen = (view: PartitionView) => {
      const key = replicaKey(view.id);
      if (!ours.has(key) || problemsOf(view, only).length === 0) return false;
      const failure = failures.get(key);
      // A step that failed for a reason that lasts would fail again.
      if (failure !== undefined && failure.step !== "plan" && failure.isTransient !== true)
        return false;
      // What kept it from being planned may be another reason by now.
      const isOutdated = view.replicas.some((one) => changed.has(one.endpoint));
      return isOutdated || planner(view, NO_ATTEMPTS).steps.length > 0;
    };
    const views = knownOffsets.beside(selected(all, only));
    const open = await mapInTurns(views, isOpen);
    unhealthy = views.filter((_, index) => open[index] === true);
    const isTransient = unhealthy.some(
      ({ id }) => failures.get(replicaKey(id))?.isTransient === true,
    );
    const isIdle = told.changes() === changes && changed.size === 0 && !isTransient;
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

/** A partition with the replicas that have problems; with all of them where it has problems as a whole. */
function atWork({ id, replicas }: PartitionView, problems: readonly Problem[]): PartitionAtWork {
  const endpoints = problems.flatMap((one) => one.endpoint ?? []);
  const all = replicas.map((one) => one.endpoint);
  return { id, replicas: endpoints.length === 0 ? all : [...new Set(endpoints)] };
}

/**
 * Looks at the cluster, and lets the plan be reviewed. A later attempt of the same run goes on with
 * what was reviewed: what the first one did has made the cluster different.
 */
async function lookAndReview(cluster: Cluster, options: RecoverOptions): Promise<Look> {
  const { planned, review, earlier, signal, onEvent } = options;
  // Each step that loads a replica asks for its snapshot. To be compared with, a plan that was made
  // by a dry run has to be made once more from as much as that run knew.
  const asked = {
    ...options,
    snapshotPartitions: planned === undefined ? 0 : undefined,
    // What an earlier attempt did has made the cluster different.
    decisions: earlier === undefined ? options.decisions : undefined,
  };
  const seen = await look(cluster, asked);
  const { views, unhealthy, state } = seen;
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
  if (earlier !== undefined) return seen;
  if (planned !== undefined) assertAsPlanned(planned, seen, options.rules);
  if ((await review?.(seen.plan, signal)) !== true) return seen;
  const again = await look(cluster, asked);
  assertAsPlanned(seen.plan, again, options.rules);
  return again;
}
