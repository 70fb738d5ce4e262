import { messageOf, OpsError } from "../errors.js";
import {
  type Endpoint,
  type PartitionClaim,
  type PartitionId,
  type ReplicaReport,
  replicaKey,
  type TableClaim,
} from "../model/cluster-state.js";
import { detailOf, type StepOutcome } from "../model/outcome.js";
import type { Lane } from "../model/plan.js";
import { isLoading } from "../policy/what-it-holds.js";
import { within } from "../util/within.js";
import { serves } from "./expectations.js";
import type { StepContext } from "./step-context.js";

/**
 * Limit in milliseconds for a tablet whose answer could only contradict the step: longer than two shared observations
 * take. A tablet that does not answer by then leads nothing now.
 */
const ANSWER_MS = 3_000;

/** Reads the partition from the nameserver's record; undefined if the table is gone. */
export async function claimNow(
  context: StepContext,
  id: PartitionId,
): Promise<PartitionClaim | undefined> {
  return claimOf(await context.recordOf(id).now(), id);
}

/** The partition in a table's record; undefined if the partition or the very table is gone. */
export function claimOf(
  table: TableClaim | undefined,
  id: PartitionId,
): PartitionClaim | undefined {
  return table?.tid === id.tid ? table.partitions.find((one) => one.pid === id.pid) : undefined;
}

/** The outcome of a step whose effect was there already. */
export const ALREADY: StepOutcome = { result: "already-done" };
/** The outcome of a successful step without details. */
export const DONE: StepOutcome = { result: "done", detail: "" };

/** The outcome of a step that failed. */
export function failed(detail: string): StepOutcome {
  return { result: "failed", detail };
}

/** The outcome of a step that finds the cluster in another state than planned. */
export function stale(detail: string): StepOutcome {
  return { result: "stale", detail };
}

/** Thrown by the helpers of a step to end the step with an outcome. `runStep` and `outcomeOf` return the outcome. */
export class StepEnd extends Error {
  readonly outcome: StepOutcome;

  constructor(outcome: StepOutcome) {
    super(detailOf(outcome));
    this.outcome = outcome;
  }
}

/** True if a failed change may have taken effect: only its answer was lost. */
export function mayHaveWorked(thrown: unknown): boolean {
  return thrown instanceof OpsError && thrown.retryable && thrown.code !== "rejected";
}

/**
 * Runs a step's work and returns its outcome.
 *
 * @throws Only when the run is to stop; every other failure is an outcome.
 */
export async function outcomeOf<T>(
  { signal }: Pick<StepContext, "signal">,
  work: () => Promise<T>,
): Promise<T | StepOutcome> {
  try {
    return await work();
  } catch (thrown) {
    signal.throwIfAborted();
    return endedBy(thrown);
  }
}

/** The outcome of a step that threw. */
export function endedBy(thrown: unknown): StepOutcome {
  return thrown instanceof StepEnd ? thrown.outcome : failedBy(thrown);
}

/** The outcome of a step that ended with an error, with the error's hint. */
export function failedBy(thrown: unknown): Extract<StepOutcome, { result: "failed" }> {
  const hint = thrown instanceof OpsError && thrown.hint !== undefined ? ` (${thrown.hint})` : "";
  const isTransient = thrown instanceof OpsError && thrown.retryable;
  return {
    result: "failed",
    detail: `${messageOf(thrown)}${hint}`,
    ...(isTransient ? { isTransient } : {}),
  };
}

/** Calls the leader of a partition. @throws StepEnd `stale` if it does not answer as leader. */
export async function asLeader<T>(
  { signal }: Pick<StepContext, "signal">,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    signal.throwIfAborted();
    throw new StepEnd(stale(`its leader does not answer as leader: ${messageOf(thrown)}`));
  }
}

/** Reads a tablet's report of a replica; undefined if it has not loaded it. */
export async function reportNow(
  context: StepContext,
  id: PartitionId,
  endpoint: Endpoint,
): Promise<ReplicaReport | undefined> {
  return (await context.statusOf(endpoint).now()).get(replicaKey(id));
}

/**
 * Finds a replica other than `endpoint` that serves as leader or is being loaded as one; undefined if
 * there is none. A replica on a tablet that does not answer does not lead.
 *
 * @param which `flagged`: only a replica that clients write to, flagged leader and alive; `any`: every
 *   replica that its tablet runs as leader.
 */
export async function otherLeader(
  context: StepContext,
  { id }: Pick<Lane, "id">,
  claim: PartitionClaim | undefined,
  { endpoint, which }: { readonly endpoint: Endpoint; readonly which: "flagged" | "any" },
): Promise<Endpoint | undefined> {
  const others = (claim?.replicas ?? [])
    .filter((one) => one.endpoint !== endpoint)
    .filter((one) => which === "any" || (one.isLeader && one.isAlive));
  const leads = await Promise.all(
    others.map(async (one) => {
      const report = await patiently(context, reportNow(context, id, one.endpoint));
      // A replica that another client is loading as leader is about to lead.
      return report?.role === "leader" && (serves(report) || isLoading(report));
    }),
  );
  return others.find((_one, index) => leads[index])?.endpoint;
}

/** The answer of a tablet, or undefined if it does not answer soon. */
export async function patiently<T>(
  { cluster, signal }: StepContext,
  call: Promise<T>,
): Promise<T | undefined> {
  try {
    return await within(cluster.clock, ANSWER_MS, "the tablet", call, signal);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}
