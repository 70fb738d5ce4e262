import type { Absence } from "../model/absence.js";
import type { Endpoint } from "../model/cluster-state.js";
import { compareText, type TabletHealth, tabletHealth } from "../model/partition-view.js";
import { each, type Work } from "../model/work.js";
import type { InspectFacts } from "./facts.js";

/** The state and the replicas of one tablet. */
export interface TabletLoad {
  readonly endpoint: Endpoint;
  readonly health: TabletHealth;
  /** Why it is not `ok`, in words; empty if it is. */
  readonly detail: string;
  /** Why it is not `ok`, for programs; undefined if it is. */
  readonly absence: Absence | undefined;
  /** The nameserver's name of its state, such as `kHealthy`; undefined if the nameserver does not know it. */
  readonly state: string | undefined;
  /** Milliseconds since that state began; undefined if the nameserver does not know it. */
  readonly ageMs: bigint | undefined;
  readonly isRegistered: boolean;
  /** True if its ZooKeeper session is the first since its process started. */
  readonly isStartup: boolean;
  /** Replicas that the record places on it, and how many of them are flagged leader and alive. */
  readonly replicas: number;
  readonly leaders: number;
  /** Number of `replicas` that are flagged alive. */
  readonly alive: number;
  /** Number of `replicas` that the tablet has loaded, in any state; undefined if it is not `ok`. */
  readonly loaded: number | undefined;
}

interface Counts {
  replicas: number;
  leaders: number;
  alive: number;
  loaded: number;
}

/** The figures of every tablet for the inspected partitions, sorted by endpoint. */
export function* tabletLoads(facts: InspectFacts): Work<TabletLoad[]> {
  const counts = yield* countReplicas(facts);
  return [...facts.state.tablets.values()]
    .sort((a, b) => compareText(a.endpoint, b.endpoint))
    .map((view) => {
      const { tablet, tabletDetail, absence } = tabletHealth(view);
      const own = counts.get(view.endpoint);
      return {
        endpoint: view.endpoint,
        health: tablet,
        detail: tabletDetail,
        absence,
        state: view.claim?.state,
        ageMs: view.claim?.ageMs,
        isRegistered: view.isRegistered,
        isStartup: facts.startups.has(view.endpoint),
        replicas: own?.replicas ?? 0,
        leaders: own?.leaders ?? 0,
        alive: own?.alive ?? 0,
        loaded: tablet === "ok" ? (own?.loaded ?? 0) : undefined,
      };
    });
}

function* countReplicas({ views }: InspectFacts): Work<Map<Endpoint, Counts>> {
  const counts = new Map<Endpoint, Counts>();
  yield* each(views, ({ replicas }) => {
    for (const { endpoint, claim, report } of replicas) {
      const own = counts.get(endpoint) ?? { replicas: 0, leaders: 0, alive: 0, loaded: 0 };
      own.replicas += 1;
      if (claim.isAlive) own.alive += 1;
      if (claim.isLeader && claim.isAlive) own.leaders += 1;
      if (report !== undefined) own.loaded += 1;
      counts.set(endpoint, own);
    }
  });
  return counts;
}

/** True if the tablet is offline, not registered and without a replica on record: most likely removed for good. */
export function isRemoved({ health, state, replicas, isRegistered }: TabletLoad): boolean {
  return health === "offline" && state !== undefined && replicas === 0 && !isRegistered;
}
