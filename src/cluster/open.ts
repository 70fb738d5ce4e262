import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { memoized } from "../util/memoized.js";
import { within } from "../util/within.js";
import { authorizationFor, type Credentials } from "./authorization.js";
import type { Cluster } from "./cluster.js";
import { type ClusterParts, createCluster } from "./connect.js";
import { createGrpcTransport } from "./grpc-transport.js";
import { realClock } from "./real-clock.js";
import { parseRootPath } from "./topology.js";
import type { ZooKeeper } from "./zookeeper.js";
import { connectZooKeeper, type ZooKeeperOptions } from "./zookeeper-client.js";

/** Options of {@link openCluster}. */
export interface OpenOptions
  extends Credentials,
    Omit<ClusterParts, "zk" | "transport" | "clock" | "locate" | "onNote"> {
  /** Options of the ZooKeeper client. Its `onNote` receives the notes of the cluster too. */
  readonly zooKeeper: ZooKeeperOptions;
  /** The largest answer accepted from a nameserver or tablet; 128 MiB if undefined. */
  readonly maxAnswerBytes?: number | undefined;
  /** Run before an answer of more than 16 MiB is decoded. */
  readonly onLargeAnswer?: (() => void) | undefined;
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
  const { zooKeeper, user, password, maxAnswerBytes, onLargeAnswer, ...parts } = options;
  const authorization = authorizationFor({ user, password });
  const zk = await connectZooKeeper(zooKeeper);
  const transport = createGrpcTransport({ authorization, maxAnswerBytes, onLargeAnswer });
  const cluster = await createCluster({
    ...parts,
    zk,
    transport,
    clock: realClock,
    rootPath,
    locate: memoized(locate),
    onNote: zooKeeper.onNote,
  });
  return { cluster, zk, rootPath };
}

/** Limit in milliseconds for a DNS look-up, which serves a check only. */
const LOOKUP_MS = 1_000;

/**
 * Replaces the host of an address by its IP address, so that two names of one host can be recognized. If the host
 * cannot be resolved in time, the address is returned unchanged.
 */
async function locate(address: string): Promise<string> {
  const at = address.lastIndexOf(":");
  const host = address.slice(0, at);
  if (isIP(host) !== 0 || host.startsWith("[")) return address;
  return within(realClock, LOOKUP_MS, "the resolver", lookup(host)).then(
    (found) => `${found.address}${address.slice(at)}`,
    () => address,
  );
}
