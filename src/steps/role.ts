import { OpsError } from "../errors.js";
import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { laneOf } from "../planning/build-lane.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { exLeaders } from "../policy/what-may-be-overwritten.js";
import { ALREADY, DONE, failed, StepEnd } from "./outcomes.js";
import type { ReplicaId, StepContext, Task } from "./step-context.js";
import { checkBeforeAction, reportNow } from "./step-preconditions.js";

/**
 * Gives a loaded follower the leader's role with the newest term. Its log contains those of the
 * followers that it replicates to, so nothing is lost and no new term is needed.
 */
export function promote(context: StepContext, task: Task<"promote">): Promise<StepOutcome> {
  return takeRole(context, task, task.step.followers);
}

/** Gives a loaded replica that the record flags leader this role with the newest term. */
export function changeRole(context: StepContext, task: Task<"change-role">): Promise<StepOutcome> {
  return takeRole(context, task, []);
}

async function takeRole(
  context: StepContext,
  task: Task<"promote"> | Task<"change-role">,
  followers: readonly Endpoint[],
): Promise<StepOutcome> {
  const { report } = await checkBeforeAction(context, task);
  if (report?.role === "leader") return ALREADY;
  return makeLeader(context, task, followers, report?.offset);
}

/**
 * ChangeRole to leader with the newest term of the lane.
 *
 * @param offset The replica's offset; undefined if it is to be read afterwards.
 */
export async function makeLeader(
  context: StepContext,
  { lane, step }: Task<"promote" | "change-role" | "load-leader">,
  followers: readonly Endpoint[],
  offset?: bigint,
): Promise<StepOutcome> {
  const { id, endpoint } = step;
  const { term } = lane.newestTerm;
  await context.cluster.changeRole(endpoint, { ...id, role: "leader", term, followers });
  const words = (from: bigint) => `leads term ${term} from offset ${from}`;
  // The first `replicate` reads its list, which verifies that it leads.
  return followers.length > 0 && offset !== undefined
    ? { result: "done", detail: words(offset) }
    : leads(context, { id, endpoint }, words);
}

/**
 * Verifies that the tablet now runs the replica as leader: a follower has no replication list (code
 * 103).
 */
export async function leads(
  context: StepContext,
  { id, endpoint }: ReplicaId,
  words: (offset: bigint) => string,
): Promise<StepOutcome> {
  try {
    const { offset } = await context.listOf(endpoint, id).now();
    return { result: "done", detail: words(offset) };
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "rejected") throw thrown;
    return failed("the tablet accepted the role and still does not run it as leader");
  }
}

/**
 * Removes a replica from the replication list of a leader, if it is in there.
 *
 * @returns True if it was.
 */
export async function unlist(
  { cluster }: StepContext,
  id: PartitionId,
  leader: ReplicaView | undefined,
  endpoint: Endpoint,
): Promise<boolean> {
  if (leader?.followers?.followers.has(endpoint) !== true) return false;
  await cluster.delReplica(leader.endpoint, id, endpoint);
  return true;
}

/** Makes a replica that is not to lead a follower, before another one becomes leader. */
export async function demote(context: StepContext, task: Task<"demote">): Promise<StepOutcome> {
  const found = await checkBeforeAction(context, task);
  if (found.report?.role === "follower") return ALREADY;
  const { id, endpoint } = task.step;
  await context.cluster.changeRole(endpoint, { ...id, role: "follower", term: 0n, followers: [] });
  const report = await reportNow(context, { id, endpoint });
  return report?.role === "leader" ? failed("it still runs as leader") : DONE;
}

/**
 * Demotes the ex-leaders of a partition right before a replica is reloaded, see {@link exLeaders}. A
 * plan demotes those that it knows; this covers those that appeared since, and plans whose own steps
 * change the leader.
 *
 * @param endpoint The replica that is reloaded; its own op demotes it.
 * @throws StepEnd if one still runs as leader.
 */
export async function demoteRunningExLeaders(
  context: StepContext,
  view: PartitionView,
  endpoint: Endpoint,
): Promise<void> {
  const leader = servingLeader(view);
  if (leader === undefined) return;
  for (const one of exLeaders(view, leader)) {
    if (one.endpoint === endpoint) continue;
    const step: Step = {
      kind: "demote",
      id: view.id,
      endpoint: one.endpoint,
      why: `${endpoint} is reloaded, and would receive its old entries`,
      isDecided: false,
    };
    const outcome = await context.runStep(step, laneOf(view, { leader, steps: [step] }));
    if (outcome.result !== "failed" && outcome.result !== "stale") continue;
    const detail = `ex-leader ${one.endpoint} still runs as leader: ${outcome.detail}`;
    throw new StepEnd({ ...outcome, detail });
  }
}
