import type { Cluster } from "../cluster/cluster.js";
import { assertKnown, type Selection, selected } from "../diagnosis/selection.js";
import { judge } from "../diagnosis/verdict.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import type { OnEvent } from "../model/outcome.js";
import { type PartitionView, viewingPartitions } from "../model/partition-view.js";
import type { PartitionResult } from "../model/report.js";
import type { PrintCommand, RecoverAgain } from "../model/tool-command.js";
import { inTurns } from "../util/yielding.js";
import { observe } from "./cluster.js";

/** A cluster as observed, and what recovery would find to do in it. */
export interface JudgedCluster {
  readonly state: ClusterState;
  /** The partitions in question, healthy or not. */
  readonly views: readonly PartitionView[];
  /** Those that are not healthy, in the same order: the very ones that `recoverdata` would work on. */
  readonly unhealthy: readonly PartitionResult[];
}

/**
 * Observes and judges a cluster with recovery's own eyes, changing nothing.
 *
 * @param options `again` makes the command that recovers, for advice; `seen` is what earlier runs knew,
 *   as recovery takes it into account.
 * @throws OpsError if it cannot be observed; `refused` if what is selected does not exist.
 */
export async function inspectCluster(
  cluster: Cluster,
  options: {
    readonly only: Selection;
    readonly signal: AbortSignal;
    /** Told how far the look is; absent: nothing is told. */
    readonly onEvent?: OnEvent | undefined;
    readonly again: RecoverAgain;
    readonly print: PrintCommand;
    readonly seen?: KnownOffsetsStore | undefined;
    /** Tablets that will not come back, as the operator says. */
    readonly lost?: ReadonlySet<Endpoint> | undefined;
  },
): Promise<JudgedCluster> {
  const { only, signal, onEvent, again, seen, lost } = options;
  onEvent?.({ kind: "phase", phase: "looking" });
  const state = await observe(cluster, { signal, onEvent, seen, lost });
  const all = await inTurns(viewingPartitions(state));
  assertKnown(all, only);
  const views = selected(all, only);
  const judged = await inTurns(
    judge({
      state,
      views,
      unhealthyBefore: new Set(),
      failures: new Map(),
      notes: new Map(),
      again,
      print: options.print,
    }),
  );
  return { state, views, unhealthy: judged.partitions };
}
