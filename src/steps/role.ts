import { OpsError } from "../errors.js";
import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import { lookBefore } from "./look-before.js";
import type { StepContext, Task } from "./step-context.js";
import { ALREADY, DONE, failed, reportNow } from "./step-preconditions.js";

/**
 * Gives a loaded follower the leader's role with the newest term. Nothing is lost by the choice, so
 * no new term is begun: its log contains those of the followers that it replicates to.
 */
export function promote(context: StepContext, task: Task<"promote">): Promise<StepOutcome> {
  return takeRole(context, task, task.step.followers);
}

/** Gives a loaded replica, which the record flags leader, that role with the newest term. */
export function changeRole(context: StepContext, task: Task<"change-role">): Promise<StepOutcome> {
  return takeRole(context, task, []);
}

async function takeRole(
  context: StepContext,
  task: Task<"promote"> | Task<"change-role">,
  followers: readonly Endpoint[],
): Promise<StepOutcome> {
  const found = await lookBefore(context, task);
  if ("result" in found) return found;
  if (found.report?.role === "leader") return ALREADY;
  return makeLeader(context, task, followers, found.report?.offset);
}

/**
 * ChangeRole to leader with the newest term of the lane.
 *
 * @param offset What the replica holds; undefined if that is to be asked for afterwards.
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
  // The first `replicate` asks for its list, and sees whether it leads.
  return followers.length > 0 && offset !== undefined
    ? { result: "done", detail: words(offset) }
    : leads(context, id, endpoint, words);
}

/** Whether the tablet runs it as leader by now: a follower has no replication list (code 103). */
export async function leads(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
  words: (offset: bigint) => string,
): Promise<StepOutcome> {
  try {
    const { offset } = await context.listOf(endpoint, id).now();
    return { result: "done", detail: words(offset) };
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "rejected") throw thrown;
    return failed("the tablet took the role and still does not run it as leader");
  }
}

/** Takes the leader's role from a replica that is not to lead, before another one gets it. */
export async function demote(context: StepContext, task: Task<"demote">): Promise<StepOutcome> {
  const found = await lookBefore(context, task);
  if ("result" in found) return found;
  if (found.report?.role === "follower") return ALREADY;
  const { id, endpoint } = task.step;
  await context.cluster.changeRole(endpoint, { ...id, role: "follower", term: 0n, followers: [] });
  const report = await reportNow(context, id, endpoint);
  return report?.role === "leader" ? failed("it still runs as leader") : DONE;
}
