import type { Cluster } from "../cluster/cluster.js";
import { type Endpoint, replicaKey } from "../model/cluster-state.js";
import type { SeenStore } from "../model/evidence.js";
import type { LaneFailure, OnEvent } from "../model/outcome.js";
import { viewPartitionsInTurns } from "../model/partition-view.js";
import type { RecoveryCommand, RunReport } from "../model/report.js";
import { execute } from "./execute.js";
import { createGuard, type Guard } from "./guard.js";
import { judge } from "./judge.js";
import { assertAsPlanned, type Look, look } from "./look.js";
import { createMemory } from "./memory.js";
import type { Method } from "./method.js";
import { observe } from "./observe.js";
import type { RecoveryPlan } from "./plan-recovery.js";
import { counted } from "./report.js";
import { EVERYTHING, type Selection, selected } from "./selection.js";
import type { Limits } from "./step-context.js";
import { untilAborted } from "./until-aborted.js";

export type { Method } from "./method.js";

/** What a recovery is asked to do. */
export interface RecoverOptions {
  /** The command that asks for it, for the report; `recoverdata` if undefined. */
  readonly command?: RecoveryCommand | undefined;
  /** What it is about; everything if undefined, system databases first. */
  readonly only?: Selection | undefined;
  /** `direct` if undefined. */
  readonly method?: Method | undefined;
  /** The replica that shall lead where something has to be given up, by `partitionName`. */
  readonly accept?: ReadonlyMap<string, Endpoint> | undefined;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
  /** The command that runs the recovery again, for the report. */
  readonly rerun: string;
  /**
   * Makes the guard of auto_failover, given the observed value; left out: a guard whose value
   * nobody but this process remembers.
   */
  readonly createGuard?: (observed: boolean) => Promise<Guard>;
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
  readonly seen?: SeenStore | undefined;
  /** What attempts of the same run found and did before this one. */
  readonly earlier?: Progress | undefined;
}

/** What a run that ended early had found and done until then. */
export interface Progress {
  /** The partitions that were not healthy, by `replicaKey`. */
  readonly sick: ReadonlySet<string>;
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

/**
 * Brings a cluster back: observe, diagnose, plan and execute partition by partition, put
 * auto_failover back, observe afresh and judge.
 *
 * On a healthy cluster nothing is changed, auto_failover included.
 *
 * @throws OpsError if the cluster cannot be observed at all; nothing has been changed then.
 */
export async function recoverData(
  cluster: Cluster,
  options: RecoverOptions,
): Promise<RecoverResult> {
  const { onEvent, signal } = options;
  const { only = EVERYTHING } = options.planned ?? options;
  const began = cluster.clock.now();
  const { state, sick, planner } = await lookAndReview(cluster, options);
  const before = state.autoFailover;
  const guard = (await options.createGuard?.(before)) ?? createGuard({ cluster, before, onEvent });
  const notes = new Map<string, readonly string[]>();
  const changes = countChanges((event) => {
    if (event.kind === "partition-note") {
      const key = replicaKey(event.id);
      notes.set(key, [...new Set([...(notes.get(key) ?? []), ...event.notes])]);
    }
    onEvent(event);
  });
  const memory = createMemory(options.seen, onEvent, state.remembered);
  let failures = new Map<string, LaneFailure>();
  let error: unknown;
  try {
    failures = await execute(cluster, sick, state.tables, {
      planner,
      limits: options.limits,
      signal,
      engageGuard: () => guard.engage(),
      onEvent: changes.onEvent,
      memory,
    });
  } catch (thrown) {
    error = thrown;
  }
  const isTouched = sick.length > 0 || guard.isEngaged();
  const notRestored = await guard.restore();
  const progress: Progress = {
    sick: new Set([...sick.map((view) => replicaKey(view.id)), ...(options.earlier?.sick ?? [])]),
    changes: changes.count() + (options.earlier?.changes ?? 0),
  };
  const endEarly = (thrown: unknown): RecoverResult => ({
    error: thrown,
    notRestored,
    hasChanged: progress.changes > 0,
    progress,
  });
  if (error !== undefined) return endEarly(error);

  try {
    const after = isTouched ? await observe(cluster, { signal }) : state;
    const all = await viewPartitionsInTurns(after);
    await untilAborted(memory.settle(all), signal);
    const judged = await judge({
      state: after,
      views: memory.beside(selected(all, only)),
      only,
      sickBefore: progress.sick,
      failures,
      notes,
      rerun: options.rerun,
    });
    return {
      report: {
        command: options.command ?? "recoverdata",
        ...judged,
        autoFailover: { before: guard.before, after: after.autoFailover, notRestored },
        changes: progress.changes,
        calls: cluster.callCount(),
        tookMs: cluster.clock.now() - began,
      },
    };
  } catch (thrown) {
    return endEarly(thrown);
  }
}

/**
 * Looks at the cluster, and lets the plan be reviewed. A later attempt of the same run goes on with
 * what was reviewed: what the first one did has made the cluster different.
 */
async function lookAndReview(cluster: Cluster, options: RecoverOptions): Promise<Look> {
  const { planned, review, earlier, signal, onEvent } = options;
  // Each step that loads a replica asks for its snapshot. To be compared with, a plan that was made
  // by a dry run has to be made once more from as much as that run knew.
  const asked = { ...options, snapshotPartitions: planned === undefined ? 0 : undefined };
  const seen = await look(cluster, asked);
  const { views, sick, state } = seen;
  onEvent({
    kind: "note",
    text: `${counted(views.length, "partition")} on ${counted(state.tablets.size, "tablet")}, ${sick.length} not healthy`,
  });
  const healthy = views.length - sick.length;
  if (options.command === "recovertable" && healthy > 0) {
    onEvent({
      kind: "note",
      text: `${counted(healthy, "partition")} with nothing to recover left alone; --force recovers alive followers all the same`,
    });
  }
  if (earlier !== undefined) return seen;
  if (planned !== undefined) assertAsPlanned(planned, seen);
  if ((await review?.(seen.plan, signal)) !== true) return seen;
  const again = await look(cluster, asked);
  assertAsPlanned(seen.plan, again);
  return again;
}

/** Counts the changing steps that were done on their way to the listener. */
function countChanges(onEvent: OnEvent): { onEvent: OnEvent; count: () => number } {
  let changes = 0;
  return {
    onEvent(event) {
      const isDone = event.kind === "step-ended" && event.outcome.result === "done";
      if (isDone && !event.step.kind.startsWith("wait-")) changes += 1;
      onEvent(event);
    },
    count: () => changes,
  };
}
