import type { CommonFlags } from "../cli/common-specs.js";
import type { ShowTabletFlags } from "../cli/show-specs.js";
import type { OpenedCluster } from "../cluster/open.js";
import { resolveEndpoint } from "../cluster/topology.js";
import type { Endpoint } from "../model/cluster-state.js";
import { type RealEndpoints, shownNameservers, shownTablets } from "../show/servers.js";
import { showCommand } from "./show.js";

/**
 * Shows the nameservers that are registered in ZooKeeper.
 *
 * @returns 0; see {@link showCommand}.
 */
export const showNs = showCommand<CommonFlags>("showns", async (cluster, { opened }) => {
  const topology = await cluster.topology();
  const names = await realEndpoints(opened, [topology.leader, ...topology.standbys]);
  return shownNameservers(topology, names);
});

/**
 * Shows the tablets and their state according to the nameserver.
 *
 * @returns 0; see {@link showCommand}.
 */
export const showTablet = showCommand<ShowTabletFlags>(
  "showtablet",
  async (cluster, { opened }) => {
    const tablets = await cluster.showTablet();
    const unnamed = tablets.filter((one) => one.realEndpoint === "").map((one) => one.endpoint);
    return shownTablets(tablets, await realEndpoints(opened, unnamed));
  },
);

/** The addresses of endpoints that are server names; names that cannot be resolved are left out. */
async function realEndpoints(
  { zk, rootPath }: OpenedCluster,
  endpoints: readonly Endpoint[],
): Promise<RealEndpoints> {
  const found = await Promise.all(
    endpoints.map(async (endpoint) => {
      const address = await resolveEndpoint(zk, rootPath, endpoint).catch(() => endpoint);
      return [endpoint, address] as const;
    }),
  );
  return new Map(found.filter(([endpoint, address]) => address !== endpoint));
}
