import pLimit from "p-limit";
import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError } from "../errors.js";
import type { Action } from "../model/action.js";
import { replicaKey } from "../model/cluster-state.js";
import type { SeenStore } from "../model/evidence.js";
import type { OnEvent, StepOutcome } from "../model/outcome.js";
import { observe } from "../observe/cluster.js";
import { identifiedCluster, newIdentities } from "../observe/identified-cluster.js";
import type { ActionResult, Operation, OperationPlan } from "../operations/operation.js";
import { assertSamePlan, type SavedOperation } from "../planning/saved-operation.js";
import type { Guard } from "../run/guard.js";
import { ACTS } from "../steps/acts.js";
import { noOps } from "../steps/no-ops.js";
import type { Limits, StepContext } from "../steps/step-context.js";
import { untilAborted } from "../util/until-aborted.js";
import { createContext } from "./execute.js";
import { createRooms, type Room, type Rooms, roomOf } from "./leader-copy-exclusion.js";
import { createUndo } from "./rollback-on-stop.js";

/** What running an operation needs. */
export interface RunOperationOptions {
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
  /** The cluster as it may be changed after `signal`, to take something back; absent: as ever. */
  readonly tidying?: Cluster | undefined;
  /** Makes the guard of auto_failover, given the observed value; see `Attempt.createGuard`. */
  readonly createGuard: (observed: boolean) => Promise<Guard>;
  /** What earlier runs knew of partitions that lack rows; absent: nothing is laid beside. */
  readonly seen?: SeenStore | undefined;
  /** The plan to execute and nothing else; compared with the cluster before anything is done. */
  readonly given?: SavedOperation | undefined;
  /**
   * Sees the plan before the first change; what it throws ends the run with nothing changed.
   *
   * @returns Whether it took a while, so that the cluster has to be looked at again.
   */
  readonly review: (plan: OperationPlan) => Promise<boolean>;
}

/** How an operation ended. */
export interface OperationReport {
  readonly plan: OperationPlan;
  readonly results: readonly ActionResult[];
  /** What is not as it should be, one line each. */
  readonly complaints: readonly string[];
  /** What is worth telling. */
  readonly conclusions: readonly string[];
  /** Why auto_failover could not be put back; undefined if it is as it was. */
  readonly notRestored: string | undefined;
  /** What ended the run early; undefined if it came to its end. */
  readonly error: unknown;
  /** Whether anything may have been changed. */
  readonly hasChanged: boolean;
}

/**
 * Observes, plans, executes, verifies. A lane that fails does not stop another; what was switched
 * is put back whatever happens.
 *
 * @throws OpsError before anything was changed: the cluster cannot be observed, the plan is refused
 *   or stale, or the review ended it.
 */
export async function runOperation(
  unchecked: Cluster,
  operation: Operation,
  asked: RunOperationOptions,
): Promise<OperationReport> {
  const identities = newIdentities();
  const cluster = identifiedCluster(unchecked, identities);
  const tidying = asked.tidying && identifiedCluster(asked.tidying, identities);
  const options = { ...asked, tidying };
  const { given, review, signal } = options;
  const look = () => observe(cluster, { signal, seen: options.seen });
  if (operation.waitsForOps === true) await noOps(cluster, options);
  let state = await look();
  let plan = operation.plan(state);
  if (given !== undefined) assertSamePlan(given, operation, plan);
  if (plan.actions.length > 0 && (await review(plan))) {
    const seen = { command: operation.command, words: operation.words, plan };
    state = await look();
    plan = operation.plan(state);
    assertSamePlan(seen, operation, plan);
  }
  const guard = await options.createGuard(state.autoFailover);
  const results: ActionResult[] = [];
  let error: unknown;
  if (plan.actions.length > 0) {
    try {
      await execute(cluster, operation, plan, { ...options, guard, results });
    } catch (thrown) {
      error = thrown;
    }
  }
  const notRestored = await guard.restore();
  const ended = { plan, results, notRestored, hasChanged: results.some(isChange) };
  if (error !== undefined) return { ...ended, complaints: [], conclusions: [], error };
  try {
    const after = plan.actions.length > 0 ? await look() : state;
    const complaints = plan.actions.length > 0 ? operation.verify(after, results) : [];
    const conclusions = operation.conclude?.(after, results) ?? [];
    return { ...ended, complaints, conclusions, error: undefined };
  } catch (thrown) {
    return { ...ended, complaints: [], conclusions: [], error: thrown };
  }
}

function isChange({ outcome }: ActionResult): boolean {
  // A failed call may have had its effect.
  return outcome.result === "done" || outcome.result === "failed";
}

interface Execution extends RunOperationOptions {
  readonly guard: Guard;
  /** Filled as actions end. */
  readonly results: ActionResult[];
}

async function execute(
  cluster: Cluster,
  operation: Operation,
  plan: OperationPlan,
  execution: Execution,
): Promise<void> {
  const { limits, signal, guard, results } = execution;
  const undo = createUndo();
  const context: StepContext = {
    ...createContext(cluster, [], {
      limits,
      signal,
      engageGuard: () => (operation.needsOff ? guard.engage() : Promise.resolve()),
    }),
    undo,
  };
  const places = pLimit(operation.concurrency);
  const rooms = createRooms();
  const work = [...lanesOf(plan.actions)].map((lane) =>
    places(async () => {
      const isWell = await runLane(lane, rooms, async (action, isReached) => {
        const outcome: ActionResult["outcome"] = isReached
          ? await perform(context, operation, action, execution.onEvent)
          : { result: "not-done" };
        results.push({ action, outcome });
        return outcome.result === "done" || outcome.result === "already-done";
      });
      if (isWell) await operation.afterLane?.(lane);
    }),
  );
  const lanes = allEnded(work);
  try {
    await untilAborted(lanes, signal);
  } catch (thrown) {
    const { tidying = cluster, onEvent } = execution;
    const engageGuard = () => Promise.resolve();
    await undo.run(
      tidying,
      lanes,
      (end) => createContext(tidying, [], { limits, signal: end, engageGuard }),
      onEvent,
    );
    throw thrown;
  }
}

/** Waits for all, also if one throws: nothing may be under way when auto_failover is put back. */
async function allEnded(work: readonly Promise<void>[]): Promise<void> {
  const ended = await Promise.allSettled(work);
  const bad = ended.find((one) => one.status === "rejected");
  if (bad !== undefined) throw bad.reason;
}

/**
 * Runs the actions of one lane in order, each in its room.
 *
 * @param run Does one action, or only notes it if one before it did not end well; whether it is well.
 * @returns Whether all ended well.
 */
async function runLane(
  lane: readonly Action[],
  rooms: Rooms,
  run: (action: Action, isReached: boolean) => Promise<boolean>,
): Promise<boolean> {
  let isWell = true;
  let room: Room | undefined;
  try {
    for (const [index, action] of lane.entries()) {
      const wanted = roomOf(action, lane[index - 1]);
      if (isWell && wanted !== room) {
        if (room !== undefined) rooms.leave();
        room = undefined;
        await rooms.enter(wanted);
        room = wanted;
      }
      isWell = (await run(action, isWell)) && isWell;
    }
  } finally {
    if (room !== undefined) rooms.leave();
  }
  return isWell;
}

/** Actions by what they are about: the partition, else the tablet, else all together. */
function lanesOf(actions: readonly Action[]): Iterable<readonly Action[]> {
  const lanes = new Map<string, Action[]>();
  for (const action of actions) {
    const key = action.id === undefined ? `@${action.endpoint ?? ""}` : replicaKey(action.id);
    const lane = lanes.get(key) ?? [];
    lane.push(action);
    lanes.set(key, lane);
  }
  return lanes.values();
}

async function perform(
  context: StepContext,
  operation: Operation,
  action: Action,
  onEvent: OnEvent,
): Promise<StepOutcome> {
  context.signal.throwIfAborted();
  const began = context.cluster.clock.now();
  onEvent({ kind: "action-started", action });
  const outcome = await attempt(context, operation, action);
  onEvent({
    kind: "action-ended",
    action,
    outcome,
    tookMs: context.cluster.clock.now() - began,
  });
  return outcome;
}

async function attempt(
  context: StepContext,
  operation: Operation,
  action: Action,
): Promise<StepOutcome> {
  try {
    await operation.before?.(action);
    await context.engageGuard();
    return await ACTS[action.verb](context, action);
  } catch (thrown) {
    context.signal.throwIfAborted();
    const hint = thrown instanceof OpsError && thrown.hint !== undefined ? ` (${thrown.hint})` : "";
    return { result: "failed", detail: `${messageOf(thrown)}${hint}` };
  }
}
