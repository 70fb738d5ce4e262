import { messageOf, OpsError } from "../errors.js";
import { type Endpoint, isOpActive, type PartitionId, replicaKey } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { Lane, Step } from "../model/plan.js";
import { rowsMissing } from "./diagnose.js";
import { recoverFollower } from "./recover-follower.js";
import { claimNow, outdated, type StepContext } from "./step-context.js";
import { changeLeader, demote, feed, loadFollower, promote, setFlags } from "./steps-direct.js";
import { isOpOf, loaded, opsEnded, waitForSync } from "./waits.js";

const DONE: StepOutcome = { result: "done", detail: "" };
/** "endpoint is not exist" (nameserver). */
const ENDPOINT_UNKNOWN = 302;
const ALREADY: StepOutcome = { result: "already-done" };

/**
 * Does one step: looks whether it is done already, acts, and waits for the effect.
 *
 * @throws Only when the run is to stop; every other failure is an outcome.
 */
export async function runStep(context: StepContext, lane: Lane, step: Step): Promise<StepOutcome> {
  try {
    return await dispatch(context, lane, step);
  } catch (thrown) {
    context.signal.throwIfAborted();
    const hint = thrown instanceof OpsError && thrown.hint !== undefined ? ` (${thrown.hint})` : "";
    return { result: "failed", detail: `${messageOf(thrown)}${hint}` };
  }
}

function dispatch(context: StepContext, lane: Lane, step: Step): Promise<StepOutcome> {
  const endpoint = step.endpoint ?? "";
  switch (step.kind) {
    case "wait-ops":
      return waitForOps(context, lane.id);
    case "wait-load":
      return waitForLoad(context, lane.id, endpoint);
    case "wait-sync":
      return waitForSync(context, lane.id, endpoint);
    case "mark-dead":
      return markDead(context, lane.id, endpoint);
    case "load-leader":
      return loadLeader(context, lane, endpoint);
    case "change-role":
      return changeRole(context, lane, endpoint);
    case "mark-alive":
      return markAlive(context, lane, endpoint);
    case "recover-snapshot":
      return recoverSnapshot(context, lane, endpoint);
    case "recover-table":
      return recoverFollower(context, lane, step);
    case "load-follower":
      return loadFollower(context, lane, endpoint);
    case "demote":
      return demote(context, lane, endpoint);
    case "promote":
      return promote(context, lane, step);
    case "change-leader":
      return changeLeader(context, lane, endpoint);
    case "set-flags":
      return setFlags(context, lane, step);
    case "feed":
      return feed(context, lane, endpoint);
  }
}

/** Clients are sent to a replica that is marked alive, so it must serve at that moment. */
async function markAlive(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const [claim, reports] = await Promise.all([
    claimNow(context, lane.id),
    context.statusOf(endpoint).next(),
  ]);
  const old = outdated(lane, claim);
  if (old !== undefined) return { result: "stale", detail: old };
  const replica = claim?.replicas.find((one) => one.endpoint === endpoint);
  if (replica === undefined) return { result: "stale", detail: "the replica is gone" };
  const report = reports.get(replicaKey(lane.id));
  if (report === undefined) return { result: "stale", detail: "it is not loaded any more" };
  if (replica.isAlive) return ALREADY;
  await context.cluster.updateTableAlive({ ...lane.id, endpoint }, true);
  return DONE;
}

/**
 * A tablet that never came back after the nameserver restarted is unknown to it (code 302). Its
 * replica cannot be marked and need not be: nobody is sent there.
 */
async function markDead(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  try {
    await context.markDead(id, endpoint);
    return DONE;
  } catch (thrown) {
    if (thrown instanceof OpsError && thrown.responseCode === ENDPOINT_UNKNOWN) return ALREADY;
    throw thrown;
  }
}

async function waitForOps(context: StepContext, id: PartitionId): Promise<StepOutcome> {
  const ops = await opsEnded(context, id, -1n);
  return { result: "done", detail: `waited for ${ops.length} ops` };
}

async function waitForLoad(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const report = await loaded(context, id, endpoint);
  return report === undefined
    ? { result: "stale", detail: "the load that was under way failed" }
    : { result: "done", detail: `${report.recordCount} rows` };
}

/**
 * Loads the coming leader. The mode must be in the request: a replica that was created as
 * follower and elected later keeps "follower" on its disk and would come up as one, with nobody
 * to feed it (OpenMLDB tablet: LoadTable merges the request with table_meta.txt).
 */
function loadLeader(context: StepContext, lane: Lane, endpoint: Endpoint): Promise<StepOutcome> {
  return context.withLoadSlot(endpoint, async () => {
    context.signal.throwIfAborted();
    const before = (await context.statusOf(endpoint).next()).get(replicaKey(lane.id));
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
    const report = await loaded(context, lane.id, endpoint, lane.leastOffset);
    if (report === undefined) {
      return {
        result: "failed",
        detail: `tablet ${endpoint} could not load it (look into its log; is the data still on its disk?)`,
      };
    }
    if (report.offset < lane.leastOffset) {
      return {
        result: "failed",
        detail: rowsMissing(report.offset, lane.leastOffset),
      };
    }
    if (report.role !== "leader") return changeRole(context, lane, endpoint);
    const seen = lane.lastSeen.get(endpoint) ?? 0n;
    const isShort = report.offset < seen;
    const short = isShort ? `; ${seen} was seen before, and no other replica has it` : "";
    const detail = `${report.recordCount} rows, offset ${report.offset}${short}`;
    return before === undefined ? { result: "done", detail } : ALREADY;
  });
}

async function changeRole(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  await context.cluster.changeRole(endpoint, {
    ...lane.id,
    role: "leader",
    term: lane.newestTerm.term,
    followers: [],
  });
  const report = (await context.statusOf(endpoint).next()).get(replicaKey(lane.id));
  return report?.role === "leader"
    ? { result: "done", detail: `leads term ${lane.newestTerm.term} from offset ${report.offset}` }
    : {
        result: "failed",
        detail: "the tablet took the change of role and still does not run it as leader",
      };
}

/** The op that paused the snapshots may have come back meanwhile; only a leftover is touched. */
async function recoverSnapshot(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const ops = await context.ops.next();
  if (ops.some((op) => isOpOf(op, lane.id) && isOpActive(op))) {
    return { result: "stale", detail: "an op of the partition is running" };
  }
  const report = (await context.statusOf(endpoint).next()).get(replicaKey(lane.id));
  if (report?.state !== "snapshot-paused") return ALREADY;
  await context.cluster.recoverSnapshot(endpoint, { ...lane.id, storageMode: lane.storageMode });
  return DONE;
}
