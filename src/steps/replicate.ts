import { problemsAt } from "../diagnosis/diagnose.js";
import type { FollowerList, ReplicaReport } from "../model/cluster-state.js";
import { durationText } from "../model/duration.js";
import type { StepOutcome } from "../model/outcome.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { failed, StepEnd, stale } from "./outcomes.js";
import type { ReplicaId, StepContext, Task } from "./step-context.js";
import { asLeader, checkBeforeAction, observePartition, reportNow } from "./step-preconditions.js";

/**
 * A follower that its leader replicates to moves within milliseconds. Without progress for this long it
 * does not catch up: by its leader's list, or by observations of the partition.
 */
const LIST_STALL_MS = 10_000;
const SYNC_STALL_MS = 20_000;
const SYNC_POLL_MS = 250;

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
  const newer = await reportNow(context, { id, endpoint });
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
      const held = own >= target ? own : (await reportNow(context, { id, endpoint }))?.offset;
      if (held !== undefined && held >= target) {
        return { result: "done", detail: `in sync at offset ${reached}` };
      }
    }
    if ((reached ?? -1n) !== last) movedAt = clock.now();
    last = reached ?? -1n;
    if (clock.now() - movedAt > LIST_STALL_MS) {
      return failed(
        `it does not catch up: at ${reached ?? "no offset"}, ${leader} at ${list.offset}`,
      );
    }
  }
}

/**
 * Waits until a follower that its leader replicates to holds what its leader held at the start.
 *
 * @returns `stale` if the follower has another problem than being behind: the next round decides.
 */
export async function waitForSync(
  context: StepContext,
  { id, endpoint }: ReplicaId,
): Promise<StepOutcome> {
  const { clock } = context.cluster;
  const began = clock.now();
  let progressAt = began;
  let last: readonly (bigint | undefined)[] = [];
  for (;;) {
    const view = await observePartition(context, id);
    const replica = view?.replicas.find((one) => one.endpoint === endpoint);
    if (view === undefined || replica === undefined) return stale("the replica is gone");
    const problems = problemsAt(view, endpoint);
    if (problems.length === 0)
      return { result: "done", detail: `in sync after ${durationText(clock.now() - began)}` };
    const behind = problems.find((one) => one.code === "behind");
    if (behind === undefined || problems.length > 1) {
      return stale(problems.map((one) => one.text).join(", "));
    }
    const listed = servingLeader(view)?.followers?.followers.get(endpoint);
    const now = [replica.report?.offset, listed];
    if (now.some((one, index) => one !== last[index])) progressAt = clock.now();
    last = now;
    if (clock.now() - progressAt > SYNC_STALL_MS) {
      return failed(`it does not catch up: ${behind.text}`);
    }
    await clock.sleep(SYNC_POLL_MS, context.signal);
  }
}
