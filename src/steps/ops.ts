import { messageOf, OpsError } from "../errors.js";
import { isOpActive, type Op, type PartitionId } from "../model/cluster-state.js";
import { newestOf, opsOfPartition } from "../model/ops-of-partition.js";
import type { StepOutcome } from "../model/outcome.js";
import { deletedBy } from "../operations/delete-op.js";
import { opsBlocked } from "./blocked-ops.js";
import type { StepContext, Task } from "./step-context.js";
import { ALREADY, failed, mayHaveWorked, stale } from "./step-preconditions.js";
import { opsEnded } from "./waits.js";

/** The first pause before a failed op is asked for again; it doubles each time, up to the longest. */
const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
/** How long an op that was asked for may take to show up in the nameserver's list. */
const OP_APPEARS_MS = 5_000;
/** How long a cancelled op may take to leave its queue; the nameserver looks every 2 s. */
const CANCEL_MS = 30_000;

/** The ops that one request queued, all ended; or why there is none. */
export type Followed = { readonly ops: readonly Op[] } | { readonly failed: string };

/**
 * Asks for an op of one partition and follows it, and its child ops, to the end.
 *
 * Code 0 does not mean that an op exists, and an answer that was lost may have had its effect: what
 * counts is whether an op shows up in the list.
 *
 * @throws OpsError if the nameserver refuses, `deadline` if the ops stand still, or if it is known before
 *   that no op can end: then none is asked for.
 */
export async function followOp(
  context: StepContext,
  id: PartitionId,
  ask: () => Promise<void>,
): Promise<Followed> {
  const why = await opsBlocked(context, [], 0);
  if (why !== undefined) throw why;
  const after = newestOf(await context.ops.now());
  try {
    await ask();
  } catch (thrown) {
    if (!mayHaveWorked(thrown)) throw thrown;
    const followed = await followNewer(context, id, after);
    return "failed" in followed ? { failed: messageOf(thrown) } : followed;
  }
  return followNewer(context, id, after);
}

/** Follows the ops of a partition above `after`, which were asked for just now, to their end. */
export async function followNewer(
  context: StepContext,
  id: PartitionId,
  after: bigint,
): Promise<Followed> {
  return (await appear(context, [id], after))
    ? { ops: await opsEnded(context, id, after) }
    : { failed: "the nameserver accepted it and queued no op" };
}

/** Whether an op above `after` of any of these partitions shows up in time. */
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

/** What became of ops, in words: the first that was not done and where it ended, else all of them. */
export function describeOps(ops: readonly Op[]): string {
  const bad = ops.find((op) => op.status !== "done");
  return bad === undefined
    ? ops.map((op) => `${op.type} ${op.id}`).join(", ")
    : `op ${bad.id} (${bad.type}) ended ${bad.status} at ${bad.task}`;
}

/** How one try ended: for good, or so that it is worth another one. */
export type Try = StepOutcome | { readonly again: string };

/**
 * Tries up to `opRetries` times more while a try says so: the nameserver fails ops now and then
 * under load, and does them when asked again. Ops of the partition that are under way, whichever
 * client asked for them, are waited for before each try.
 *
 * @param once Looks, asks and looks again; given how often it was tried before.
 * @param call What is asked for, for the message.
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
    await opsEnded(context, id, -1n);
    const ended = await once(before);
    if (!("again" in ended)) return ended;
    if (before >= limits.opRetries) {
      const tried = call === undefined ? "tried" : `${call} failed`;
      const times = before === 0 ? "" : `${tried} ${before + 1} times; the last time: `;
      return failed(`${times}${ended.again}`);
    }
    await cluster.clock.sleep(Math.min(BACKOFF_MS * 2 ** before, BACKOFF_MAX_MS), signal);
  }
}

/** Waits for the ops of a partition. */
export async function waitForOps(
  context: StepContext,
  { step: { id } }: Task<"wait-ops">,
): Promise<StepOutcome> {
  const ops = await opsEnded(context, id, -1n);
  return { result: "done", detail: `waited for ${ops.length} ops` };
}

/** Ends an op that is queued or running, and waits until it has ended. */
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
      // It may have been quicker than the cancellation.
      return { result: "done", detail: `it ended as ${after?.status ?? "gone"}` };
    }
    if (clock.now() > deadline) return failed(`it is still ${after.status} at ${after.task}`);
  }
}

/** Takes ended ops off the nameserver's list. */
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
