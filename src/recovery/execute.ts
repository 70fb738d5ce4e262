import pLimit from "p-limit";
import type { Cluster } from "../cluster/cluster.js";
import { type Endpoint, replicaKey, type TableClaim } from "../model/cluster-state.js";
import type { LaneFailure, OnEvent } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import { batchMarks, markKey } from "./plan.js";
import { NOTHING_LEARNED, type Planner } from "./plan-learned.js";
import { recoverPartition } from "./recover-partition.js";
import { sharedPoll } from "./shared-poll.js";
import type { Limits, StepContext } from "./step-context.js";
import { untilAborted } from "./until-aborted.js";

/** What a run needs beside the partitions. */
export interface ExecuteOptions {
  readonly planner: Planner;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly engageGuard: () => Promise<void>;
  readonly onEvent: OnEvent;
}

/**
 * Brings partitions back, side by side. One that fails never stops another.
 *
 * Leaders come first: a partition that takes reads and writes is worth more than one with all its
 * replicas, so no leader waits behind the slow ops of followers.
 *
 * @param views In the order in which to begin: system databases first.
 * @param tables The same observation, to know which marks can share a call.
 * @returns What went wrong, by `replicaKey`; partitions that are through without are absent.
 * @throws The signal's reason if the run is to stop; steps in flight are left to end by themselves.
 */
export async function execute(
  cluster: Cluster,
  views: readonly PartitionView[],
  tables: readonly TableClaim[],
  options: ExecuteOptions,
): Promise<Map<string, LaneFailure>> {
  const lanes = views.map((view) => options.planner(view, NOTHING_LEARNED));
  const context = createContext(cluster, lanes, tables, options);
  const places = {
    leaders: pLimit(options.limits.concurrency),
    followers: pLimit(options.limits.concurrency),
  };
  const failures = new Map<string, LaneFailure>();
  const work = lanes.map(async (lane) => {
    const failure = await recoverPartition(context, lane, options, places);
    if (failure !== undefined) failures.set(replicaKey(lane.id), failure);
    options.onEvent({ kind: "lane-ended", id: lane.id, failure });
  });
  await untilAborted(Promise.all(work), options.signal);
  return failures;
}

function createContext(
  cluster: Cluster,
  lanes: readonly Lane[],
  tables: readonly TableClaim[],
  options: ExecuteOptions,
): StepContext {
  const { clock } = cluster;
  return {
    cluster,
    limits: options.limits,
    signal: options.signal,
    engageGuard: options.engageGuard,
    markDead: createMarker(cluster, lanes, tables),
    withLoadSlot: createLoadSlots(options.limits.loadsPerTablet),
    statusOf: memoize((endpoint: Endpoint) =>
      sharedPoll(
        clock,
        async () => {
          const reports = await cluster.getTableStatus(endpoint);
          return new Map(reports.map((one) => [replicaKey(one), one]));
        },
        (reports) =>
          [...reports.values()].map((one) => `${one.state}${one.role}${one.offset}`).join(),
      ),
    ),
    ops: sharedPoll(
      clock,
      () => cluster.showOpStatus(),
      (ops) => ops.map((op) => `${op.id}${op.status}${op.task}`).join(),
    ),
  };
}

function memoize<V>(make: (key: string) => V): (key: string) => V {
  const made = new Map<string, V>();
  return (key) => {
    const known = made.get(key) ?? make(key);
    made.set(key, known);
    return known;
  };
}

function createLoadSlots(loadsPerTablet: number): StepContext["withLoadSlot"] {
  const slots = memoize(() => pLimit(loadsPerTablet));
  return (endpoint, work) => slots(endpoint)(work);
}

/**
 * Marks replicas dead. The first round's marks of a table on an endpoint share one call where all
 * of them are affected; later rounds mark one replica at a time.
 */
function createMarker(
  cluster: Cluster,
  lanes: readonly Lane[],
  tables: readonly TableClaim[],
): StepContext["markDead"] {
  const shared = new Map<string, Promise<void> | undefined>(
    batchMarks(lanes, tables)
      .filter((mark) => mark.pid === undefined)
      .map((mark) => [markKey(mark), undefined]),
  );
  const used = new Set<string>();
  return (id, endpoint) => {
    const { db, table, pid } = id;
    const key = markKey({ db, table, endpoint, pid: undefined });
    const own = markKey({ db, table, endpoint, pid });
    if (!shared.has(key) || used.has(own)) {
      return cluster.updateTableAlive({ db, table, endpoint, pid }, false);
    }
    used.add(own);
    const call = shared.get(key) ?? cluster.updateTableAlive({ db, table, endpoint }, false);
    shared.set(key, call);
    return call;
  };
}
