import type { FollowerList, ReplicaReport } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import { checkBeforeAction } from "./check-before-action.js";
import type { StepContext, Task } from "./step-context.js";
import { asLeader, failed, reportNow, StepEnd, stale } from "./step-preconditions.js";

/**
 * A follower that its leader replicates to moves within milliseconds. Without progress for this long it
 * does not catch up.
 */
const STALL_MS = 10_000;

/**
 * Makes the leader replicate to a follower from the follower's own offset, and waits until it holds
 * what the leader held at the start of the wait. If the leader no longer leads, or the follower has
 * changed, that proves nothing about replication: the partition is observed again.
 */
export async function replicate(
  context: StepContext,
  task: Task<"replicate">,
): Promise<StepOutcome> {
  const { id, endpoint } = task.step;
  const { cluster } = context;
  const leader = task.lane.leader ?? "";
  const { own, list } = await findBoth(context, task);
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
 * True if the leader's list has a higher offset than the follower: the entry is from before the
 * follower came back and must be replaced. Under writes a report that is older than the list proves
 * nothing, so the follower is read once more.
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

/**
 * True if the step's promotion made the leader start to replicate a moment ago: catching up takes a
 * while.
 */
function hasJustBegun({ lane, step }: Task<"replicate">): boolean {
  return lane.steps.some((one) => one.kind === "promote" && one.followers.includes(step.endpoint));
}

/** Reads the follower's report and its leader's list. @throws StepEnd `stale` if replication is impossible. */
async function findBoth(
  context: StepContext,
  task: Task<"replicate">,
): Promise<{ readonly own: ReplicaReport; readonly list: FollowerList }> {
  const { id } = task.step;
  const leader = task.lane.leader ?? "";
  const { report: own } = await checkBeforeAction(context, task);
  if (own === undefined) throw new StepEnd(stale("it is not loaded any more"));
  const poll = context.listOf(leader, id);
  const list = await asLeader(context, () => (hasJustBegun(task) ? poll.next() : poll.now()));
  if (own.offset > list.offset) {
    const why = `it is at offset ${own.offset}, its leader ${leader} only at ${list.offset}`;
    throw new StepEnd(stale(why));
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
      // A follower that held everything before only waited for the leader's list to show it.
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
