import { messageOf } from "../errors.js";
import type { Op, PartitionId } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { StepContext } from "./step-context.js";
import { mayHaveWorked } from "./step-preconditions.js";
import { isOpOf, newestOf, opsEnded } from "./waits.js";

/** The first pause before a failed op is asked for again; it doubles each time, up to the longest. */
const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
/** How long an op that was asked for may take to show up in the nameserver's list. */
const OP_APPEARS_MS = 5_000;

/** The ops that one request queued, all ended; or why there is none. */
export type Followed = { readonly ops: readonly Op[] } | { readonly failed: string };

/**
 * Asks for an op of one partition and follows it, and its child ops, to the end.
 *
 * Code 0 does not mean that an op exists, and an answer that was lost may have had its effect: what
 * counts is whether an op shows up in the list.
 *
 * @throws OpsError if the nameserver refuses, `deadline` if the ops stand still.
 */
export async function followOp(
  context: StepContext,
  id: PartitionId,
  ask: () => Promise<void>,
): Promise<Followed> {
  const after = newestOf(await context.ops.next());
  let lost: unknown;
  try {
    await ask();
  } catch (thrown) {
    if (!mayHaveWorked(thrown)) throw thrown;
    lost = thrown;
  }
  if (!(await appears(context, id, after))) {
    const why = "the nameserver accepted it and queued no op";
    return { failed: lost === undefined ? why : messageOf(lost) };
  }
  return { ops: await opsEnded(context, id, after) };
}

/** Whether an op of the partition above `after` shows up in time. */
async function appears(context: StepContext, id: PartitionId, after: bigint): Promise<boolean> {
  const { clock } = context.cluster;
  const deadline = clock.now() + OP_APPEARS_MS;
  for (;;) {
    context.signal.throwIfAborted();
    const all = await context.ops.next();
    if (all.some((op) => op.id > after && isOpOf(op, id))) return true;
    if (clock.now() > deadline) return false;
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
 * under load, and does them when asked again. Ops of the partition that are under way, whoever asked
 * for them, are waited for before each try.
 *
 * @param once Looks, asks and looks again; given how often it was tried before.
 */
export async function retried(
  context: StepContext,
  id: PartitionId,
  once: (before: number) => Promise<Try>,
): Promise<StepOutcome> {
  const { cluster, limits, signal } = context;
  for (let before = 0; ; before += 1) {
    signal.throwIfAborted();
    await opsEnded(context, id, -1n);
    const ended = await once(before);
    if (!("again" in ended)) return ended;
    if (before >= limits.opRetries) {
      const times = before === 0 ? "" : `tried ${before + 1} times, the last time: `;
      return { result: "failed", detail: `${times}${ended.again}` };
    }
    await cluster.clock.sleep(Math.min(BACKOFF_MS * 2 ** before, BACKOFF_MAX_MS), signal);
  }
}
