import pLimit, { type LimitFunction } from "p-limit";
import type { Cluster } from "../cluster/cluster.js";
import { messageOf } from "../errors.js";
import {
  type Endpoint,
  type PartitionId,
  replicaKey,
  type TableClaim,
} from "../model/cluster-state.js";
import type { LaneFailure, OnEvent } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import { isMutating, type Lane, type Step } from "../model/plan.js";
import { batchMarks, markKey, planPartition } from "./plan.js";
import { sharedPoll } from "./shared-poll.js";
import { type Limits, observePartition, type StepContext } from "./step-context.js";
import { runStep } from "./steps.js";

/** How often a partition is looked at afresh and planned again before the run leaves it. */
const ROUNDS_MAX = 4;

/** What a run needs beside the partitions. */
export interface ExecuteOptions {
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly engageGuard: () => Promise<void>;
  readonly onEvent: OnEvent;
}

/**
 * Brings partitions back, side by side. One that fails never stops another.
 *
 * A partition goes through rounds: plan what its problems ask for, do the steps in order, look
 * again. It is through when nothing is left to plan, when a step fails, or after
 * {@link ROUNDS_MAX} rounds. Leaders come first: a partition that takes reads and writes is worth
 * more than one with all its replicas, so no leader waits behind the slow ops of followers.
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
  const lanes = views.map(planPartition);
  const context = createContext(cluster, lanes, tables, options);
  const leaders = pLimit(options.limits.concurrency);
  const followers = pLimit(options.limits.concurrency);
  const failures = new Map<string, LaneFailure>();
  const work = lanes.map(async (lane) => {
    const failure = await recoverPartition(context, lane, options, { leaders, followers });
    if (failure !== undefined) failures.set(replicaKey(lane.id), failure);
    options.onEvent({ kind: "lane-ended", id: lane.id, failure });
  });
  await untilAborted(Promise.all(work), options.signal);
  return failures;
}

/** Leaves as soon as the signal comes, whatever calls are still in flight. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let leave = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    leave = () => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", leave);
    work.catch(() => undefined);
  }
}

interface Places {
  readonly leaders: LimitFunction;
  readonly followers: LimitFunction;
}

async function recoverPartition(
  context: StepContext,
  first: Lane,
  options: ExecuteOptions,
  places: Places,
): Promise<LaneFailure | undefined> {
  let lane = first;
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    options.onEvent({ kind: "lane", lane, round });
    if (lane.blocked !== undefined) {
      return { endpoint: lane.blocked.endpoint, step: "plan", detail: lane.blocked.text };
    }
    if (lane.steps.length === 0) return undefined;
    const failure = await runLane(context, lane, options, places);
    if (failure !== undefined) return failure;
    const view = await observePartitionSafely(context, lane.id);
    if (view === undefined) return undefined;
    if ("failure" in view) return view.failure;
    lane = planPartition(view);
  }
  if (lane.steps.length === 0 && lane.blocked === undefined) return undefined;
  return {
    endpoint: undefined,
    step: "plan",
    detail: `still not healthy after ${ROUNDS_MAX} rounds; somebody else may be changing it`,
  };
}

async function observePartitionSafely(
  context: StepContext,
  id: PartitionId,
): Promise<PartitionView | { readonly failure: LaneFailure } | undefined> {
  try {
    return await observePartition(context, id);
  } catch (thrown) {
    context.signal.throwIfAborted();
    return { failure: { endpoint: undefined, step: "plan", detail: messageOf(thrown) } };
  }
}

/** Runs a lane's steps; a stale step ends the round, a failed one the partition. */
async function runLane(
  context: StepContext,
  lane: Lane,
  options: ExecuteOptions,
  places: Places,
): Promise<LaneFailure | undefined> {
  const isFollowerStep = (step: Step) => step.kind === "recover-table" || step.kind === "wait-sync";
  const split = lane.steps.findIndex(isFollowerStep);
  const parts =
    split < 0
      ? [{ place: places.leaders, steps: lane.steps }]
      : [
          { place: places.leaders, steps: lane.steps.slice(0, split) },
          { place: places.followers, steps: lane.steps.slice(split) },
        ];
  for (const part of parts) {
    const ended = await part.place(() => runSteps(context, lane, part.steps, options));
    if (ended === "stale") return undefined;
    if (ended !== "done") return ended;
  }
  return undefined;
}

async function runSteps(
  context: StepContext,
  lane: Lane,
  steps: readonly Step[],
  options: ExecuteOptions,
): Promise<"done" | "stale" | LaneFailure> {
  let failure: LaneFailure | undefined;
  for (const step of steps) {
    const outcome = await runAndTell(context, lane, step, options.onEvent);
    if (outcome.result === "stale") return "stale";
    if (outcome.result !== "failed") continue;
    failure ??= { endpoint: step.endpoint, step: step.kind, detail: outcome.detail };
    // One follower that cannot be recovered takes nothing away from the next one.
    if (step.kind !== "recover-table" && step.kind !== "wait-sync") break;
  }
  return failure ?? "done";
}

async function runAndTell(context: StepContext, lane: Lane, step: Step, onEvent: OnEvent) {
  const { clock } = context.cluster;
  context.signal.throwIfAborted();
  const began = clock.now();
  onEvent({ kind: "step-started", id: lane.id, step });
  if (isMutating(step)) await context.engageGuard();
  const outcome = await runStep(context, lane, step);
  onEvent({ kind: "step-ended", id: lane.id, step, outcome, tookMs: clock.now() - began });
  return outcome;
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
