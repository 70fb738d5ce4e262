import type { Cluster } from "../cluster/cluster.js";
import { viewPartitions } from "../model/partition-view.js";
import type { RunReport } from "../model/report.js";
import { judge } from "./judge.js";
import { assertKnown, ofDatabase } from "./look.js";
import { observe } from "./observe.js";

/**
 * Observes and judges a cluster, changing nothing.
 *
 * @throws OpsError if it cannot be observed, or if no table lives in `db`.
 */
export async function inspectCluster(
  cluster: Cluster,
  options: {
    readonly db: string | undefined;
    readonly signal: AbortSignal;
    readonly rerun: string;
  },
): Promise<RunReport> {
  const began = cluster.clock.now();
  const state = await observe(cluster, { signal: options.signal });
  const views = ofDatabase(viewPartitions(state), options.db);
  if (options.db !== undefined) assertKnown(options.db, views, state);
  const judged = judge({
    state,
    views,
    sickBefore: new Set(),
    failures: new Map(),
    notes: new Map(),
    rerun: options.rerun,
  });
  return {
    command: "inspect",
    ...judged,
    autoFailover: { before: state.autoFailover, after: state.autoFailover, notRestored: undefined },
    changes: 0,
    calls: cluster.callCount(),
    tookMs: cluster.clock.now() - began,
  };
}
