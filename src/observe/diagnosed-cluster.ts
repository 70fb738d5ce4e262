import type { Cluster } from "../cluster/cluster.js";
import { assertKnown, type Selection, selected } from "../diagnosis/selection.js";
import { verifyPartitions } from "../diagnosis/verdict.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import type { OnEvent } from "../model/outcome.js";
import { type PartitionView, viewingPartitions } from "../model/partition-view.js";
import type { PartitionResult } from "../model/report.js";
import type { PrintCommand, RecoverAgain } from "../model/tool-command.js";
import { inTurns } from "../util/yielding.js";
import { observe } from "./cluster.js";

/** An observed cluster, with what recovery would do in it. */
export interface DiagnosedCluster {
  readonly state: ClusterState;
  /** The selected partitions, healthy or not. */
  readonly views: readonly PartitionView[];
  /** The unhealthy ones in the same order: those that `recoverdata` would process. */
  readonly unhealthy: readonly PartitionResult[];
}

/**
 * Observes and diagnoses a cluster by the rules of recovery, without changes.
 *
 * @param options `again` makes the recovery command for advice; `knownOffsetsStore` holds the lower bounds of
 *   earlier runs, which recovery takes into account.
 * @throws OpsError if the cluster cannot be observed; `refused` if the selection does not exist.
 */
export async function inspectCluster(
  cluster: Cluster,
  options: {
    readonly only: Selection;
    readonly signal: AbortSignal;
    /** Receives the progress of the observation; absent: no progress is reported. */
    readonly onEvent?: OnEvent | undefined;
    readonly again: RecoverAgain;
    readonly print: PrintCommand;
    readonly knownOffsetsStore?: KnownOffsetsStore | undefined;
    /** Tablets declared lost by the operator. */
    readonly lost?: ReadonlySet<Endpoint> | undefined;
  },
): Promise<DiagnosedCluster> {
  const { only, signal, onEvent, again, knownOffsetsStore, lost } = options;
  onEvent?.({ kind: "phase", phase: "looking" });
  const state = await observe(cluster, { signal, onEvent, knownOffsetsStore, lost });
  const all = await inTurns(viewingPartitions(state));
  assertKnown(all, only);
  const views = selected(all, only);
  const verified = await inTurns(
    verifyPartitions({
      state,
      views,
      unhealthyBefore: new Set(),
      failures: new Map(),
      notes: new Map(),
      again,
      print: options.print,
    }),
  );
  return { state, views, unhealthy: verified.partitions };
}
