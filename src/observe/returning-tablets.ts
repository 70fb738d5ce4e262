import type { Cluster } from "../cluster/cluster.js";
import { absenceOf, mayBeGivenUp, mayBeReturning } from "../model/absence.js";
import type { ClusterState, Endpoint, TabletView } from "../model/cluster-state.js";
import type { OnEvent } from "../model/outcome.js";
import { tabletHealth } from "../model/partition-view.js";
import { untilAborted } from "../util/within.js";
import { readTablet } from "./read-tablet.js";

/**
 * Milliseconds that a run waits for tablets that may soon be back. A tablet that died is unreachable until its
 * ZooKeeper session ends (10 s in shipped configurations), and then counts as restarting for another 15 s.
 */
const RESTARTING_MAX_MS = 30_000;
const UNREACHABLE_MAX_MS = 12_000;
const LOOK_AGAIN_MS = 1_000;

/**
 * Waits for tablets that are restarting, or that are unreachable and may have just died, until each is
 * back, is known to be down, or its time is over.
 *
 * @param endpoints The tablets that the run needs; those that were waited for are removed from it.
 * @returns Those whose state has changed.
 * @throws OpsError if ZooKeeper or the nameserver cannot be read, or on abort.
 */
export async function awaitReturning(
  cluster: Cluster,
  state: ClusterState,
  endpoints: Set<Endpoint>,
  { signal, onEvent }: { readonly signal: AbortSignal; readonly onEvent: OnEvent },
): Promise<ReadonlySet<Endpoint>> {
  const { clock } = cluster;
  const first = [...state.tablets.values()].filter((one) => endpoints.has(one.endpoint));
  const before = new Map(first.map((one) => [one.endpoint, stateOf(one)]));
  let waiting = first.filter(mayReturn);
  if (waiting.length === 0) return new Set();
  for (const { endpoint } of waiting) endpoints.delete(endpoint);
  const names = waiting.map((one) => `${one.endpoint} (${tabletHealth(one).tabletDetail})`);
  onEvent({
    kind: "note",
    text: `waiting for tablets that may be restarting: ${names.join(", ")}`,
  });
  const began = clock.now();
  const now = new Map(before);
  while (waiting.length > 0) {
    await clock.sleep(LOOK_AGAIN_MS, signal);
    const waited = clock.now() - began;
    const views = await untilAborted(lookAgain(cluster, waiting), signal);
    for (const one of views) now.set(one.endpoint, stateOf(one));
    waiting = views.filter(
      (one) =>
        mayReturn(one) &&
        waited < (mayBeReturning(absenceOf(one)) ? RESTARTING_MAX_MS : UNREACHABLE_MAX_MS),
    );
  }
  const changed = [...now].filter(([endpoint, state]) => state !== before.get(endpoint));
  return new Set(changed.map(([endpoint]) => endpoint));
}

/** The tablets for which other actions are possible than before, such as one that was restarting and is down. */
export function changedTablets(
  before: Pick<ClusterState, "tablets">,
  after: Pick<ClusterState, "tablets">,
): ReadonlySet<Endpoint> {
  const changed = [...after.tablets.values()].filter((view) => {
    const earlier = before.tablets.get(view.endpoint);
    return earlier === undefined || stateOf(earlier) !== stateOf(view);
  });
  return new Set(changed.map((one) => one.endpoint));
}

/** Text that changes when other actions become possible for the tablet. */
function stateOf(view: TabletView): string {
  const absence = absenceOf(view);
  return `${absence?.kind} ${mayBeGivenUp(absence)}`;
}

function mayReturn(view: TabletView): boolean {
  const absence = absenceOf(view);
  return absence?.kind === "unreachable" || mayBeReturning(absence);
}

async function lookAgain(
  cluster: Cluster,
  tablets: readonly TabletView[],
): Promise<readonly TabletView[]> {
  const [topology, claims] = await Promise.all([cluster.topology(), cluster.showTablet()]);
  return Promise.all(
    tablets.map(async ({ endpoint, mayBeAt, isLost }) => {
      const claim = claims.find((one) => one.endpoint === endpoint);
      const isRegistered = topology.tablets.includes(endpoint);
      const view = await readTablet(cluster, { endpoint, claim, isRegistered, isLost });
      return { ...view, mayBeAt };
    }),
  );
}
