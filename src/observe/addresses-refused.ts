import type { Cluster } from "../cluster/cluster.js";
import type { Endpoint, TabletClaim } from "../model/cluster-state.js";
import { groupBy } from "../model/groups.js";

/** Tablets that are excluded from a run, with the proof. */
type Refused = Map<Endpoint, string>;

/**
 * Refuses registered tablets whose names resolve to one address. Names that cannot be resolved are skipped.
 */
export async function refuseSharedAddresses(
  cluster: Pick<Cluster, "addressOf">,
  refused: Refused,
  tablets: readonly Endpoint[],
): Promise<void> {
  for (const [address, same] of groupBy(await locate(cluster, tablets), (one) => one.located)) {
    if (same.length < 2) continue;
    const endpoints = same.map((one) => one.endpoint);
    for (const endpoint of endpoints) {
      const others = endpoints.filter((one) => one !== endpoint).join(", ");
      refused.set(endpoint, `its name resolves to the same address as ${others}: ${address}`);
    }
  }
}

/**
 * Refuses tablets whose names resolve to the address at which the nameserver reaches another healthy tablet, as
 * after a swap of two entries. The nameserver reads `map/names` when a tablet registers or goes (OpenMLDB 0.9:
 * UpdateTablets), so its address is the one that was valid then.
 */
export async function refuseCrossedAddresses(
  cluster: Pick<Cluster, "addressOf">,
  refused: Refused,
  claims: readonly TabletClaim[],
): Promise<void> {
  const healthy = claims.filter((one) => one.isHealthy && one.realEndpoint !== "");
  if (healthy.length < 2) return;
  const reached = new Map(healthy.map((one) => [one.endpoint, one.realEndpoint]));
  const at = new Map(healthy.map((one) => [one.realEndpoint, one.endpoint]));
  for (const { endpoint, dialled } of await locate(cluster, [...reached.keys()])) {
    const other = at.get(dialled);
    if (other === undefined || reached.get(endpoint) === dialled) continue;
    refused.set(
      endpoint,
      `its name leads to ${dialled}, where the nameserver reaches ${other}; it reaches ${endpoint} at ${reached.get(endpoint)}`,
    );
  }
}

async function locate(
  cluster: Pick<Cluster, "addressOf">,
  endpoints: readonly Endpoint[],
): Promise<{ readonly endpoint: Endpoint; readonly dialled: string; readonly located: string }[]> {
  const found = await Promise.all(
    endpoints.map((endpoint) =>
      cluster.addressOf(endpoint).then(
        (address) => [{ endpoint, ...address }],
        () => [],
      ),
    ),
  );
  return found.flat();
}
