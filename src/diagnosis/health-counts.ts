import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { viewingPartitions } from "../model/partition-view.js";
import { each, type Work } from "../model/work.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { diagnose } from "./diagnose.js";

/** Figures on the health of a cluster. */
export interface HealthCounts {
  readonly tablets: number;
  readonly tables: number;
  readonly partitions: number;
  readonly replicas: number;
  /** Keys (`replicaKey`) of the unhealthy partitions. */
  readonly unhealthy: ReadonlySet<string>;
  /** The tablet that leads each serving partition, by `replicaKey`; other partitions are absent. */
  readonly leaders: ReadonlyMap<string, Endpoint>;
}

/** Computes the figures of one observation. Yields between partitions. */
export function* healthCounts(state: ClusterState): Work<HealthCounts> {
  const views = yield* viewingPartitions(state);
  const unhealthy = new Set<string>();
  const leaders = new Map<string, Endpoint>();
  let replicas = 0;
  yield* each(views, (view) => {
    replicas += view.replicas.length;
    const leader = servingLeader(view);
    if (leader !== undefined) leaders.set(replicaKey(view.id), leader.endpoint);
    if (diagnose(view).length > 0) unhealthy.add(replicaKey(view.id));
  });
  return {
    ...{ tablets: state.tablets.size, tables: state.tables.length },
    ...{ partitions: views.length, replicas, unhealthy, leaders },
  };
}
