import { OpsError } from "../errors.js";
import { type Endpoint, isOpActive, type Op, type PartitionId } from "../model/cluster-state.js";
import { durationText } from "../model/duration.js";
import {
  activityOf,
  isInLongTask,
  opsOfPartition,
  STANDSTILL_MS,
  taskLimitMs,
} from "../model/ops.js";
import type { StepContext } from "./step-context.js";

/** Accepted age in milliseconds of an answer about tablets. */
const LOOK_AGE_MS = 5_000;
/**
 * Accepted age in milliseconds of the list of left-behind registrations: one stays until the operator deletes it.
 */
const LEFT_AGE_MS = 60_000;

/**
 * Waits until no op of the partition is queued or running; see {@link untilEnded}.
 *
 * @param after Only ops with a higher id count.
 * @returns Those ops, all ended.
 */
export function opsEnded(
  context: StepContext,
  id: PartitionId,
  after = -1n,
): Promise<readonly Op[]> {
  return untilEnded(context, (all) => opsOfPartition(all, id).filter((op) => op.id > after));
}

/** Waits until no op of the nameserver is queued or running; see {@link untilEnded}. */
export async function allOpsEnded(context: StepContext): Promise<void> {
  await untilEnded(context, (all) => all.filter(isOpActive));
}

/**
 * Waits until some ops have ended.
 *
 * A running op has `opTimeoutMs` to reach its next task, or less, see {@link taskLimitMs}. A queued op waits as long as anything changes
 * at the nameserver, since a queue runs one op at a time. An op without progress for longer, or one
 * that is known to be blocked, is cancelled if the operator requested it (`--cancel_stuck`): cancelled
 * ops stay in their queue and do nothing more there.
 *
 * @param meant Selects them from all ops.
 * @returns Those ops, all ended.
 * @throws OpsError `deadline` if nothing changes for `opTimeoutMs`, or see {@link opsBlocked}.
 */
async function untilEnded(
  context: StepContext,
  meant: (all: readonly Op[]) => readonly Op[],
): Promise<readonly Op[]> {
  const { clock } = context.cluster;
  const { opTimeoutMs, cancelStuck } = context.limits;
  const cancelled = new Set<bigint>();
  let progressAt = clock.now();
  let last = "";
  let all = await context.ops.now();
  for (;;) {
    context.signal.throwIfAborted();
    const own = meant(all);
    const active = own.filter(isOpActive);
    const first = active[0];
    if (first === undefined) return own;
    const isRunning = active.some((op) => op.status === "doing");
    const now = isRunning ? activityOf(active) : activityOf(all);
    if (now !== last) progressAt = clock.now();
    last = now;
    const stillMs = clock.now() - progressAt;
    const stuck =
      stillMs > taskLimitMs(first, opTimeoutMs)
        ? { ops: [first], why: standstill(first, opTimeoutMs) }
        : await blocked(context, active, stillMs);
    if (stuck !== undefined) {
      if (!cancelStuck || stuck.ops.some((op) => cancelled.has(op.id))) throw stuck.why;
      await context.engageGuard();
      for (const op of stuck.ops) {
        cancelled.add(op.id);
        await context.cluster.cancelOp(op.id);
      }
      progressAt = clock.now();
    }
    all = await context.ops.next();
  }
}

async function blocked(context: StepContext, ops: readonly Op[], stillMs: number) {
  const why = await opsBlocked(context, ops, stillMs);
  return why && { ops, why };
}

function standstill(op: Op, opTimeoutMs: number): OpsError {
  const limitMs = taskLimitMs(op, opTimeoutMs);
  const longer = limitMs < opTimeoutMs ? "" : ", or with a longer --op_timeout";
  return new OpsError({
    code: "deadline",
    message: `op ${op.id} (${op.type}) has made no progress in task ${op.task} for ${durationText(limitMs)}`,
    hint: `inspect shows the command that cancels op ${op.id}; or run again with --cancel_stuck${longer}`,
  });
}

/**
 * Detects, before a long wait, that ops cannot end: the nameserver ends no op before each tablet that
 * it counts as healthy has answered (OpenMLDB 0.9 nameserver: DeleteTask).
 *
 * A tablet that does not answer may only be busy, or its registration may be about to end, so ops must
 * have made no progress for a while first. A tablet with a left-behind registration is detected at
 * once.
 *
 * @param active The ops that are awaited; empty if an op is about to be requested.
 * @param stillMs Milliseconds for which nothing has changed at the nameserver.
 * @returns The error `deadline`; undefined if nothing is known to block them.
 */
export async function opsBlocked(
  context: StepContext,
  active: readonly Op[],
  stillMs: number,
): Promise<OpsError | undefined> {
  const left = await context.leftRegistrations.lately(LEFT_AGE_MS);
  const isStill = stillMs >= STANDSTILL_MS && !active.some(isInLongTask);
  if (!isStill && left.size === 0) return undefined;
  const silent = await silentTablets(context, isStill ? undefined : left);
  if (silent.length === 0) return undefined;
  const [first] = active;
  const what =
    first === undefined ? "an op would not end" : `op ${first.id} (${first.type}) does not end`;
  const [does, is] = silent.length === 1 ? ["does", "is"] : ["do", "are"];
  const znodes = silent.flatMap((one) => left.get(one) ?? []);
  const see =
    znodes.length === 0
      ? `make ${silent.join(", ")} answer`
      : `if no tablet runs there, delete what was left behind: ${znodes.join(", ")}`;
  const cancel =
    first === undefined ? "" : "; or run again with --cancel_stuck, which cancels such ops";
  return new OpsError({
    code: "deadline",
    message: `${what}: the nameserver waits for ${silent.join(", ")}, which ${is} registered and healthy for the nameserver and ${does} not answer`,
    hint: `${see}${cancel}`,
  });
}

/** @param among Only these are read; if undefined, all tablets that the nameserver waits for. */
async function silentTablets(
  context: StepContext,
  among: ReadonlyMap<Endpoint, string> | undefined,
): Promise<readonly Endpoint[]> {
  const [registered, claims] = await Promise.all([
    context.registered.lately(LOOK_AGE_MS),
    context.tablets.lately(LOOK_AGE_MS),
  ]);
  const awaited = [...registered].filter(
    (one) => claims.get(one)?.isHealthy === true && among?.has(one) !== false,
  );
  const answers = await Promise.all(
    awaited.map((endpoint) =>
      context
        .statusOf(endpoint)
        .lately(LOOK_AGE_MS)
        .then(
          () => true,
          () => false,
        ),
    ),
  );
  context.signal.throwIfAborted();
  return awaited.filter((_, index) => answers[index] === false).sort();
}
