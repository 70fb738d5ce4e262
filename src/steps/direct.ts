import { messageOf, OpsError } from "../errors.js";
import type { Endpoint, FollowerList, ReplicaReport, TermStart } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { Lane } from "../model/plan.js";
import { loadInTurn } from "./load-in-turn.js";
import type { StepContext } from "./step-context.js";
import {
  claimNow,
  claimOf,
  outdated,
  replicaIn,
  reportNow,
  serves,
  stale,
} from "./step-preconditions.js";
import { loaded } from "./waits.js";

/**
 * "create table failed": the tablet has no directory of the replica in that storage mode, so there
 * is nothing on its disk (OpenMLDB 0.9 tablet, memory tables).
 */
const CREATE_TABLE_FAILED = 131;

/** A follower that is fed moves within milliseconds; one that stands still this long is not fed. */
const FEED_STALL_MS = 10_000;
/** How old the record may be by which a replica is loaded: to load it as follower harms nothing. */
const RECORD_AGE_MS = 1_000;

/**
 * Loads a replica as follower with an empty replication list, so that its true offset shows.
 * Nothing is written to it: nobody feeds it, and clients are not sent to it.
 */
export function loadFollower(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  return loadInTurn(context, lane, endpoint, async (snapshot) => {
    const record = await context.recordOf(lane.id).lately(RECORD_AGE_MS);
    const old = outdated(lane, claimOf(record, lane.id), endpoint);
    if (old !== undefined) return stale(old);
    const obstacle = await unlist(context, lane, endpoint);
    if (obstacle !== undefined) return stale(obstacle);
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
      return loadRefused(thrown);
    }
    const report = await loaded(context, lane.id, endpoint, expected(lane, endpoint, snapshot));
    if (report === undefined) {
      return {
        result: "failed",
        detail: `tablet ${endpoint} could not load it (look into its log)`,
      };
    }
    // "Loaded already" (101) counts as done: whoever was quicker may have had other plans.
    if (report.role !== "follower") return stale(`somebody loaded it as ${report.role} meanwhile`);
    return { result: "done", detail: `${report.recordCount} rows, offset ${report.offset}` };
  });
}

/** What a replica must come up with, as far as is known. */
function expected(lane: Lane, endpoint: Endpoint, snapshot: TermStart | undefined): bigint {
  const seen = lane.lastSeen.get(endpoint) ?? 0n;
  const onDisk = snapshot?.offset ?? 0n;
  return onDisk > seen ? onDisk : seen;
}

function loadRefused(thrown: unknown): StepOutcome {
  if (!(thrown instanceof OpsError)) throw thrown;
  if (thrown.responseCode === CREATE_TABLE_FAILED) {
    return { result: "failed", detail: messageOf(thrown), isEmpty: true };
  }
  // Out of reach for a moment is no reason to decide without it: the next round looks again.
  if (thrown.retryable) return stale(messageOf(thrown));
  throw thrown;
}

/**
 * Takes a replica that is to be loaded out of the replication list of the leader that serves. The
 * leader would go on from where it was with that replica before, whatever its disk kept, and feed
 * it while it loads (OpenMLDB 0.9: replication keeps its position across the follower's restart).
 *
 * @returns Why the leader could not be asked; undefined if the replica is not in its list now.
 */
async function unlist(
  { cluster, signal }: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<string | undefined> {
  if (lane.leader === undefined || lane.leader === endpoint) return undefined;
  try {
    const list = await cluster.getTableFollower(lane.leader, lane.id);
    if (list.followers.has(endpoint)) await cluster.delReplica(lane.leader, lane.id, endpoint);
    return undefined;
  } catch (thrown) {
    signal.throwIfAborted();
    return `its leader does not answer as leader: ${messageOf(thrown)}`;
  }
}

/**
 * Makes the leader feed a follower from the follower's own offset, and waits until it has what the
 * leader had when the wait began. A leader that does not lead any more, or a follower that is not
 * as it was, says nothing about whether the one can feed the other: the partition is looked at again.
 */
export async function feed(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const { cluster } = context;
  const leader = lane.leader ?? "";
  const ready = await lookBefore(context, lane, leader, endpoint);
  if ("result" in ready) return ready;
  const { own, list } = ready;
  const listed = list.followers.get(endpoint);
  if (listed !== undefined && listed >= list.offset && own.offset >= list.offset) {
    return { result: "done", detail: `in sync at offset ${listed}` };
  }
  try {
    const isWrong = await isListWrong(context, lane, { endpoint, listed, own });
    if (isWrong) await cluster.delReplica(leader, lane.id, endpoint);
    if (isWrong || listed === undefined) await cluster.addReplica(leader, lane.id, endpoint);
    return await caughtUp(context, lane, endpoint, { target: list.offset, own: own.offset });
  } catch (thrown) {
    context.signal.throwIfAborted();
    if (thrown instanceof OpsError && thrown.retryable) return stale(messageOf(thrown));
    throw thrown;
  }
}

/**
 * Whether the leader's list says more than the follower has: it is from before the follower came
 * back, and has to be begun anew. Under writes a report that is older than the list proves nothing.
 */
async function isListWrong(
  context: StepContext,
  lane: Lane,
  seen: {
    readonly endpoint: Endpoint;
    readonly listed: bigint | undefined;
    readonly own: ReplicaReport;
  },
): Promise<boolean> {
  const { endpoint, listed, own } = seen;
  if (listed === undefined || own.offset >= listed) return false;
  const newer = await reportNow(context, lane.id, endpoint);
  return (newer?.offset ?? -1n) < listed;
}

/** Whether the leader began to feed it a moment ago, by its promotion: it takes a while to be in sync. */
function isJustFed({ steps }: Lane, endpoint: Endpoint): boolean {
  return steps.some((one) => one.kind === "promote" && one.followers?.includes(endpoint) === true);
}

/** What the follower holds and whom its leader feeds; or why the one cannot be fed by the other. */
async function lookBefore(
  context: StepContext,
  lane: Lane,
  leader: Endpoint,
  endpoint: Endpoint,
): Promise<StepOutcome | { readonly own: ReplicaReport; readonly list: FollowerList }> {
  const [claim, own] = await Promise.all([
    claimNow(context, lane.id),
    reportNow(context, lane.id, endpoint),
  ]);
  const old = outdated(lane, claim, leader, endpoint);
  if (old !== undefined) return stale(old);
  if (replicaIn(claim, leader)?.isLeader === false) {
    return stale(`${leader} is not flagged leader any more`);
  }
  if (own === undefined) return stale("it is not loaded any more");
  if (!serves(own, "follower")) {
    return stale(`its tablet runs it as ${own.role ?? "nothing known"}, ${own.state}`);
  }
  let list: FollowerList;
  try {
    const poll = context.listOf(leader, lane.id);
    list = await (isJustFed(lane, endpoint) ? poll.next() : poll.now());
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
  lane: Lane,
  endpoint: Endpoint,
  { target, own }: { readonly target: bigint; readonly own: bigint },
): Promise<StepOutcome> {
  const { clock } = context.cluster;
  const leader = lane.leader ?? "";
  let last = -1n;
  let movedAt = clock.now();
  for (;;) {
    context.signal.throwIfAborted();
    const list = await context.listOf(leader, lane.id).next();
    const reached = list.followers.get(endpoint);
    if (reached !== undefined && reached >= target) {
      // One that had it all before only waited for the leader to find that out.
      const held = own >= target ? own : (await reportNow(context, lane.id, endpoint))?.offset;
      if (held !== undefined && held >= target) {
        return { result: "done", detail: `in sync at offset ${reached}` };
      }
    }
    if ((reached ?? -1n) !== last) movedAt = clock.now();
    last = reached ?? -1n;
    if (clock.now() - movedAt > FEED_STALL_MS) {
      return {
        result: "failed",
        detail: `it does not catch up: at ${reached ?? "no offset"}, ${leader} at ${list.offset}`,
      };
    }
  }
}
