import pLimit from "p-limit";
import type { Cluster } from "../cluster/cluster.js";
import { replicaKey, type TableClaim } from "../model/cluster-state.js";
import type { LaneFailure } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import { NO_ATTEMPTS, type Planner } from "../planning/attempt-history.js";
import { batchMarks } from "../planning/documented.js";
import type { PredictedRound } from "../planning/predict-rounds.js";
import { createRecoverEndpointBatch, isBatchFaster } from "../steps/recover-endpoint-batch.js";
import type { StepContext } from "../steps/step-context.js";
import { inTurns, mapInTurns } from "../util/yielding.js";
import { gatherMsOf } from "./create-context.js";
import type { KnownOffsets } from "./known-offsets.js";
import { rollingBackOnStop, type StoppableOptions } from "./rollback-on-stop.js";
import type { PartitionLimits } from "./run-lane.js";
import { recoverPartition } from "./run-partition.js";

/** What the calls of light steps take on a tablet and at a nameserver that answer within a millisecond. */
const LIGHT_MS = 5;

/** What a recovery needs beside the partitions. */
export interface ExecuteOptions extends StoppableOptions {
  readonly planner: Planner;
  readonly knownOffsets: KnownOffsets;
}

/**
 * Brings partitions back, side by side. One that fails never stops another.
 *
 * Leaders come first: a partition that takes reads and writes is worth more than one with all its
 * replicas, so no leader waits behind the slow ops of followers.
 *
 * @param views In the order in which to begin: system databases first.
 * @param tables The same observation, to know which marks can share a call.
 * @returns What went wrong, by `replicaKey`; partitions that are through without are absent.
 * @throws The signal's reason if the run is to stop; steps in flight are left to end by themselves.
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
  const marks = await inTurns(
    batchMarks(
      rounds.map((one) => one.lane),
      tables,
    ),
  );
  // What waits for others to share two looks is not at work, and that is most of what light steps do.
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
  const stoppable = { ...options, marks, partitions: views.length };
  await rollingBackOnStop(cluster, stoppable, async (made) => {
    const context = withEndpointBatch(made, views);
    const begun = await mapInTurns(rounds, (first) => {
      const work = run(context, first);
      // What waits for all of them may not be listening yet.
      work.catch(() => undefined);
      return work;
    });
    await Promise.all(begun);
  });
  return failures;
}

/** Batches followers by tablet, where there can be enough of them that it pays to wait for each other. */
function withEndpointBatch(context: StepContext, views: readonly PartitionView[]): StepContext {
  const canPay = isBatchFaster(views.map((view) => view.id.pid));
  return canPay ? { ...context, endpointBatch: createRecoverEndpointBatch(context) } : context;
}
