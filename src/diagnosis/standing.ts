import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { viewingPartitions } from "../model/partition-view.js";
import { each, type Work } from "../model/work.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { diagnose } from "./diagnose.js";

/** How a cluster stands, in numbers. */
export interface Standing {
  readonly tablets: number;
  readonly tables: number;
  readonly partitions: number;
  readonly replicas: number;
  /** Keys (`replicaKey`) of the partitions that are not healthy. */
  readonly unhealthy: ReadonlySet<string>;
  /** The replica that serves each partition, by `replicaKey`; partitions that do not serve are not in it. */
  readonly leaders: ReadonlyMap<string, Endpoint>;
}

/** Counts what one observation shows. May rest between two partitions. */
export function* standingOf(state: ClusterState): Work<Standing> {
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
