import type { Cluster } from "../cluster/cluster.js";
import {
  type Endpoint,
  type FollowerList,
  followerKey,
  isOpActive,
  type ReplicaReport,
} from "../model/cluster-state.js";
import { activityOf } from "../model/ops.js";
import type { OnEvent } from "../model/outcome.js";
import type { MarkDeadCall } from "../model/plan.js";
import { observe } from "../observe/cluster.js";
import { type SharedPoll, sharedPoll, sharedRead } from "../observe/coalesced-calls.js";
import { observeOnePartition } from "../observe/partition.js";
import { readReports } from "../observe/read-tablet.js";
import { markDeadKey } from "../planning/documented.js";
import { isLoading } from "../policy/what-it-holds.js";
import { adaptiveLoadLimit } from "../steps/adaptive-load-limit.js";
import { runStep } from "../steps/run-step.js";
import type { Limits, Rollback, StepContext } from "../steps/step-context.js";
import { memoized } from "../util/memoized.js";

/**
 * Milliseconds that a read waits, per partition of the run, for other reads to share its answer. With many
 * partitions CPU time is the bottleneck and every call costs some; with few, a read does not wait.
 */
const GATHER_MS_PER_PARTITION = 0.05;
const GATHER_MAX_MS = 40;

/** Milliseconds that a read waits for others in a run of so many partitions. */
export function gatherMsOf(partitions: number): number {
  return Math.min(GATHER_MAX_MS, Math.floor(partitions * GATHER_MS_PER_PARTITION));
}

/** The parts of a step context other than the cluster. */
export interface ContextOptions {
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
  readonly engageGuard: () => Promise<void>;
  readonly rollback: Rollback;
  /** Number of partitions in the run; 0 if left out. */
  readonly partitions?: number;
  /** Tablets that the operator declared lost; none if left out. */
  readonly lost?: ReadonlySet<Endpoint> | undefined;
  /** UpdateTableAliveStatus calls of the first round, some for a whole table; see `batchMarkDead`. None if left out. */
  readonly markDeadCalls?: readonly MarkDeadCall[];
}

/** Creates the context that all steps of a run share. */
export function createContext(cluster: Cluster, options: ContextOptions): StepContext {
  const { clock } = cluster;
  const { limits, signal, onEvent, lost = new Set<Endpoint>() } = options;
  const { markDeadCalls = [], partitions = 0 } = options;
  const gatherMs = gatherMsOf(partitions);
  const limitOf = memoized((_endpoint: Endpoint) =>
    adaptiveLoadLimit(clock, limits.loadsPerTablet),
  );
  const context: StepContext = {
    cluster,
    limits,
    signal,
    lost,
    rollback: options.rollback,
    engageGuard: options.engageGuard,
    markDead: createMarker(cluster, markDeadCalls),
    withLoadSlot: (endpoint, work, mayQueue = false) => limitOf(endpoint).run(work, mayQueue),
    statusOf: memoized((endpoint: Endpoint) =>
      sharedPoll(clock, () => readReports(cluster, endpoint), activityOnTablet, {
        onTick(reports) {
          const loading = [...reports.values()].filter(isLoading).length;
          limitOf(endpoint).tick(loading);
          onEvent({ kind: "loads", endpoint, loading });
        },
        gatherMs,
      }),
    ),
    listOf: createLists(cluster),
    recordOf: createRecords(cluster, gatherMs),
    ops: sharedPoll(clock, () => cluster.showOpStatus(), activityOf, {
      onTick: (ops) => onEvent({ kind: "ops", ops: ops.filter(isOpActive) }),
      gatherMs,
    }),
    tablets: sharedRead(clock, async () => {
      const tablets = await cluster.showTablet();
      return new Map(tablets.map((one) => [one.endpoint, one]));
    }),
    registered: sharedRead(clock, async () => new Set((await cluster.topology()).tablets)),
    leftRegistrations: sharedRead(clock, async () => {
      const { tablets } = await cluster.topology();
      const znodes = await Promise.all(tablets.map((one) => cluster.leftRegistration(one)));
      const left = tablets.map((one, index) => [one, znodes[index]] as const);
      return new Map(left.flatMap(([one, znode]) => (znode === undefined ? [] : [[one, znode]])));
    }),
    viewOf: (id, recordAgeMs) => observeOnePartition(context, id, recordAgeMs),
    observe: () => observe(cluster, { signal, lost }),
    runStep: (step, lane) => runStep(context, step, lane),
  };
  return context;
}

/** A fingerprint of a tablet's reports: it differs once a load begins, progresses or ends, or a role changes. */
function activityOnTablet(reports: ReadonlyMap<string, ReplicaReport>): string {
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

function createRecords(cluster: Cluster, gatherMs: number): StepContext["recordOf"] {
  const byKey = memoized((key: string) => {
    const [db = "", table = ""] = JSON.parse(key) as string[];
    const read = async () => {
      const tables = await cluster.showTable({ db, table });
      return tables.find((one) => one.db === db && one.table === table);
    };
    return sharedRead(cluster.clock, read, gatherMs);
  });
  return ({ db, table }) => byKey(JSON.stringify([db, table]));
}

/**
 * Returns the function that marks replicas not alive. In the first round one call marks all replicas of a table
 * on an endpoint, if all of them are affected. Later rounds mark one replica at a time.
 */
function createMarker(cluster: Cluster, calls: readonly MarkDeadCall[]): StepContext["markDead"] {
  const shared = new Map<string, Promise<void> | undefined>(
    calls.filter(({ pid }) => pid === undefined).map((one) => [markDeadKey(one), undefined]),
  );
  const used = new Set<string>();
  return (id, endpoint, mayShare) => {
    const { db, table, pid } = id;
    const key = markDeadKey({ db, table, endpoint, pid: undefined });
    const own = markDeadKey({ db, table, endpoint, pid });
    if (!(mayShare && shared.has(key)) || used.has(own)) {
      return cluster.updateTableAlive({ db, table, endpoint, pid }, false);
    }
    used.add(own);
    const call = shared.get(key) ?? cluster.updateTableAlive({ db, table, endpoint }, false);
    shared.set(key, call);
    return call;
  };
}
