import { OpsError } from "../errors.js";
import {
  type Endpoint,
  type PartitionClaim,
  replicaKey,
  type TableClaim,
} from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { Lane, Step } from "../model/plan.js";
import type { StepContext } from "./step-context.js";
import {
  claimNow,
  claimOf,
  otherLeader,
  outdated,
  patiently,
  replicaIn,
  reportNow,
  serves,
  stale,
} from "./step-preconditions.js";

const DONE: StepOutcome = { result: "done", detail: "" };
const ALREADY: StepOutcome = { result: "already-done" };
/** "endpoint is not exist" (nameserver). */
const ENDPOINT_UNKNOWN = 302;

/**
 * Marks a replica alive. Clients are sent to it from then on, so it must serve at that moment, in
 * the role that they will expect of it.
 */
export async function markAlive(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<StepOutcome> {
  const [claim, report] = await Promise.all([
    claimNow(context, lane.id),
    reportNow(context, lane.id, endpoint),
  ]);
  const old = outdated(lane, claim, endpoint);
  if (old !== undefined) return stale(old);
  if (report === undefined) return stale("it is not loaded any more");
  if (!serves(report)) return stale(`it does not serve: its tablet says ${report.state}`);
  const wanted = endpoint === lane.leader ? "leader" : "follower";
  if (report.role !== wanted) {
    return stale(`its tablet runs it as ${report.role ?? "nothing known"} now, not as ${wanted}`);
  }
  const replica = replicaIn(claim, endpoint);
  if (wanted === "follower" && replica?.isLeader === true) {
    return stale("the record flags it leader now");
  }
  if (replica?.isAlive === true) return ALREADY;
  await context.cluster.updateTableAlive({ ...lane.id, endpoint }, true);
  return DONE;
}

/**
 * Marks a replica dead, so that clients leave it alone and RecoverTable takes it. Not one that leads
 * by now: the partition would lose its leader.
 *
 * A tablet that never came back after the nameserver restarted is unknown to it (code 302). Its
 * replica cannot be marked and need not be: nobody is sent there.
 */
export async function markDead(
  context: StepContext,
  lane: Lane,
  { endpoint = "", why }: Step,
): Promise<StepOutcome> {
  const [table, reports] = await Promise.all([
    context.recordOf(lane.id).now(),
    patiently(context, context.statusOf(endpoint).now()),
  ]);
  const replica = replicaIn(claimOf(table, lane.id), endpoint);
  if (replica === undefined) return stale("the replica is gone");
  if (!replica.isAlive) return ALREADY;
  const isLeading = replica.isLeader && serves(reports?.get(replicaKey(lane.id)), "leader");
  // An extra leader is one that led when it was planned, beside the one that stays.
  if (isLeading && why !== "extra-leader") return stale("it leads the partition now");
  const isServed = (tid: number, pid: number) => serves(reports?.get(replicaKey({ tid, pid })));
  try {
    await context.markDead(
      lane.id,
      endpoint,
      !pidsAt(table, endpoint).some(([t, p]) => isServed(t, p)),
    );
    return DONE;
  } catch (thrown) {
    if (thrown instanceof OpsError && thrown.responseCode === ENDPOINT_UNKNOWN) return ALREADY;
    throw thrown;
  }
}

/** Which partitions of a table have a replica at an endpoint, as tid and pid. */
function pidsAt(table: TableClaim | undefined, endpoint: Endpoint): [number, number][] {
  return (table?.partitions ?? [])
    .filter((one) => replicaIn(one, endpoint) !== undefined)
    .map((one) => [table?.tid ?? 0, one.pid]);
}

/**
 * Makes the nameserver's record name the leader. A leader that is flagged alive takes writes from
 * then on, so it must run as leader, and nobody else may lead; one that is not, must not.
 */
export async function setFlags(context: StepContext, lane: Lane, step: Step): Promise<StepOutcome> {
  const leader = step.endpoint ?? "";
  const alive = step.alive ?? [leader];
  const claim = await claimNow(context, lane.id);
  for (const endpoint of [leader, ...alive]) {
    const old = outdated(lane, claim, endpoint);
    if (old !== undefined) return stale(old);
  }
  if (isRecorded(claim, leader, alive)) return ALREADY;
  const [report, other] = await Promise.all([
    alive.includes(leader) ? reportNow(context, lane.id, leader) : undefined,
    isLeaderIn(claim, leader)
      ? undefined
      : otherLeader(context, lane, claim, { endpoint: leader, which: "flagged" }),
  ]);
  if (other !== undefined) return stale(`${other} leads the partition now`);
  if (alive.includes(leader)) {
    if (!serves(report, "leader")) return stale("it does not run as leader now");
    const marked = changedMark(claim, leader, alive);
    if (marked !== undefined) return stale(`${marked} was marked by somebody else`);
  }
  await context.cluster.setPartitionFlags(lane.id, { leader, alive });
  return { result: "done", detail: `the record names ${leader} as leader` };
}

/** Whether clients write to a replica, by the record: flagged leader and alive. */
export function isLeaderIn(claim: PartitionClaim | undefined, endpoint: Endpoint): boolean {
  const replica = replicaIn(claim, endpoint);
  return replica?.isLeader === true && replica.isAlive;
}

function isRecorded(
  claim: PartitionClaim | undefined,
  leader: Endpoint,
  alive: readonly Endpoint[],
): boolean {
  return (claim?.replicas ?? []).every(
    (one) =>
      one.isLeader === (one.endpoint === leader) && one.isAlive === alive.includes(one.endpoint),
  );
}

/** A follower whose mark is not the one that the plan goes by: writing the record would undo it. */
function changedMark(
  claim: PartitionClaim | undefined,
  leader: Endpoint,
  alive: readonly Endpoint[],
): Endpoint | undefined {
  return claim?.replicas.find(
    (one) =>
      one.endpoint !== leader && alive.includes(one.endpoint) !== (one.isAlive && !one.isLeader),
  )?.endpoint;
}
