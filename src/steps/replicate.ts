import { messageOf } from "../errors.js";
import type { FollowerList, ReplicaReport } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import { lookBefore } from "./look-before.js";
import type { StepContext, Task } from "./step-context.js";
import { failed, reportNow, stale } from "./step-preconditions.js";

/** A follower that its leader replicates to moves within milliseconds; this long, it does not. */
const STALL_MS = 10_000;

/**
 * Makes the leader replicate to a follower from the follower's own offset, and waits until it has
 * what the leader had when the wait began. A leader that does not lead any more, or a follower that
 * is not as it was, says nothing about whether replication works: the partition is looked at again.
 */
export async function replicate(
  context: StepContext,
  task: Task<"replicate">,
): Promise<StepOutcome> {
  const { id, endpoint } = task.step;
  const { cluster } = context;
  const leader = task.lane.leader ?? "";
  const ready = await findBoth(context, task);
  if ("result" in ready) return ready;
  const { own, list } = ready;
  const listed = list.followers.get(endpoint);
  if (listed !== undefined && listed >= list.offset && own.offset >= list.offset) {
    return { result: "done", detail: `in sync at offset ${listed}` };
  }
  const isWrong = await isListWrong(context, task, listed, own);
  if (isWrong) await cluster.delReplica(leader, id, endpoint);
  if (isWrong || listed === undefined) await cluster.addReplica(leader, id, endpoint);
  return caughtUp(context, task, { target: list.offset, own: own.offset });
}

/**
 * Whether the leader's list says more than the follower has: it is from before the follower came
 * back, and has to be begun anew. Under writes a report that is older than the list proves nothing.
 */
async function isListWrong(
  context: StepContext,
  { step: { id, endpoint } }: Task<"replicate">,
  listed: bigint | undefined,
  own: ReplicaReport,
): Promise<boolean> {
  if (listed === undefined || own.offset >= listed) return false;
  const newer = await reportNow(context, id, endpoint);
  return (newer?.offset ?? -1n) < listed;
}

/** Whether its promotion made the leader begin a moment ago: it takes a while to be in sync. */
function hasJustBegun({ lane, step }: Task<"replicate">): boolean {
  return lane.steps.some((one) => one.kind === "promote" && one.followers.includes(step.endpoint));
}

/** What the follower holds and what its leader's list says; or why there can be no replication. */
async function findBoth(
  context: StepContext,
  task: Task<"replicate">,
): Promise<StepOutcome | { readonly own: ReplicaReport; readonly list: FollowerList }> {
  const { id } = task.step;
  const leader = task.lane.leader ?? "";
  const found = await lookBefore(context, task);
  if ("result" in found) return found;
  const own = found.report;
  if (own === undefined) return stale("it is not loaded any more");
  let list: FollowerList;
  try {
    const poll = context.listOf(leader, id);
    list = await (hasJustBegun(task) ? poll.next() : poll.now());
  } catch (thrown) {
    context.signal.throwIfAborted();
    return stale(`its leader does not answer as leader: ${messageOf(thrown)}`);
  }
  if (own.offset > list.offset) {
    return stale(`it is at offset ${own.offset}, its leader ${leader} only at ${list.offset}`);
  }
  return { own, list };
}

async function caughtUp(
  context: StepContext,
  { step: { id, endpoint }, lane }: Task<"replicate">,
  { target, own }: { readonly target: bigint; readonly own: bigint },
): Promise<StepOutcome> {
  const { clock } = context.cluster;
  const leader = lane.leader ?? "";
  let last = -1n;
  let movedAt = clock.now();
  for (;;) {
    context.signal.throwIfAborted();
    const list = await context.listOf(leader, id).next();
    const reached = list.followers.get(endpoint);
    if (reached !== undefined && reached >= target) {
      // One that had it all before only waited for the leader to find that out.
      const held = own >= target ? own : (await reportNow(context, id, endpoint))?.offset;
      if (held !== undefined && held >= target) {
        return { result: "done", detail: `in sync at offset ${reached}` };
      }
    }
    if ((reached ?? -1n) !== last) movedAt = clock.now();
    last = reached ?? -1n;
    if (clock.now() - movedAt > STALL_MS) {
      return failed(
        `it does not catch up: at ${reached ?? "no offset"}, ${leader} at ${list.offset}`,
      );
    }
  }
}
