import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError } from "../errors.js";
import type { Endpoint, TableClaim, Topology } from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";
import { unknownName } from "../util/nearest.js";
import { within } from "../util/within.js";
import type { CommandIo } from "./command.js";

/** Limit in milliseconds for reading tables that are needed for display names only. */
const SOON_MS = 2_000;

/** All tables, to display names for tids; empty if no nameserver answers within {@link SOON_MS}. */
export async function tablesSoon(cluster: Cluster): Promise<readonly TableClaim[]> {
  return within(cluster.clock, SOON_MS, "the nameserver", cluster.showTable()).catch(() => []);
}

/**
 * Refuses an endpoint that is not a tablet of the cluster. An endpoint that is registered in ZooKeeper is accepted
 * without calling the nameserver, and any endpoint is accepted while no nameserver leads.
 *
 * @throws OpsError `refused` with the nearest known endpoint, and the errors of ZooKeeper and the nameserver.
 */
export async function assertTablet(
  cluster: Cluster,
  endpoint: Endpoint,
  io: CommandIo,
): Promise<void> {
  const topology = await topologyIfLed(cluster, endpoint, io);
  if (topology === undefined || topology.tablets.includes(endpoint)) return;
  const claims = await cluster.showTablet();
  if (claims.some((one) => one.endpoint === endpoint)) return;
  const known = [...topology.tablets, ...claims.map((one) => one.endpoint)];
  throw unknownName("tablet", endpoint, [...new Set(known)].sort(compareText));
}

async function topologyIfLed(
  cluster: Cluster,
  endpoint: Endpoint,
  io: CommandIo,
): Promise<Topology | undefined> {
  try {
    return await cluster.topology();
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "no-leader") throw thrown;
    io.log.warn(`${messageOf(thrown)}; ${endpoint} is queried anyway`);
    return undefined;
  }
}
