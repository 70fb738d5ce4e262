import pLimit from "p-limit";
import type { Cluster } from "../cluster/cluster.js";
import { replicaKey, type TableClaim } from "../model/cluster-state.js";
import type { LaneFailure } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import { NO_ATTEMPTS, type Planner } from "../planning/attempt-history.js";
import { batchMarkDead } from "../planning/documented.js";
import type { PredictedRound } from "../planning/predict-rounds.js";
import { createRecoverEndpointBatch, isBatchFaster } from "../steps/recover-endpoint-batch.js";
import type { StepContext } from "../steps/step-context.js";
import { inTurns, mapInTurns } from "../util/yielding.js";
import { gatherMsOf } from "./create-context.js";
import type { KnownOffsets } from "./known-offsets.js";
import { rollingBackOnStop, type StoppableOptions } from "./rollback-on-stop.js";
import type { PartitionLimits } from "./run-lane.js";
import { recoverPartition } from "./run-partition.js";

/** Milliseconds that the calls of light steps take if tablets and nameserver answer within a millisecond. */
const LIGHT_MS = 5;

/** The parts of a recovery other than the partitions. */
export interface ExecuteOptions extends StoppableOptions {
  readonly planner: Planner;
  readonly knownOffsets: KnownOffsets;
}

/**
 * Recovers partitions concurrently. A failure in one never stops another.
 *
 * Leaders have priority: a partition that serves reads and writes matters more than a complete set of
 * followers, so no leader waits for the slow ops of followers.
 *
 * @param views In the order in which to begin: system databases first.
 * @param tables From the same observation; they show which of them can be marked dead by one call.
 * @returns The failures, by `replicaKey`; partitions without a failure are absent.
 * @throws The signal's reason if the run is stopped; steps in flight are left to end by themselves.
 */
export async function execute(
  cluster: Cluster,
  views: readonly PartitionView[],
  tables: readonly TableClaim[],
  options: ExecuteOptions,
): Promise<Map<string, LaneFailure>> {
  const { limits, onEvent } = options;
  const rounds = await mapInTurns(views, (view) => ({
    view,
    lane: options.planner(view, NO_ATTEMPTS),
  }));
  const markDeadCalls = await inTurns(
    batchMarkDead(
      rounds.map((one) => one.lane),
      tables,
    ),
  );
  // Light steps spend most of their time waiting for two shared reads, which costs nothing: run more of them.
  const waitedMs = 2 * gatherMsOf(views.length);
  const atOnce = Math.round(limits.concurrency * (1 + waitedMs / LIGHT_MS));
  const partitionLimits: PartitionLimits = {
    beginning: pLimit(limits.concurrency),
    leaders: pLimit(limits.concurrency),
    followers: pLimit(limits.concurrency),
    lightLeaders: pLimit(atOnce),
    lightFollowers: pLimit(atOnce),
  };
  const failures = new Map<string, LaneFailure>();
  const run = async (context: StepContext, first: PredictedRound) => {
    const { id } = first.lane;
    const failure = await recoverPartition(context, first, options, partitionLimits);
    if (failure !== undefined) failures.set(replicaKey(id), failure);
    onEvent({ kind: "lane-ended", id, failure });
  };
  const stoppable = { ...options, markDeadCalls, partitions: views.length };
  await rollingBackOnStop(cluster, stoppable, async (made) => {
    const context = withEndpointBatch(made, views);
    const begun = await mapInTurns(rounds, (first) => {
      const work = run(context, first);
      // Avoid an unhandled rejection before Promise.all below is reached.
      work.catch(() => undefined);
      return work;
    });
    await Promise.all(begun);
  });
  return failures;
}

/** Adds RecoverEndpoint batches by tablet, if there can be enough followers for a batch to be faster. */
function withEndpointBatch(context: StepContext, views: readonly PartitionView[]): StepContext {
  const canPay = isBatchFaster(views.map((view) => view.id.pid));
  return canPay ? { ...context, endpointBatch: createRecoverEndpointBatch(context) } : context;
}
