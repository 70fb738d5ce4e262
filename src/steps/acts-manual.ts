import { messageOf, OpsError } from "../errors.js";
import type { Action } from "../model/action.js";
import { isOpActive, type OpStatus } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import { type PartitionView, viewPartitions } from "../model/partition-view.js";
import { observe } from "../observe/cluster.js";
import { deletedBy } from "../operations/delete-op.js";
import { whyNotMark } from "../operations/table-alive.js";
import { replicaAt } from "../operations/targets.js";
import { observePartition, type StepContext } from "./step-context.js";
import { stale } from "./step-preconditions.js";

const DONE: StepOutcome = { result: "done", detail: "" };
const ALREADY: StepOutcome = { result: "already-done" };
/** How long a cancelled op may take to leave its queue; the nameserver looks every 2 s. */
const CANCEL_MS = 30_000;

/** Ends an op that is queued or running, and waits until it has ended. */
export async function cancelOp(context: StepContext, action: Action): Promise<StepOutcome> {
  const { clock } = context.cluster;
  const id = BigInt(action.with?.["op"] ?? "-1");
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
      const ended = after?.status ?? "gone";
      // It was quicker than the cancellation.
      return { result: "done", detail: `it ended as ${ended}` };
    }
    if (clock.now() > deadline) {
      return { result: "failed", detail: `it is still ${after.status} at ${after.task}` };
    }
  }
}

/** Takes ended ops off the nameserver's list. */
export async function deleteOp(context: StepContext, action: Action): Promise<StepOutcome> {
  const { op, status } = action.with ?? {};
  const listed = deletedBy(action, await context.ops.next());
  if (listed.length === 0) return ALREADY;
  const active = listed.find(isOpActive);
  if (active !== undefined) return stale(`op ${active.id} is ${active.status} now`);
  try {
    await context.cluster.deleteOp(
      op === undefined ? { status: status as OpStatus } : { op: BigInt(op) },
    );
  } catch (thrown) {
    // A server that does not know the method answers UNIMPLEMENTED.
    if (!(thrown instanceof OpsError) || thrown.code !== "bad-answer") throw thrown;
    return { result: "failed", detail: `${messageOf(thrown)}; DeleteOP came with OpenMLDB 0.8` };
  }
  return { result: "done", detail: listed.length === 1 ? "1 op" : `${listed.length} ops` };
}

/** Marks a replica alive, or with `pids` all of a table on an endpoint; see {@link whyNotMark}. */
export async function markAlive(context: StepContext, action: Action): Promise<StepOutcome> {
  return mark(context, action, true);
}

/** Marks a replica not alive, or with `pids` all of a table on an endpoint; see {@link whyNotMark}. */
export async function markDead(context: StepContext, action: Action): Promise<StepOutcome> {
  return mark(context, action, false);
}

async function mark(context: StepContext, action: Action, isAlive: boolean): Promise<StepOutcome> {
  const endpoint = action.endpoint ?? "";
  const views = await viewsOf(context, action);
  const held = views.filter((view) => replicaAt(view, endpoint) !== undefined);
  const first = held[0];
  if (first === undefined) return stale("the replica is gone");
  const wanted = held.filter((view) => replicaAt(view, endpoint)?.claim.isAlive !== isAlive);
  if (wanted.length === 0) return ALREADY;
  if (action.with?.["force"] !== "yes") {
    for (const view of wanted) {
      const why = whyNotMark(view, endpoint, isAlive);
      if (why !== undefined) return stale(why);
    }
  }
  const { db, table } = first.id;
  const of = { db, table, endpoint, ...(action.id === undefined ? {} : { pid: action.id.pid }) };
  await context.cluster.updateTableAlive(of, isAlive);
  return DONE;
}

/** The partitions that a mark is about: one, or all of a table. */
async function viewsOf(context: StepContext, action: Action): Promise<PartitionView[]> {
  if (action.id !== undefined) {
    const view = await observePartition(context, action.id);
    return view === undefined ? [] : [view];
  }
  const tid = Number(action.with?.["tid"]);
  const state = await observe(context.cluster, { signal: context.signal });
  return viewPartitions({ ...state, tables: state.tables.filter((one) => one.tid === tid) });
}
