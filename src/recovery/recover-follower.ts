import { messageOf, OpsError } from "../errors.js";
import type { Endpoint, Op } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { Lane, Step } from "../model/plan.js";
import { problemsNow, type StepContext } from "./step-context.js";
import { isOpOf, newestOf, opsEnded, waitForSync } from "./waits.js";

/** The first pause before an op is tried again; it doubles each time. */
const BACKOFF_MS = 1_000;
/** How long an op that RecoverTable promised may take to show up in the nameserver's list. */
const OP_APPEARS_MS = 5_000;

/**
 * Recovers one follower through the nameserver: RecoverTable, then its op and child ops to their
 * end, then the replica itself, since an op can fail silently (code 0 and no op at all).
 *
 * The real nameserver fails such ops now and then under load and does them when asked again, so a
 * failed one is tried again up to `opRetries` times.
 */
export async function recoverFollower(
  context: StepContext,
  lane: Lane,
  step: Step,
): Promise<StepOutcome> {
  const { cluster, limits, signal } = context;
  const endpoint = step.endpoint ?? "";
  let why = "";
  for (let attempt = 0; attempt <= limits.opRetries; attempt += 1) {
    if (attempt > 0) await cluster.clock.sleep(BACKOFF_MS * 2 ** (attempt - 1), signal);
    signal.throwIfAborted();
    await opsEnded(context, lane.id, -1n);
    const problems = await problemsNow(context, lane.id, endpoint);
    if (problems === undefined) return { result: "stale", detail: "the replica is gone" };
    if (problems.length === 0)
      return { result: attempt === 0 ? "already-done" : "done", detail: "" };
    const isForced = step.isForced === true && attempt === 0;
    if (!isForced && problems.every((one) => one.code === "behind")) {
      return waitForSync(context, lane.id, endpoint);
    }
    if (!problems.some((one) => one.code === "marked-dead")) {
      await cluster.updateTableAlive({ ...lane.id, endpoint }, false);
    }
    const round = await recoverOnce(context, lane, endpoint);
    if (round.result !== "failed") return round;
    why = round.detail;
  }
  const times = limits.opRetries + 1;
  return { result: "failed", detail: `RecoverTable failed ${times} times; the last time: ${why}` };
}

/** One RecoverTable and all that follows from it. */
async function recoverOnce(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const after = newestOf(await context.ops.next());
  try {
    await context.cluster.recoverTable(lane.id, endpoint);
  } catch (thrown) {
    // A lost answer may have had its effect: the op, if there is one, is followed all the same.
    const mayHaveWorked =
      thrown instanceof OpsError && thrown.retryable && thrown.code !== "rejected";
    if (!mayHaveWorked) throw thrown;
    const late = await appearedOps(context, lane, after);
    if (late.length === 0) return { result: "failed", detail: messageOf(thrown) };
  }
  if ((await appearedOps(context, lane, after)).length === 0) {
    return { result: "failed", detail: "the nameserver accepted it and queued no op" };
  }
  const ops = await opsEnded(context, lane.id, after);
  const problems = await problemsNow(context, lane.id, endpoint);
  if (problems === undefined) return { result: "stale", detail: "the replica is gone" };
  if (problems.length === 0) return { result: "done", detail: describeOps(ops) };
  if (problems.every((one) => one.code === "behind")) {
    return waitForSync(context, lane.id, endpoint);
  }
  const bad = ops.find((op) => op.status !== "done");
  const text = problems.map((one) => one.text).join(", ");
  return {
    result: "failed",
    detail: bad === undefined ? text : `op ${bad.id} (${bad.type}) failed at ${bad.task}: ${text}`,
  };
}

/** The partition's ops above `after`, as soon as there is one; empty if none shows up in time. */
async function appearedOps(
  context: StepContext,
  lane: Lane,
  after: bigint,
): Promise<readonly Op[]> {
  const { clock } = context.cluster;
  const deadline = clock.now() + OP_APPEARS_MS;
  for (;;) {
    context.signal.throwIfAborted();
    const all = await context.ops.next();
    const own = all.filter((op) => op.id > after && isOpOf(op, lane.id));
    if (own.length > 0 || clock.now() > deadline) return own;
  }
}

function describeOps(ops: readonly Op[]): string {
  return ops.map((op) => `${op.type} ${op.id}`).join(", ");
}
