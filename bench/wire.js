// Recoveries over real sockets, in real time.
import { authorizationFor } from "../dist/cluster/authorization.js";
import { createCluster } from "../dist/cluster/connect.js";
import { createGrpcTransport } from "../dist/cluster/grpc-transport.js";
import { realClock } from "../dist/cluster/real-clock.js";
import { connectZooKeeper } from "../dist/cluster/zookeeper-client.js";
import { messageOf, start } from "./child.js";
import { CLUSTERS } from "./clusters.js";
import { leftOver, WAYS } from "./ways.js";

const SANDBOX_LIMIT_MS = 120_000;
const LIMIT_MS = 1_800_000;

/**
 * Starts a sandbox of so many replicas (or `empty`) in another process. @returns Functions that stop servers or all of it.
 *
 * @param loadMs The time in which a tablet loads a replica, milliseconds; the model's 20 if undefined.
 */
export async function startWire(replicas, loadMs) {
  const child = start("wire-sandbox.js", { cluster: CLUSTERS[replicas], loadMs });
  const where = await messageOf(child, SANDBOX_LIMIT_MS);
  const order = async (text) => {
    const done = messageOf(child, SANDBOX_LIMIT_MS);
    child.send(text);
    await done;
  };
  return {
    ...where,
    order,
    outage: () => order("outage"),
    stop: () => child.disconnect(),
  };
}

/**
 * An outage and a recovery by one sequence, with new connections, as those of a new process.
 *
 * @param nsConcurrency The number of concurrent calls to the nameserver; the default if undefined.
 */
export async function recoverOnWire(sandbox, way, nsConcurrency) {
  await sandbox.outage();
  const zk = await connectZooKeeper({
    hosts: sandbox.zkCluster,
    timeoutMs: 10_000,
    sessionTimeoutMs: 10_000,
  });
  const transport = createGrpcTransport({ authorization: authorizationFor({}) });
  const { rootPath } = sandbox;
  const cluster = await createCluster({
    zk,
    transport,
    clock: realClock,
    rootPath,
    rpcTimeoutMs: 60_000,
    nsConcurrency,
  });
  const timer = setTimeout(() => transport.close(), LIMIT_MS);
  try {
    const before = process.cpuUsage();
    const result = await WAYS[way]({ cluster, transport });
    const { user, system } = process.cpuUsage(before);
    return { ...result, cpuMs: (user + system) / 1_000, left: await leftOver(cluster) };
  } finally {
    clearTimeout(timer);
    await cluster.close();
  }
}
