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

/** Options of {@link openCluster}. */
export interface OpenOptions extends Credentials {
  /** Options of the ZooKeeper client. */
  readonly zooKeeper: Parameters<typeof connectZooKeeper>[0];
  readonly rootPath: string;
  readonly rpcTimeoutMs: number;
  /** The largest answer accepted from a nameserver or tablet; 128 MiB if undefined. */
  readonly maxAnswerBytes?: number | undefined;
  readonly leaderTimeoutMs?: number | undefined;
  /** Limit of concurrent calls to the nameserver, 16 if undefined. */
  readonly nsConcurrency?: number | undefined;
  /** Receives the leading nameserver each time that it was read from ZooKeeper. */
  readonly onLeader?: ((leader: Endpoint) => void) | undefined;
  /** Run before an answer of more than 16 MiB is decoded. */
  readonly onLargeAnswer?: (() => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A cluster, and the ZooKeeper client that it uses. */
export interface OpenedCluster {
  /** Its `close` also ends the ZooKeeper session. */
  readonly cluster: Cluster;
  /** For the tool's own znodes. */
  readonly zk: ZooKeeper;
  /** Starts with `/` and does not end with it. */
  readonly rootPath: string;
}

/**
 * Connects to ZooKeeper and creates the cluster from real parts. Makes no call to OpenMLDB.
 *
 * @throws OpsError `usage` for a malformed root path or user, and the errors of {@link connectZooKeeper}.
 */
export async function openCluster(options: OpenOptions): Promise<OpenedCluster> {
  const rootPath = parseRootPath(options.rootPath);
  const authorization = authorizationFor(options);
  const zk = await connectZooKeeper(options.zooKeeper);
  const { rpcTimeoutMs, leaderTimeoutMs, nsConcurrency, signal } = options;
  const { maxAnswerBytes, onLargeAnswer } = options;
  const transport = createGrpcTransport({ authorization, maxAnswerBytes, onLargeAnswer });
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
