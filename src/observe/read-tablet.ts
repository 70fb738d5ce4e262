import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError } from "../errors.js";
import type { ReplicaReport, TabletView } from "../model/cluster-state.js";

/** What is known of a tablet before it is called. */
export type KnownTablet = Pick<TabletView, "endpoint" | "claim" | "isRegistered" | "isLost">;

/**
 * Reads what a tablet has loaded. A tablet that does not answer, or is not the tablet of that name, is recorded in
 * the result; no error is thrown for it.
 */
export async function readTablet(
  cluster: Cluster,
  known: KnownTablet,
  read: () => Promise<ReadonlyMap<string, ReplicaReport>>,
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
