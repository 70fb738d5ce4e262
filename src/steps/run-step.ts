import { type Endpoint, isOpActive, type PartitionId } from "../model/cluster-state.js";
import { opsOfPartition } from "../model/ops-of-partition.js";
import type { StepOutcome } from "../model/outcome.js";
import type { Lane, Step } from "../model/plan.js";
import { feed, loadFollower } from "./direct.js";
import { changeLeader, changeRole, demote, loadLeader, promote } from "./leader.js";
import { markAlive, markDead, setFlags } from "./record.js";
import { recoverFollower } from "./recover-table.js";
import type { StepContext } from "./step-context.js";
import { outcomeOf, reportNow, stale } from "./step-preconditions.js";
import { loaded, opsEnded, waitForSync } from "./waits.js";

const DONE: StepOutcome = { result: "done", detail: "" };
const ALREADY: StepOutcome = { result: "already-done" };

/**
 * Does one step: looks whether it is done already, acts, and waits for the effect.
 *
 * @throws Only when the run is to stop; every other failure is an outcome.
 */
export async function runStep(context: StepContext, lane: Lane, step: Step): Promise<StepOutcome> {
  return outcomeOf(context, () => dispatch(context, lane, step));
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
      return markDead(context, lane, step);
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
      return demote(context, lane, step);
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
    ? stale("the load that was under way failed")
    : { result: "done", detail: `${report.recordCount} rows` };
}

/** The op that paused the snapshots may have come back meanwhile; only a leftover is touched. */
async function recoverSnapshot(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const ops = opsOfPartition(await context.ops.now(), lane.id);
  if (ops.some(isOpActive)) {
    return stale("an op of the partition is running");
  }
  const report = await reportNow(context, lane.id, endpoint);
  if (report?.state !== "snapshot-paused") return ALREADY;
  await context.cluster.recoverSnapshot(endpoint, { ...lane.id, storageMode: lane.storageMode });
  return DONE;
}
