import pLimit from "p-limit";
import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type {
  ClusterState,
  Endpoint,
  TableClaim,
  TabletClaim,
  TabletView,
  Topology,
} from "../model/cluster-state.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import type { OnEvent } from "../model/outcome.js";
import { compareText, tabletHealth } from "../model/partition-view.js";
import { moveCandidates } from "../policy/tablet-identity.js";
import { isOn } from "../run/guard.js";
import { untilAborted } from "../util/within.js";
import { mapInTurns } from "../util/yielding.js";
import { readTablet } from "./read-tablet.js";
import { observeFollowers } from "./replication.js";
import { observeSnapshots } from "./snapshots.js";

/**
 * Number of tablets that are called concurrently. The first call to a tablet opens its connection, which costs more
 * than the call.
 */
const TABLETS_AT_ONCE = 48;
/**
 * Default number of partitions for which an observation of the whole cluster reads the snapshots of replicas that are
 * not loaded. A step that loads a replica reads its snapshot in any case.
 */
const SNAPSHOT_PARTITIONS = 200;

/** The options of an observation. */
export interface Scope {
  /** The lower bounds of earlier runs; absent: none are used. */
  readonly knownOffsetsStore?: KnownOffsetsStore | undefined;
  /** Number of partitions for which the snapshots of replicas that are not loaded are read; 200 if undefined. */
  readonly snapshotPartitions?: number | undefined;
  /** Tablets declared lost by the operator; none if undefined. */
  readonly lost?: ReadonlySet<Endpoint> | undefined;
  readonly signal?: AbortSignal;
  /** Receives the tablets that have not answered yet; absent: no progress is reported. */
  readonly onEvent?: OnEvent | undefined;
}

/**
 * Observes the cluster once. A silent tablet is part of the result, not an error.
 *
 * Reads the replication lists of leaders ({@link observeFollowers}), and in a limited number of partitions the
 * snapshots of replicas that are not loaded ({@link observeSnapshots}). The records of tables with an unreachable
 * leader are read from ZooKeeper ({@link observeStored}).
 *
 * @throws OpsError if ZooKeeper or the leading nameserver cannot be observed, or on abort.
 */
export async function observe(cluster: Cluster, scope: Scope = {}): Promise<ClusterState> {
  const work = observeNow(cluster, scope);
  return scope.signal === undefined ? work : untilAborted(work, scope.signal);
}

async function observeNow(cluster: Cluster, scope: Scope): Promise<ClusterState> {
  const [topology, claims, conf, tables, ops, remembered] = await Promise.all([
    cluster.topology(),
    cluster.showTablet(),
    cluster.confGet(),
    cluster.showTable(),
    cluster.showOpStatus(),
    scope.knownOffsetsStore?.read(),
  ]);
  scope.signal?.throwIfAborted();
  const tablets = await observeTablets(cluster, topology, claims, tables, scope);
  scope.signal?.throwIfAborted();
  const [followers, stored, snapshots] = await Promise.all([
    observeFollowers(cluster, tables, tablets, scope.signal),
    observeStored(cluster, tables, tablets),
    observeSnapshots(cluster, tables, tablets, {
      partitions: scope.snapshotPartitions ?? SNAPSHOT_PARTITIONS,
      signal: scope.signal,
    }),
  ]);
  return {
    topology,
    autoFailover: isOn(conf),
    tablets,
    tables,
    followers,
    snapshots,
    stored,
    remembered,
    ops,
  };
}

async function endpointsOf(tables: readonly TableClaim[]): Promise<Set<Endpoint>> {
  const endpoints = new Set<Endpoint>();
  await mapInTurns(tables, ({ partitions }) => {
    for (const partition of partitions) {
      for (const replica of partition.replicas) endpoints.add(replica.endpoint);
    }
  });
  return endpoints;
}

/** Reads every tablet that is registered in ZooKeeper, known to the nameserver, or has a replica on record. */
async function observeTablets(
  cluster: Cluster,
  topology: Topology,
  listed: readonly TabletClaim[],
  tables: readonly TableClaim[],
  { lost, onEvent }: Scope,
): Promise<Map<Endpoint, TabletView>> {
  const limit = pLimit(TABLETS_AT_ONCE);
  const registered = new Set(topology.tablets);
  const claims = new Map(listed.map((one) => [one.endpoint, one]));
  const recorded = await endpointsOf(tables);
  const wanted = [...new Set([...recorded, ...registered, ...claims.keys()])].sort(compareText);
  const silent = new Set(wanted);
  const views = await Promise.all(
    wanted.map((endpoint) =>
      limit(async (): Promise<TabletView> => {
        const known = {
          endpoint,
          claim: claims.get(endpoint),
          isRegistered: registered.has(endpoint),
          isLost: lost?.has(endpoint) === true,
        };
        const view = await readTablet(cluster, known);
        silent.delete(endpoint);
        onEvent?.({ kind: "asked", of: wanted.length, silent });
        return view;
      }),
    ),
  );
  const tablets = new Map(views.map((view) => [view.endpoint, view]));
  for (const [endpoint, mayBeAt] of moveCandidates(tablets, recorded)) {
    const view = tablets.get(endpoint);
    if (view !== undefined) tablets.set(endpoint, { ...view, mayBeAt });
  }
  return tablets;
}

/** Limit of tables whose records are read in one observation. */
const TABLES_MAX = 500;

/**
 * Reads from ZooKeeper the records of tables with a partition that has followers and a leader on an unreachable
 * tablet. An offset of the nameserver that differs from the record is fresh, see `isOffsetFresh`.
 *
 * For tables beyond the limit, and if ZooKeeper does not answer, no offset is proven to be fresh.
 *
 * @returns Undefined if every leader is reachable; no call is made then.
 */
export async function observeStored(
  cluster: Cluster,
  tables: readonly TableClaim[],
  tablets: ReadonlyMap<Endpoint, TabletView>,
): Promise<ClusterState["stored"]> {
  const away = new Set(
    [...tablets.values()]
      .filter((one) => tabletHealth(one).tablet !== "ok")
      .map((one) => one.endpoint),
  );
  if (away.size === 0) return undefined;
  const isConcerned = await mapInTurns(tables, ({ partitions }) =>
    partitions.some(
      ({ replicas }) =>
        replicas.length > 1 && replicas.some((one) => one.isLeader && away.has(one.endpoint)),
    ),
  );
  const wanted = tables.filter((_, index) => isConcerned[index] === true).slice(0, TABLES_MAX);
  if (wanted.length === 0) return undefined;
  try {
    return await cluster.storedTables(wanted);
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code === "interrupted") throw thrown;
    return undefined;
  }
}
