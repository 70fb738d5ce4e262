import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import type { LaneFailure, OnEvent } from "../model/outcome.js";
import { type PartitionView, partitionName, viewPartitions } from "../model/partition-view.js";
import type { RunReport } from "../model/report.js";
import { diagnose } from "./diagnose.js";
import { execute } from "./execute.js";
import { createGuard, type Guard } from "./guard.js";
import { judge } from "./judge.js";
import { observe } from "./observe.js";
import { planPartition } from "./plan.js";
import { type Planner, planDirect } from "./plan-direct.js";
import { counted } from "./report.js";
import type { Limits } from "./step-context.js";

/**
 * How partitions are brought back: `direct` decides on the true offsets of all replicas and feeds
 * each from its own data; `documented` is the sequence of OpenMLDB's documentation.
 */
export type Method = "direct" | "documented";

function plannerOf({ method, accept }: RecoverOptions): Planner {
  if (method === "documented") return planPartition;
  return (view, learned) => planDirect(view, learned, accept?.get(partitionName(view.id)));
}

/** What a recovery is asked to do. */
export interface RecoverOptions {
  /** Only this database; undefined: all of them, system databases first. */
  readonly db: string | undefined;
  /** `direct` if undefined. */
  readonly method?: Method | undefined;
  /** The replica that shall lead where something has to be given up, by `partitionName`. */
  readonly accept?: ReadonlyMap<string, Endpoint> | undefined;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
  /** The command that runs the recovery again, for the report. */
  readonly rerun: string;
  /** Hands out the guard as soon as there is one, for a process that must leave at once. */
  readonly onGuard?: (guard: Guard) => void;
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
  const began = cluster.clock.now();
  const state = await observe(cluster, { signal });
  const views = ofDatabase(viewPartitions(state), options.db);
  if (options.db !== undefined) assertKnown(options.db, views, state);
  const sick = views.filter((view) => diagnose(view).length > 0);
  onEvent({
    kind: "note",
    text: `${counted(views.length, "partition")} on ${counted(state.tablets.size, "tablet")}, ${sick.length} not healthy`,
  });

  const guard = createGuard({ cluster, before: state.autoFailover, onEvent });
  options.onGuard?.(guard);
  const notes = new Map<string, readonly string[]>();
  const changes = countChanges((event) => {
    if (event.kind === "partition-note") notes.set(replicaKey(event.id), event.notes);
    onEvent(event);
  });
  let failures = new Map<string, LaneFailure>();
  let error: unknown;
  try {
    failures = await execute(cluster, sick, state.tables, {
      planner: plannerOf(options),
      limits: options.limits,
      signal,
      engageGuard: () => guard.engage(),
      onEvent: changes.onEvent,
    });
  } catch (thrown) {
    error = thrown;
  }
  const notRestored = await guard.restore();
  if (error !== undefined) return { error, notRestored, hasChanged: changes.count() > 0 };

  try {
    const after = sick.length === 0 ? state : await observe(cluster, { signal });
    const judged = judge({
      state: after,
      views: ofDatabase(viewPartitions(after), options.db),
      sickBefore: new Set(sick.map((view) => replicaKey(view.id))),
      failures,
      notes,
      rerun: options.rerun,
    });
    return {
      report: {
        command: "recoverdata",
        ...judged,
        autoFailover: { before: state.autoFailover, after: after.autoFailover, notRestored },
        changes: changes.count(),
        calls: cluster.callCount(),
        tookMs: cluster.clock.now() - began,
      },
    };
  } catch (thrown) {
    return { error: thrown, notRestored, hasChanged: changes.count() > 0 };
  }
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
