import { messageOf, OpsError } from "../errors.js";
import { isOpActive, type Op, type PartitionId } from "../model/cluster-state.js";
import { newestOf, opsOfPartition } from "../model/ops.js";
import type { StepOutcome } from "../model/outcome.js";
import { deletedBy } from "../operations/delete-op.js";
import { opsBlocked, opsEnded } from "./ops-ended.js";
import { ALREADY, failed, mayHaveWorked, StepEnd, stale } from "./outcomes.js";
import type { StepContext, Task } from "./step-context.js";

/**
 * The first pause before a failed op is requested again; it doubles each time, up to the longest.
 */
const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
/** Limit in milliseconds for a requested op to appear in the nameserver's list. */
const OP_APPEARS_MS = 5_000;
/** Limit in milliseconds for a cancelled op to end; the nameserver checks every 2 s. */
const CANCEL_MS = 30_000;

/** The ops that one request queued, all ended; or why there are none. */
export type FollowedOps = { readonly ops: readonly Op[] } | { readonly failed: string };

/**
 * Requests an op of one partition and follows it, and its child ops, to the end.
 *
 * Code 0 does not mean that an op exists, and a request whose answer was lost may have taken effect:
 * only an op in the list counts.
 *
 * @throws OpsError if the nameserver refuses; `deadline` if the ops make no progress, or if it is known
 *   before the request that no op can end: then none is requested.
 */
export async function followOp(
  context: StepContext,
  id: PartitionId,
  request: () => Promise<void>,
): Promise<FollowedOps> {
  const why = await opsBlocked(context, [], 0);
  if (why !== undefined) throw why;
  const after = newestOf(await context.ops.now());
  try {
    await request();
  } catch (thrown) {
    if (!mayHaveWorked(thrown)) throw thrown;
    const followed = await followNewer(context, id, after);
    return "failed" in followed ? { failed: messageOf(thrown) } : followed;
  }
  return followNewer(context, id, after);
}

/** Follows the ops of a partition above `after`, which were just requested, to their end. */
export async function followNewer(
  context: StepContext,
  id: PartitionId,
  after: bigint,
): Promise<FollowedOps> {
  return (await appear(context, [id], after))
    ? { ops: await opsEnded(context, id, after) }
    : { failed: "the nameserver accepted the request and queued no op" };
}

/** True if an op above `after` of any of these partitions appears in time. */
export async function appear(
  context: StepContext,
  ids: readonly PartitionId[],
  after: bigint,
): Promise<boolean> {
  const { clock } = context.cluster;
  const deadline = clock.now() + OP_APPEARS_MS;
  let all = await context.ops.now();
  for (;;) {
    context.signal.throwIfAborted();
    if (ids.some((id) => opsOfPartition(all, id).some((op) => op.id > after))) return true;
    if (clock.now() > deadline) return false;
    all = await context.ops.next();
  }
}

/**
 * The result of ops, in words: the first one that is not done and the task where it ended, else all of
 * them.
 */
export function describeOps(ops: readonly Op[]): string {
  const bad = ops.find((op) => op.status !== "done");
  return bad === undefined
    ? ops.map((op) => `${op.type} ${op.id}`).join(", ")
    : `op ${bad.id} (${bad.type}) ended ${bad.status} at ${bad.task}`;
}

/** The result of one attempt: final, or the reason for another attempt. */
export type Try = StepOutcome | { readonly again: string };

/**
 * Repeats an attempt up to `opRetries` times if its result requires it: under load the nameserver fails ops now and
 * then, and a second request succeeds. Before each attempt it waits for ops of the partition that are queued or
 * running, from any client.
 *
 * @param once One attempt: observes, requests and observes again; receives the number of earlier attempts.
 * @param call The name of the request, for the message.
 */
export async function retried(
  context: StepContext,
  id: PartitionId,
  once: (before: number) => Promise<Try>,
  call?: string,
): Promise<StepOutcome> {
  const { cluster, limits, signal } = context;
  for (let before = 0; ; before += 1) {
    signal.throwIfAborted();
    await opsEnded(context, id);
    const ended = await once(before).catch((thrown: unknown) => againBy(thrown, signal));
    if (!("again" in ended)) return ended;
    if (before >= limits.opRetries) {
      const tried = call === undefined ? "tried" : `${call} failed`;
      const times = before === 0 ? "" : `${tried} ${before + 1} times; the last time: `;
      return failed(`${times}${ended.again}`);
    }
    await cluster.clock.sleep(Math.min(BACKOFF_MS * 2 ** before, BACKOFF_MAX_MS), signal);
  }
}

/** The result of an attempt that threw: another attempt if the failure may pass. @throws Every other failure. */
function againBy(thrown: unknown, signal: AbortSignal): Try {
  if (thrown instanceof StepEnd) return thrown.outcome;
  signal.throwIfAborted();
  if (!(thrown instanceof OpsError) || !thrown.retryable) throw thrown;
  return { again: messageOf(thrown) };
}

/** Waits for the ops of a partition. */
export async function waitForOps(
  context: StepContext,
  { step: { id } }: Task<"wait-ops">,
): Promise<StepOutcome> {
  const ops = await opsEnded(context, id);
  return { result: "done", detail: `waited for ${ops.length} ops` };
}

/** Cancels an op that is queued or running, and waits until it has ended. */
export async function cancelOp(
  context: StepContext,
  { step: { op: id } }: Task<"cancel-op">,
): Promise<StepOutcome> {
  const { clock } = context.cluster;
  const now = async () => (await context.ops.next()).find((one) => one.id === id);
  const op = await now();
  if (op === undefined) return stale("the nameserver does not list it any more");
  if (!isOpActive(op)) return ALREADY;
  await context.cluster.cancelOp(id);
  const deadline = clock.now() + CANCEL_MS;
  for (;;) {
    context.signal.throwIfAborted();
    const after = await now();
    if (after === undefined || !isOpActive(after)) {
      // It may have ended before the cancellation took effect.
      return { result: "done", detail: `it ended as ${after?.status ?? "gone"}` };
    }
    if (clock.now() > deadline) return failed(`it is still ${after.status} at ${after.task}`);
  }
}

/** Deletes ended ops from the nameserver's list. */
export async function deleteOp(
  context: StepContext,
  { step }: Task<"delete-op">,
): Promise<StepOutcome> {
  const { ops } = step;
  const listed = deletedBy(step, await context.ops.next());
  if (listed.length === 0) return ALREADY;
  const active = listed.find(isOpActive);
  if (active !== undefined) return stale(`op ${active.id} is ${active.status} now`);
  try {
    await context.cluster.deleteOp("op" in ops ? { op: ops.op } : { status: ops.status });
  } catch (thrown) {
    // A server that does not know the method answers UNIMPLEMENTED.
    if (!(thrown instanceof OpsError) || thrown.code !== "bad-answer") throw thrown;
    return failed(`${messageOf(thrown)}; DeleteOP came with OpenMLDB 0.8`);
  }
  return { result: "done", detail: listed.length === 1 ? "1 op" : `${listed.length} ops` };
}
