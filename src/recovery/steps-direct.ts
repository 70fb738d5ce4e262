import { messageOf, OpsError } from "../errors.js";
import { type Endpoint, replicaKey } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { Lane, Step } from "../model/plan.js";
import { claimNow, outdated, type StepContext } from "./step-context.js";
import { loaded, newestOf, opsEnded } from "./waits.js";

const DONE: StepOutcome = { result: "done", detail: "" };
const ALREADY: StepOutcome = { result: "already-done" };
/**
 * "create table failed": the tablet has no directory of the replica in that storage mode, so there
 * is nothing on its disk (OpenMLDB 0.9 tablet, memory tables).
 */
const CREATE_TABLE_FAILED = 131;

/** A follower that is fed moves within milliseconds; one that stands still this long is not fed. */
const FEED_STALL_MS = 10_000;
const FEED_POLL_MS = 50;
const FEED_POLL_MAX_MS = 500;

/**
 * Loads a replica as follower with an empty replication list, so that its true offset shows.
 * Nothing is written to it: nobody feeds it, and clients are not sent to it.
 */
export function loadFollower(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  return context.withLoadSlot(endpoint, async () => {
    context.signal.throwIfAborted();
    await unlist(context, lane, endpoint);
    try {
      await context.cluster.loadTable(endpoint, {
        ...lane.id,
        segCount: lane.segCount,
        storageMode: lane.storageMode,
        role: "follower",
        term: 0n,
        followers: [],
      });
    } catch (thrown) {
      const isEmpty = thrown instanceof OpsError && thrown.responseCode === CREATE_TABLE_FAILED;
      if (!isEmpty) {
        // Out of reach for a moment is no reason to decide without it: the next round looks again.
        const isPassing = thrown instanceof OpsError && thrown.retryable;
        if (isPassing) return { result: "stale", detail: messageOf(thrown) };
        throw thrown;
      }
      return { result: "failed", detail: messageOf(thrown), isEmpty };
    }
    const report = await loaded(context, lane.id, endpoint, lane.lastSeen.get(endpoint) ?? 0n);
    if (report === undefined) {
      return {
        result: "failed",
        detail: `tablet ${endpoint} could not load it (look into its log)`,
      };
    }
    return { result: "done", detail: `${report.recordCount} rows, offset ${report.offset}` };
  });
}

/**
 * Takes a replica that is to be loaded out of the replication list of the leader that serves. The
 * leader would go on from where it was with that replica before, whatever its disk kept, and feed
 * it while it loads (OpenMLDB 0.9: replication keeps its position across the follower's restart).
 */
async function unlist(context: StepContext, lane: Lane, endpoint: Endpoint): Promise<void> {
  const { cluster } = context;
  if (lane.leader === undefined || lane.leader === endpoint) return;
  const list = await cluster.getTableFollower(lane.leader, lane.id);
  if (list.followers.has(endpoint)) await cluster.delReplica(lane.leader, lane.id, endpoint);
}

/** Takes the leader's role from a replica that shall not lead, before another one gets it. */
export async function demote(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const before = (await context.statusOf(endpoint).next()).get(replicaKey(lane.id));
  if (before === undefined) return { result: "stale", detail: "it is not loaded any more" };
  if (before.role === "follower") return ALREADY;
  await context.cluster.changeRole(endpoint, {
    ...lane.id,
    role: "follower",
    term: 0n,
    followers: [],
  });
  const report = (await context.statusOf(endpoint).next()).get(replicaKey(lane.id));
  return report?.role === "leader" ? { result: "failed", detail: "it still runs as leader" } : DONE;
}

/**
 * Gives a loaded follower the leader's role with the newest term. Nothing is lost by the choice,
 * so no new term is begun: its log contains those of the followers that it feeds.
 */
export async function promote(context: StepContext, lane: Lane, step: Step): Promise<StepOutcome> {
  const endpoint = step.endpoint ?? "";
  const [claim, reports] = await Promise.all([
    claimNow(context, lane.id),
    context.statusOf(endpoint).next(),
  ]);
  const old = outdated(lane, claim);
  if (old !== undefined) return { result: "stale", detail: old };
  const before = reports.get(replicaKey(lane.id));
  if (before === undefined) return { result: "stale", detail: "it is not loaded any more" };
  if (before.role === "leader") return ALREADY;
  if (before.offset < lane.leastOffset) {
    return {
      result: "stale",
      detail: `it is at offset ${before.offset}, no longer ${lane.leastOffset}`,
    };
  }
  await context.cluster.changeRole(endpoint, {
    ...lane.id,
    role: "leader",
    term: lane.newestTerm.term,
    followers: step.followers ?? [],
  });
  const after = (await context.statusOf(endpoint).next()).get(replicaKey(lane.id));
  return after?.role === "leader"
    ? { result: "done", detail: `leads term ${lane.newestTerm.term} from offset ${after.offset}` }
    : { result: "failed", detail: "the tablet took the role and still does not run it as leader" };
}

/**
 * Makes a follower the leader of a new term through the nameserver, which fences the others and
 * appends to the term history.
 */
export async function changeLeader(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const after = newestOf(await context.ops.next());
  const old = outdated(lane, await claimNow(context, lane.id));
  if (old !== undefined) return { result: "stale", detail: old };
  await context.cluster.changeLeader(lane.id, endpoint);
  const ops = await opsEnded(context, lane.id, after);
  const report = (await context.statusOf(endpoint).next()).get(replicaKey(lane.id));
  if (report?.role === "leader") {
    return { result: "done", detail: `leads a new term from offset ${report.offset}` };
  }
  const bad = ops.find((op) => op.status !== "done");
  const why =
    bad === undefined ? "no op did it" : `op ${bad.id} (${bad.type}) failed at ${bad.task}`;
  return { result: "failed", detail: `it does not lead: ${why}` };
}

/** Makes the nameserver's record name the leader. */
export async function setFlags(context: StepContext, lane: Lane, step: Step): Promise<StepOutcome> {
  const leader = step.endpoint ?? "";
  const old = outdated(lane, await claimNow(context, lane.id));
  if (old !== undefined) return { result: "stale", detail: old };
  await context.cluster.setPartitionFlags(lane.id, { leader, alive: step.alive ?? [leader] });
  return { result: "done", detail: `the record names ${leader} as leader` };
}

/**
 * Makes the leader feed a follower from the follower's own offset, and waits until it has what the
 * leader had when the wait began.
 */
export async function feed(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const { cluster, signal } = context;
  const leader = lane.leader ?? "";
  const before = await cluster.getTableFollower(leader, lane.id);
  const own = async () => {
    const [report] = await cluster.getTableStatus(endpoint, lane.id);
    return report?.offset ?? -1n;
  };
  const listed = before.followers.get(endpoint);
  // A list that says more than the follower has is from before it came back: begin anew.
  const isWrong = listed !== undefined && (await own()) < listed;
  if (isWrong) await cluster.delReplica(leader, lane.id, endpoint);
  if (isWrong || listed === undefined) await cluster.addReplica(leader, lane.id, endpoint);
  const began = cluster.clock.now();
  const target = before.offset;
  let last = -1n;
  let movedAt = began;
  let pauseMs = FEED_POLL_MS;
  for (;;) {
    const list = await cluster.getTableFollower(leader, lane.id);
    const reached = list.followers.get(endpoint);
    if (reached !== undefined && reached >= target && (await own()) >= target) {
      return { result: "done", detail: `in sync at offset ${reached}` };
    }
    if ((reached ?? -1n) !== last) movedAt = cluster.clock.now();
    last = reached ?? -1n;
    if (cluster.clock.now() - movedAt > FEED_STALL_MS) {
      return {
        result: "failed",
        detail: `it does not catch up: at ${reached ?? "no offset"}, ${leader} at ${list.offset}`,
      };
    }
    await cluster.clock.sleep(pauseMs, signal);
    pauseMs = Math.min(pauseMs * 2, FEED_POLL_MAX_MS);
  }
}
