import type { Credentials } from "./authorization.js";
import { authorizationFor } from "./authorization.js";
import type { Cluster } from "./cluster.js";
import { createCluster } from "./connect.js";
import { createGrpcTransport } from "./grpc-transport.js";
import { realClock } from "./real-clock.js";
import { parseRootPath } from "./topology.js";
import { connectZooKeeper } from "./zookeeper-client.js";

/** How to reach a cluster. */
export interface OpenOptions extends Credentials {
  /** ZooKeeper, as its client takes it. */
  readonly zooKeeper: Parameters<typeof connectZooKeeper>[0];
  readonly rootPath: string;
  readonly rpcTimeoutMs: number;
  readonly leaderTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Connects to ZooKeeper and makes the cluster of real parts. Nothing is asked of OpenMLDB yet.
 *
 * @returns The cluster; its `close` also ends the ZooKeeper session.
 * @throws OpsError `usage` for a malformed root path or user, and what connecting to ZooKeeper throws.
 */
export async function openCluster(options: OpenOptions): Promise<Cluster> {
  const rootPath = parseRootPath(options.rootPath);
  const authorization = authorizationFor(options);
  const zk = await connectZooKeeper(options.zooKeeper);
  const { rpcTimeoutMs, leaderTimeoutMs, signal } = options;
  const transport = createGrpcTransport({ authorization });
  return createCluster({
    zk,
    transport,
    clock: realClock,
    rootPath,
    rpcTimeoutMs,
    leaderTimeoutMs,
    signal,
  });
}
