import type { Action } from "../model/action.js";
import { type Endpoint, type ReplicaReport, replicaKey } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import { greatest, leastToLead, whyNotLead } from "../operations/load-table.js";
import { replicaAt } from "../operations/targets.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { subjectOf } from "./acts-replica.js";
import { observePartition, type StepContext } from "./step-context.js";
import { reportNow, serves, stale } from "./step-preconditions.js";
import { loaded, opsEnded } from "./waits.js";

const ALREADY: StepOutcome = { result: "already-done" };

/**
 * Loads a replica and waits until it serves. One that shall lead is loaded as follower, and gets the
 * leader's role only if it shows everything that is known of the partition: until then nobody
 * writes to it, so a disk that lost rows does no harm.
 */
export async function loadTable(context: StepContext, action: Action): Promise<StepOutcome> {
  const { id, endpoint } = subjectOf(action);
  const role = action.with?.["role"] === "leader" ? "leader" : "follower";
  const planned = BigInt(action.with?.["least"] ?? "0");
  await opsEnded(context, id, -1n);
  return context.withLoadSlot(endpoint, async () => {
    const view = await observePartition(context, id);
    const replica = view && replicaAt(view, endpoint);
    if (view === undefined || replica === undefined) return stale("the replica is gone");
    if (serves(replica.report, role)) return ALREADY;
    if (role === "follower") return loadAsFollower(context, view, endpoint, planned);
    const why = whyNotLead(view, endpoint);
    if (why !== undefined) return stale(why);
    return loadToLead(context, view, endpoint, greatest(leastToLead(view, replica), planned));
  });
}

/**
 * Loads a follower that nobody feeds meanwhile: its leader would go on from where it was with it
 * before, whatever its disk kept. One that was fed is fed again afterwards, from its own offset.
 */
async function loadAsFollower(
  context: StepContext,
  view: PartitionView,
  endpoint: Endpoint,
  least: bigint,
): Promise<StepOutcome> {
  const { cluster } = context;
  const leader = servingLeader(view);
  const wasFed = leader?.followers?.followers.has(endpoint) === true;
  if (leader !== undefined && wasFed) await cluster.delReplica(leader.endpoint, view.id, endpoint);
  const report = await load(context, view, endpoint, least);
  if ("result" in report) return report;
  const came = `${report.recordCount} rows, offset ${report.offset}`;
  const short = report.offset < least ? `; ${least} was known before` : "";
  if (leader === undefined || !wasFed) return { result: "done", detail: `${came}${short}` };
  const held = (await cluster.getTableFollower(leader.endpoint, view.id)).offset;
  if (report.offset > held) {
    return {
      result: "failed",
      detail: `${came}, but its leader ${leader.endpoint} holds only ${held}, so it is not fed again`,
    };
  }
  await cluster.addReplica(leader.endpoint, view.id, endpoint);
  return { result: "done", detail: `${came}${short}, fed by ${leader.endpoint} again` };
}

async function loadToLead(
  context: StepContext,
  view: PartitionView,
  endpoint: Endpoint,
  least: bigint,
): Promise<StepOutcome> {
  const { cluster } = context;
  const { id } = view;
  const report = await load(context, view, endpoint, least);
  if ("result" in report) return report;
  if (report.offset < least) {
    return {
      result: "failed",
      detail: `it came up at offset ${report.offset}, but ${least} was known: rows are missing on its disk; it was not made leader, and runs as follower that nobody feeds`,
    };
  }
  // Loading takes a while: whoever became leader meanwhile stays the only one.
  const now = await observePartition(context, id);
  const why = now === undefined ? "the table is gone" : whyNotLead(now, endpoint);
  if (why !== undefined) return stale(why);
  const term = now?.terms.at(-1)?.term ?? 0n;
  await cluster.changeRole(endpoint, { ...id, role: "leader", term, followers: [] });
  const after = await reportNow(context, id, endpoint);
  return after?.role === "leader"
    ? {
        result: "done",
        detail: `${after.recordCount} rows, leads term ${term} from offset ${after.offset}`,
      }
    : { result: "failed", detail: "the tablet took the role and still does not run it as leader" };
}

/** Loads as follower unless it is loaded, and waits. @returns How the action ends if it cannot. */
async function load(
  context: StepContext,
  { id, segCount, storageMode, replicas }: PartitionView,
  endpoint: Endpoint,
  least: bigint,
): Promise<ReplicaReport | StepOutcome> {
  const before = replicas.find((one) => one.endpoint === endpoint)?.report;
  if (before === undefined) {
    await context.cluster.loadTable(endpoint, {
      ...id,
      segCount,
      storageMode,
      role: "follower",
      term: 0n,
      followers: [],
    });
  }
  const report = await loaded(context, id, endpoint, least);
  if (report === undefined) {
    return {
      result: "failed",
      detail: `tablet ${endpoint} could not load ${replicaKey(id)}: look into its log; is the data still on its disk?`,
    };
  }
  return report.role === "follower"
    ? report
    : stale(`somebody loaded it as ${report.role ?? "nothing known"} meanwhile`);
}
