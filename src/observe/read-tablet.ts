import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError } from "../errors.js";
import {
  type Endpoint,
  type ReplicaReport,
  replicaKey,
  type TabletView,
} from "../model/cluster-state.js";

/** What is known of a tablet before it is called. */
export type KnownTablet = Pick<TabletView, "endpoint" | "claim" | "isRegistered" | "isLost">;

/** Reads the replicas that a tablet has loaded. @returns By `replicaKey`. */
export async function readReports(
  cluster: Cluster,
  endpoint: Endpoint,
): Promise<ReadonlyMap<string, ReplicaReport>> {
  const reports = await cluster.getTableStatus(endpoint);
  return new Map(reports.map((one) => [replicaKey(one), one]));
}

/**
 * Reads what a tablet has loaded. A tablet that does not answer, or is not the tablet of that name, is recorded in
 * the result; no error is thrown for it.
 *
 * @param read Reads the replicas that it has loaded, by `replicaKey`.
 */
export async function readTablet(
  cluster: Cluster,
  known: KnownTablet,
  read = () => readReports(cluster, known.endpoint),
): Promise<TabletView> {
  // A call to a machine that is gone would take the whole deadline and bring no information.
  if (!known.isRegistered && known.claim?.isHealthy !== true) {
    return { ...known, reports: undefined, silence: "not registered in ZooKeeper" };
  }
  try {
    return { ...known, reports: await read(), silence: undefined };
  } catch (thrown) {
    const silence = messageOf(thrown);
    if (thrown instanceof OpsError && thrown.code === "wrong-tablet") {
      return { ...known, reports: undefined, silence, mismatch: messageOf(thrown.cause) };
    }
    const [address, leftRegistration] = await Promise.all([
      cluster.addressOf(known.endpoint).then(
        ({ dialled }) => dialled,
        () => undefined,
      ),
      cluster.leftRegistration(known.endpoint).catch(() => undefined),
    ]);
    return { ...known, reports: undefined, silence, address, leftRegistration };
  }
}
