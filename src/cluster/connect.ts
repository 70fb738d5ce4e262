import { NameServer } from "../gen/openmldb/nameserver_pb.js";
import { registrationOf } from "../model/absence.js";
import type { Clock } from "../model/clock.js";
import type { Endpoint } from "../model/cluster-state.js";
import { type Caller, createCaller } from "./caller.js";
import type { Cluster } from "./cluster.js";
import { interruption } from "./failure.js";
import { createNameserverClient } from "./nameserver.js";
import { readStoredTables } from "./registrations.js";
import { codes } from "./response-codes.js";
import { createTabletClient } from "./tablet.js";
import { parseRootPath, readNameservers, readTopology, resolveEndpoint } from "./topology.js";
import type { Transport } from "./transport.js";
import type { ZooKeeper } from "./zookeeper.js";

/** Default of {@link ClusterParts.leaderTimeoutMs}. */
const defaultLeaderTimeoutMs = 30_000;

/** Default of {@link ClusterParts.nsConcurrency}. */
const defaultNsConcurrency = 16;

/** The parts of a cluster: real ones in production, in-memory ones in simulations. */
export interface ClusterParts {
  readonly zk: ZooKeeper;
  readonly transport: Transport;
  readonly clock: Clock;
  /** The cluster's root path in ZooKeeper, such as `/openmldb`. */
  readonly rootPath: string;
  /** Deadline of each single call. */
  readonly rpcTimeoutMs: number;
  /**
   * Milliseconds that a call to the nameserver may look for a leader that answers; 30 s if undefined. The call ends
   * within `leaderTimeoutMs + rpcTimeoutMs` after it has left the queue of `nsConcurrency`.
   */
  readonly leaderTimeoutMs?: number | undefined;
  /** Limit of concurrent calls to the nameserver, 16 if undefined. */
  readonly nsConcurrency?: number | undefined;
  /**
   * Resolves the host of an address, so that two names of one host can be recognized; returns the address unchanged
   * if it cannot. Undefined: addresses are compared as text.
   */
  readonly locate?: ((address: string) => Promise<string>) | undefined;
  /** Receives the reason of each long wait. */
  readonly onNote?: ((text: string) => void) | undefined;
  /** Receives the leading nameserver each time that it was read from ZooKeeper. */
  readonly onLeader?: ((leader: Endpoint) => void) | undefined;
  /**
   * Aborts every call in flight and refuses every later one. Restoring auto_failover after that needs a second
   * cluster made of the same parts without this signal.
   */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Creates a cluster from its parts. Makes no call: the first call shows whether a cluster exists.
 *
 * @throws OpsError `usage` if the root path is malformed.
 */
export async function createCluster(parts: ClusterParts): Promise<Cluster> {
  const { zk, transport, rpcTimeoutMs, signal } = parts;
  const rootPath = parseRootPath(parts.rootPath);
  const caller = createCaller({
    transport,
    resolve: (endpoint) => resolveEndpoint(zk, rootPath, endpoint),
    callOptions: { timeoutMs: rpcTimeoutMs, signal },
  });
  return clusterOf({ ...parts, rootPath }, caller, undefined);
}

function clusterOf(
  parts: ClusterParts,
  caller: Caller,
  permit: (() => Promise<void>) | undefined,
): Cluster {
  const { zk, transport, clock, rootPath, signal } = parts;
  const nameserver = createNameserverClient({
    caller,
    async readLeader() {
      const found = await readNameservers(zk, rootPath);
      parts.onLeader?.(found.leader);
      return found;
    },
    isLeftover: async (znode) => (await zk.isEphemeral(znode)) === false,
    onNote: parts.onNote,
    clock,
    leaderTimeoutMs: parts.leaderTimeoutMs ?? defaultLeaderTimeoutMs,
    concurrency: parts.nsConcurrency ?? defaultNsConcurrency,
    signal,
    permit,
  });
  return {
    clock,
    async topology() {
      if (signal?.aborted === true) {
        throw interruption(signal);
      }
      return readTopology(zk, rootPath);
    },
    async storedTables(tables) {
      if (signal?.aborted === true) {
        throw interruption(signal);
      }
      return readStoredTables(zk, rootPath, tables);
    },
    async addressOf(endpoint) {
      const dialled = await caller.addressOf(endpoint);
      return { dialled, located: (await parts.locate?.(dialled)) ?? dialled };
    },
    async leftRegistration(endpoint) {
      const znode = registrationOf({ rootPath }, endpoint);
      return (await zk.isEphemeral(znode)) === false ? znode : undefined;
    },
    async nameserverRole(endpoint) {
      const method = NameServer.method.confGet;
      const { code } = await caller.call(endpoint, method, {}, [codes.notLeader]);
      return code === codes.notLeader ? "stands-by" : "leads";
    },
    ...nameserver,
    ...createTabletClient({ caller, clock, signal }),
    connection: caller.connection,
    admit: caller.admit,
    repeatingWhile: (permit) => clusterOf(parts, caller, permit),
    callCount: caller.callCount,
    async close() {
      transport.close();
      await zk.close();
    },
  };
}
