import type { Endpoint } from "../model/cluster-state.js";
import type { Credentials } from "./authorization.js";
import { authorizationFor } from "./authorization.js";
import type { Cluster } from "./cluster.js";
import { createCluster } from "./connect.js";
import { createGrpcTransport } from "./grpc-transport.js";
import { createLocate } from "./locate.js";
import { realClock } from "./real-clock.js";
import { parseRootPath } from "./topology.js";
import type { ZooKeeper } from "./zookeeper.js";
import { connectZooKeeper } from "./zookeeper-client.js";

/** How to reach a cluster. */
export interface OpenOptions extends Credentials {
  /** ZooKeeper, as its client takes it. */
  readonly zooKeeper: Parameters<typeof connectZooKeeper>[0];
  readonly rootPath: string;
  readonly rpcTimeoutMs: number;
  /** The largest answer accepted from a nameserver or tablet; 128 MiB if undefined. */
  readonly maxAnswerBytes?: number | undefined;
  readonly leaderTimeoutMs?: number | undefined;
  /** Calls to the nameserver in flight at once, 16 if undefined. */
  readonly nsConcurrency?: number | undefined;
  /** Told which nameserver leads, each time that ZooKeeper was asked. */
  readonly onLeader?: ((leader: Endpoint) => void) | undefined;
  /** Run once, after 10,000 calls to nameservers and tablets; see `createGrpcTransport`. */
  readonly onManyCalls?: (() => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A cluster, and the ZooKeeper that it was found through. */
export interface OpenedCluster {
  /** Its `close` also ends the ZooKeeper session. */
  readonly cluster: Cluster;
  /** For what the tool keeps there itself. */
  readonly zk: ZooKeeper;
  /** Starts with `/` and does not end with it. */
  readonly rootPath: string;
}

/**
 * Connects to ZooKeeper and makes the cluster of real parts. Nothing is asked of OpenMLDB yet.
 *
 * @throws OpsError `usage` for a malformed root path or user, and what connecting to ZooKeeper throws.
 */
export async function openCluster(options: OpenOptions): Promise<OpenedCluster> {
  const rootPath = parseRootPath(options.rootPath);
  const authorization = authorizationFor(options);
  const zk = await connectZooKeeper(options.zooKeeper);
  const { rpcTimeoutMs, leaderTimeoutMs, nsConcurrency, signal } = options;
  const { maxAnswerBytes, onManyCalls } = options;
  const transport = createGrpcTransport({ authorization, maxAnswerBytes, onManyCalls });
  const cluster = await createCluster({
    zk,
    transport,
    clock: realClock,
    rootPath,
    rpcTimeoutMs,
    leaderTimeoutMs,
    nsConcurrency,
    locate: createLocate(),
    onNote: options.zooKeeper.onNote,
    onLeader: options.onLeader,
    signal,
  });
  return { cluster, zk, rootPath };
}
