import { rowsMissing } from "../diagnosis/diagnose.js";
import { OpsError } from "../errors.js";
import { type Endpoint, isOpActive } from "../model/cluster-state.js";
import { opsOfPartition } from "../model/ops-of-partition.js";
import type { StepOutcome } from "../model/outcome.js";
import type { Lane, Step } from "../model/plan.js";
import { loadInTurn } from "./load-in-turn.js";
import { isLeaderIn } from "./record.js";
import type { StepContext } from "./step-context.js";
import {
  claimNow,
  otherLeader,
  outdated,
  replicaIn,
  reportNow,
  serves,
  stale,
} from "./step-preconditions.js";
import { loaded, newestOf, opsEnded } from "./waits.js";

const DONE: StepOutcome = { result: "done", detail: "" };
const ALREADY: StepOutcome = { result: "already-done" };

/**
 * Loads the coming leader. The mode must be in the request: a replica that was created as
 * follower and elected later keeps "follower" on its disk and would come up as one, with nobody
 * to feed it (OpenMLDB tablet: LoadTable merges the request with table_meta.txt).
 */
export function loadLeader(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  return loadInTurn(context, lane, endpoint, async () => {
    const claim = await claimNow(context, lane.id);
    const old = outdated(lane, claim, endpoint);
    if (old !== undefined) return stale(old);
    const [before, other] = await Promise.all([
      reportNow(context, lane.id, endpoint),
      otherLeader(context, lane, claim, { endpoint, which: "flagged" }),
    ]);
    if (other !== undefined) return stale(`${other} leads the partition now`);
    if (before === undefined) {
      await context.cluster.loadTable(endpoint, {
        ...lane.id,
        segCount: lane.segCount,
        storageMode: lane.storageMode,
        role: "leader",
        term: lane.newestTerm.term,
        followers: [],
      });
    }
    return cameUp(context, lane, endpoint, before !== undefined);
  });
}

/** Waits for the load of the leader and compares what it came up with. */
async function cameUp(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
  wasLoaded: boolean,
): Promise<StepOutcome> {
  const report = await loaded(context, lane.id, endpoint, lane.leastOffset);
  if (report === undefined) {
    return {
      result: "failed",
      detail: `tablet ${endpoint} could not load it (look into its log; is the data still on its disk?)`,
    };
  }
  if (report.offset < lane.leastOffset) {
    return { result: "failed", detail: rowsMissing(report.offset, lane.leastOffset) };
  }
  if (report.role !== "leader") return changeRole(context, lane, endpoint);
  if (wasLoaded) return ALREADY;
  const seen = lane.lastSeen.get(endpoint) ?? 0n;
  const isShort = report.offset < seen;
  const short = isShort ? `; ${seen} was seen before, and no other replica has it` : "";
  return { result: "done", detail: `${report.recordCount} rows, offset ${report.offset}${short}` };
}

/** Gives a loaded replica, which the record flags leader, that role with the newest term. */
export function changeRole(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  return makeLeader(context, lane, { endpoint, followers: [], unless: "flagged" });
}

/**
 * Gives a loaded follower the leader's role with the newest term. Nothing is lost by the choice,
 * so no new term is begun: its log contains those of the followers that it feeds.
 */
export function promote(context: StepContext, lane: Lane, step: Step): Promise<StepOutcome> {
  const { endpoint = "", followers = [] } = step;
  return makeLeader(context, lane, { endpoint, followers, unless: "any" });
}

/** @param made With `unless`: whose being leader forbids it, see {@link otherLeader}. */
async function makeLeader(
  context: StepContext,
  lane: Lane,
  made: {
    readonly endpoint: Endpoint;
    readonly followers: readonly Endpoint[];
    readonly unless: "flagged" | "any";
  },
): Promise<StepOutcome> {
  const { endpoint, followers, unless } = made;
  const claim = await claimNow(context, lane.id);
  const old = outdated(lane, claim, endpoint);
  if (old !== undefined) return stale(old);
  const [before, other] = await Promise.all([
    reportNow(context, lane.id, endpoint),
    otherLeader(context, lane, claim, { endpoint, which: unless }),
  ]);
  if (before === undefined) return stale("it is not loaded any more");
  if (!serves(before)) return stale(`it does not serve: its tablet says ${before.state}`);
  if (other !== undefined) return stale(`${other} runs as leader now`);
  if (before.offset < lane.leastOffset) {
    return stale(`it is at offset ${before.offset}, no longer ${lane.leastOffset}`);
  }
  if (before.role === "leader") return ALREADY;
  await context.cluster.changeRole(endpoint, {
    ...lane.id,
    role: "leader",
    term: lane.newestTerm.term,
    followers,
  });
  // The first feed asks for its list, and sees whether it leads.
  const detail = `leads term ${lane.newestTerm.term} from offset ${before.offset}`;
  return followers.length > 0 ? { result: "done", detail } : leads(context, lane, endpoint);
}

/** Whether the tablet runs it as leader by now: a follower has no replication list (code 103). */
async function leads(context: StepContext, lane: Lane, endpoint: Endpoint): Promise<StepOutcome> {
  try {
    const { offset } = await context.listOf(endpoint, lane.id).now();
    return { result: "done", detail: `leads term ${lane.newestTerm.term} from offset ${offset}` };
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "rejected") throw thrown;
    return {
      result: "failed",
      detail: "the tablet took the role and still does not run it as leader",
    };
  }
}

/** Takes the leader's role from a replica that shall not lead, before another one gets it. */
export async function demote(
  context: StepContext,
  lane: Lane,
  { endpoint = "", why }: Step,
): Promise<StepOutcome> {
  const [claim, before] = await Promise.all([
    claimNow(context, lane.id),
    reportNow(context, lane.id, endpoint),
  ]);
  const old = outdated(lane, claim, endpoint);
  if (old !== undefined) return stale(old);
  if (before === undefined) return stale("it is not loaded any more");
  if (before.role === "follower") return ALREADY;
  // A leader in use is demoted beside another one, or on the operator's word, and never otherwise.
  const isInUse = isLeaderIn(claim, endpoint) && !isLeaderIn(claim, lane.leader ?? "");
  if (isInUse && why === "extra-leader") return stale("it leads the partition now");
  await context.cluster.changeRole(endpoint, {
    ...lane.id,
    role: "follower",
    term: 0n,
    followers: [],
  });
  const report = await reportNow(context, lane.id, endpoint);
  return report?.role === "leader" ? { result: "failed", detail: "it still runs as leader" } : DONE;
}

/**
 * Makes a follower the leader of a new term through the nameserver, which fences the others and
 * appends to the term history. What is given up by it was counted on the offset of the plan, so the
 * replica must still be there.
 */
export async function changeLeader(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const [all, claim, before] = await Promise.all([
    context.ops.now(),
    claimNow(context, lane.id),
    reportNow(context, lane.id, endpoint),
  ]);
  const old = outdated(lane, claim, endpoint);
  if (old !== undefined) return stale(old);
  const running = opsOfPartition(all, lane.id).find(isOpActive);
  if (running !== undefined) return stale(`op ${running.id} (${running.type}) is at work`);
  if (replicaIn(claim, endpoint)?.isAlive === false) return stale("it is marked dead now");
  if (before === undefined || !serves(before)) return stale("it is not loaded any more");
  if (before.offset !== lane.leastOffset) {
    return stale(`it is at offset ${before.offset}, no longer at ${lane.leastOffset}`);
  }
  await context.cluster.changeLeader(lane.id, endpoint);
  const ops = await opsEnded(context, lane.id, newestOf(all));
  const report = await reportNow(context, lane.id, endpoint);
  if (report?.role === "leader") {
    return { result: "done", detail: `leads a new term from offset ${report.offset}` };
  }
  const bad = ops.find((op) => op.status !== "done");
  const why =
    bad === undefined ? "no op did it" : `op ${bad.id} (${bad.type}) failed at ${bad.task}`;
  return { result: "failed", detail: `it does not lead: ${why}` };
}
