import { type ClusterState, type Endpoint, replicaKey } from "./cluster-state.js";
import { type TabletHealth, tabletHealth } from "./partition-view.js";

/** Figures of one tablet's replicas. */
export interface TabletSummary {
  readonly endpoint: Endpoint;
  readonly health: TabletHealth;
  /** Why it is not `ok`; empty if it is. */
  readonly detail: string;
  /** Replicas that the record places on it. */
  readonly replicas: number;
  /** Number of them that are flagged leader and alive. */
  readonly leaders: number;
  /** Number of them that are flagged alive. */
  readonly alive: number;
  /** Number of them that it has loaded, in any state; null if it is not `ok`. */
  readonly loaded: number | null;
}

/** Computes the figures of every tablet, including those that only the record names. The order is not defined. */
export function tabletSummaries({
  tables,
  tablets,
}: Pick<ClusterState, "tables" | "tablets">): TabletSummary[] {
  const counts = new Map<
    Endpoint,
    { replicas: number; leaders: number; alive: number; loaded: number }
  >();
  const countsOf = (endpoint: Endpoint) => {
    const own = counts.get(endpoint) ?? { replicas: 0, leaders: 0, alive: 0, loaded: 0 };
    counts.set(endpoint, own);
    return own;
  };
  for (const endpoint of tablets.keys()) countsOf(endpoint);
  for (const { tid, partitions } of tables) {
    for (const { pid, replicas } of partitions) {
      const key = replicaKey({ tid, pid });
      for (const { endpoint, isAlive, isLeader } of replicas) {
        const own = countsOf(endpoint);
        own.replicas += 1;
        own.alive += Number(isAlive);
        own.leaders += Number(isAlive && isLeader);
        own.loaded += Number(tablets.get(endpoint)?.reports?.has(key) === true);
      }
    }
  }
  return [...counts].map(([endpoint, own]) => {
    const { tablet: health, tabletDetail: detail } = tabletHealth(tablets.get(endpoint));
    return { endpoint, health, detail, ...own, loaded: health === "ok" ? own.loaded : null };
  });
}
