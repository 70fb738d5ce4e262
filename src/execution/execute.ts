import pLimit from "p-limit";
import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import {
  type Endpoint,
  type FollowerList,
  followerKey,
  type ReplicaReport,
  replicaKey,
  type TableClaim,
} from "../model/cluster-state.js";
import { activityOf } from "../model/ops-of-partition.js";
import type { LaneFailure, OnEvent } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Mark } from "../model/plan.js";
import { type SharedPoll, sharedLook, sharedPoll } from "../observe/coalesced-calls.js";
import { NOTHING_LEARNED, type Planner } from "../planning/attempt-history.js";
import { batchMarks, markKey } from "../planning/documented.js";
import type { ForeseenRound } from "../planning/predict-rounds.js";
import { isLoading } from "../policy/what-it-holds.js";
import { loadWindow } from "../steps/adaptive-load-limit.js";
import { createRecoverDesk, isSoonerTogether } from "../steps/recover-endpoint-batch.js";
import type { Limits, StepContext, TableName } from "../steps/step-context.js";
import { untilAborted } from "../util/until-aborted.js";
import { mapInTurns } from "../util/yielding.js";
import type { Memory } from "./known-offsets.js";
import type { Places } from "./run-lane.js";
import { recoverPartition } from "./run-partition.js";

/** Tablets answer with all that they have loaded: those who look a moment later share the answer. */
const GATHER_MS = 10;

/** What a run needs beside the partitions. */
export interface ExecuteOptions {
  readonly planner: Planner;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly engageGuard: () => Promise<void>;
  readonly onEvent: OnEvent;
  readonly memory: Memory;
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
  const { limits, signal, onEvent } = options;
  const rounds = await mapInTurns(views, (view) => ({
    view,
    lane: options.planner(view, NOTHING_LEARNED),
  }));
  const marks = await batchMarks(
    rounds.map((one) => one.lane),
    tables,
  );
  const context = withDesk(createContext(cluster, marks, options), views);
  const places: Places = {
    beginning: pLimit(limits.concurrency),
    leaders: pLimit(limits.concurrency),
    followers: pLimit(limits.concurrency),
  };
  const failures = new Map<string, LaneFailure>();
  const run = async (first: ForeseenRound) => {
    const { id } = first.lane;
    const failure = await recoverPartition(context, first, options, places);
    if (failure !== undefined) failures.set(replicaKey(id), failure);
    onEvent({ kind: "lane-ended", id, failure });
  };
  const begun = mapInTurns(rounds, (first) => {
    const work = run(first);
    // Who waits for all of them may not be listening yet.
    work.catch(() => undefined);
    return work;
  });
  await untilAborted(
    begun.then((all) => Promise.all(all)),
    signal,
  );
  return failures;
}

/** A desk for followers, where there can be enough of them that it pays to wait for each other. */
function withDesk(context: StepContext, views: readonly PartitionView[]): StepContext {
  const canPay = isSoonerTogether(views.map((view) => view.id.pid));
  return canPay ? { ...context, desk: createRecoverDesk(context) } : context;
}

/**
 * What steps work with.
 *
 * @param marks Marks of the first round, some of which share a call; see `batchMarks`.
 */
export function createContext(
  cluster: Cluster,
  marks: readonly Mark[],
  options: Pick<ExecuteOptions, "limits" | "signal" | "engageGuard">,
): StepContext {
  const { clock } = cluster;
  const { limits } = options;
  const windowOf = memoize(() => loadWindow(clock, limits.loadsPerTablet));
  return {
    cluster,
    limits,
    signal: options.signal,
    engageGuard: options.engageGuard,
    markDead: createMarker(cluster, marks),
    withLoadSlot: (endpoint, work, mayQueue = false) => windowOf(endpoint).run(work, mayQueue),
    statusOf: memoize((endpoint: Endpoint) =>
      sharedPoll(
        clock,
        async () => {
          const reports = await cluster.getTableStatus(endpoint);
          return new Map(reports.map((one) => [replicaKey(one), one]));
        },
        motionOf,
        {
          onTick: (reports) =>
            windowOf(endpoint).tick([...reports.values()].filter(isLoading).length),
          gatherMs: GATHER_MS,
        },
      ),
    ),
    listOf: createLists(cluster),
    recordOf: createRecords(cluster),
    ops: sharedPoll(clock, () => cluster.showOpStatus(), activityOf),
    tablets: sharedLook(clock, async () => {
      const tablets = await cluster.showTablet();
      return new Map(tablets.map((one) => [one.endpoint, one]));
    }),
    registered: sharedLook(clock, async () => new Set((await cluster.topology()).tablets)),
  };
}

/** Text that differs when something moves on a tablet: a load begins, grows or ends, a role changes. */
function motionOf(reports: ReadonlyMap<string, ReplicaReport>): string {
  let text = `${reports.size}`;
  for (const one of reports.values()) {
    text += `,${one.state}${one.role}${one.offset}`;
    if (isLoading(one)) text += `/${one.recordCount}`;
  }
  return text;
}

function createLists(cluster: Cluster): StepContext["listOf"] {
  const polls = new Map<string, SharedPoll<FollowerList>>();
  return (leader, id) => {
    const key = followerKey(leader, id);
    const poll =
      polls.get(key) ??
      sharedPoll(
        cluster.clock,
        () => cluster.getTableFollower(leader, id),
        (list) => `${list.offset} ${[...list.followers].join()}`,
      );
    polls.set(key, poll);
    return poll;
  };
}

function createRecords(cluster: Cluster): StepContext["recordOf"] {
  const byKey = memoize((key) => {
    const [db = "", table = ""] = JSON.parse(key) as string[];
    return sharedLook(cluster.clock, async () => {
      const tables = await cluster.showTable({ db, table });
      return tables.find((one) => one.db === db && one.table === table);
    });
  });
  return ({ db, table }: TableName) => byKey(JSON.stringify([db, table]));
}

function memoize<V>(make: (key: string) => V): (key: string) => V {
  const made = new Map<string, V>();
  return (key) => {
    const known = made.get(key) ?? make(key);
    made.set(key, known);
    return known;
  };
}

/**
 * Marks replicas dead. The first round's marks of a table on an endpoint share one call where all
 * of them are affected; later rounds mark one replica at a time.
 */
function createMarker(cluster: Cluster, marks: readonly Mark[]): StepContext["markDead"] {
  const shared = new Map<string, Promise<void> | undefined>(
    marks.filter((mark) => mark.pid === undefined).map((mark) => [markKey(mark), undefined]),
  );
  const used = new Set<string>();
  return (id, endpoint, mayShare) => {
    const { db, table, pid } = id;
    const key = markKey({ db, table, endpoint, pid: undefined });
    const own = markKey({ db, table, endpoint, pid });
    if (!(mayShare && shared.has(key)) || used.has(own)) {
      return cluster.updateTableAlive({ db, table, endpoint, pid }, false);
    }
    used.add(own);
    const call = shared.get(key) ?? cluster.updateTableAlive({ db, table, endpoint }, false);
    shared.set(key, call);
    return call.catch((thrown: unknown) => {
      if (!(thrown instanceof OpsError) || !thrown.retryable) throw thrown;
      // The answer was lost: each partition makes sure of its own replica only.
      return cluster.updateTableAlive({ db, table, endpoint, pid }, false);
    });
  };
}
