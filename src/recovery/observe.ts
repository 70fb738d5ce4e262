import pLimit from "p-limit";
import type { Cluster } from "../cluster/cluster.js";
import { messageOf } from "../errors.js";
import {
  type ClusterState,
  type Endpoint,
  type FollowerList,
  followerKey,
  type PartitionId,
  type ReplicaReport,
  replicaKey,
  type TableClaim,
  type TabletClaim,
  type TabletView,
} from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";
import { untilAborted } from "./until-aborted.js";

/** Calls to tablets in flight at once. One list call a leader is made, so large clusters need many. */
const CALLS_IN_FLIGHT = 128;
/** How long a follower that is a few entries behind under writes may take to reach the mark. */
const LAG_PATIENCE_MS = 2_000;
const LAG_POLL_MS = 200;

/** What to look at. */
export interface Scope {
  /** Only this partition; absent: the whole cluster. */
  readonly partition?: PartitionId;
  readonly signal?: AbortSignal;
}

/**
 * Looks at the cluster once. Silent tablets are recorded, not thrown.
 *
 * A follower's offset is compared with what the leader had **before**: under writes a follower is
 * always a few entries behind, so those that are get {@link LAG_PATIENCE_MS} to reach that mark.
 *
 * @throws OpsError if ZooKeeper or the leading nameserver cannot be observed, or on abort.
 */
export async function observe(cluster: Cluster, scope: Scope = {}): Promise<ClusterState> {
  const work = look(cluster, scope);
  return scope.signal === undefined ? work : untilAborted(work, scope.signal);
}

async function look(cluster: Cluster, scope: Scope): Promise<ClusterState> {
  const of = scope.partition;
  const [topology, claims, conf, tables, ops] = await Promise.all([
    cluster.topology(),
    cluster.showTablet(),
    cluster.confGet(),
    of === undefined ? cluster.showTable() : cluster.showTable({ db: of.db, table: of.table }),
    cluster.showOpStatus(),
  ]);
  scope.signal?.throwIfAborted();
  const scoped = of === undefined ? tables : onlyPartition(tables, of);
  const registered = new Set(topology.tablets);
  const wanted = endpointsOf(scoped);
  if (of === undefined) {
    for (const endpoint of [...registered, ...claims.map((one) => one.endpoint)])
      wanted.add(endpoint);
  }
  const tablets = await observeTablets(cluster, { wanted, claims, registered, of });
  scope.signal?.throwIfAborted();
  const followers = await observeFollowers(cluster, scoped, tablets, scope.signal);
  return {
    topology,
    autoFailover: conf.get("auto_failover") === "true",
    tablets,
    tables: scoped,
    followers,
    ops,
  };
}

function onlyPartition(tables: readonly TableClaim[], of: PartitionId): TableClaim[] {
  return tables
    .filter((table) => table.tid === of.tid)
    .map((table) => ({
      ...table,
      partitions: table.partitions.filter((one) => one.pid === of.pid),
    }));
}

function endpointsOf(tables: readonly TableClaim[]): Set<Endpoint> {
  return new Set(
    tables.flatMap((table) =>
      table.partitions.flatMap((partition) => partition.replicas.map((one) => one.endpoint)),
    ),
  );
}

interface TabletQuestion {
  readonly wanted: ReadonlySet<Endpoint>;
  readonly claims: readonly TabletClaim[];
  readonly registered: ReadonlySet<Endpoint>;
  readonly of: PartitionId | undefined;
}

async function observeTablets(
  cluster: Cluster,
  question: TabletQuestion,
): Promise<Map<Endpoint, TabletView>> {
  const limit = pLimit(CALLS_IN_FLIGHT);
  const claims = new Map(question.claims.map((one) => [one.endpoint, one]));
  const views = await Promise.all(
    [...question.wanted].sort(compareText).map((endpoint) =>
      limit(async (): Promise<TabletView> => {
        const known = {
          endpoint,
          claim: claims.get(endpoint),
          isRegistered: question.registered.has(endpoint),
        };
        // A machine that is gone would cost the whole deadline of a call, and tell nothing.
        if (!known.isRegistered && known.claim?.isHealthy !== true) {
          return { ...known, reports: undefined, silence: "not registered in ZooKeeper" };
        }
        try {
          const reports = await cluster.getTableStatus(endpoint, question.of);
          return { ...known, reports: indexReports(reports), silence: undefined };
        } catch (thrown) {
          return { ...known, reports: undefined, silence: messageOf(thrown) };
        }
      }),
    ),
  );
  return new Map(views.map((view) => [view.endpoint, view]));
}

function indexReports(reports: readonly ReplicaReport[]): Map<string, ReplicaReport> {
  return new Map(reports.map((one) => [replicaKey(one), one]));
}

/** Asks every replica that runs as leader whom it feeds; those that do not answer are left out. */
async function observeFollowers(
  cluster: Cluster,
  tables: readonly TableClaim[],
  tablets: Map<Endpoint, TabletView>,
  signal: AbortSignal | undefined,
): Promise<Map<string, FollowerList>> {
  const limit = pLimit(CALLS_IN_FLIGHT);
  const lists = new Map<string, FollowerList>();
  const asked = tables.flatMap((table) =>
    table.partitions.flatMap((partition) =>
      partition.replicas
        .filter((replica) =>
          isRunningLeader(tablets.get(replica.endpoint), table.tid, partition.pid),
        )
        .map((replica) => ({ endpoint: replica.endpoint, tid: table.tid, pid: partition.pid })),
    ),
  );
  await Promise.all(
    asked.map((one) =>
      limit(async () => {
        const list = await settledList(cluster, one, signal).catch(() => undefined);
        if (list === undefined) return;
        lists.set(followerKey(one.endpoint, one), list);
        await refreshReports(cluster, tablets, one, list);
      }),
    ),
  );
  signal?.throwIfAborted();
  return lists;
}

function isRunningLeader(tablet: TabletView | undefined, tid: number, pid: number): boolean {
  return tablet?.reports?.get(replicaKey({ tid, pid }))?.role === "leader";
}

/**
 * Followers were asked before their leader's list, so under writes their reports are older than it.
 * Those that look behind are asked again: only then does a lower offset mean anything.
 */
async function refreshReports(
  cluster: Cluster,
  tablets: Map<Endpoint, TabletView>,
  id: { readonly tid: number; readonly pid: number },
  list: FollowerList,
): Promise<void> {
  for (const endpoint of list.followers.keys()) {
    const view = tablets.get(endpoint);
    const report = view?.reports?.get(replicaKey(id));
    if (view?.reports === undefined || report === undefined || report.offset >= list.offset)
      continue;
    const again = await cluster.getTableStatus(endpoint, id).catch(() => []);
    const newer = again.find((one) => one.tid === id.tid && one.pid === id.pid);
    if (newer === undefined) continue;
    // What came in since the list was made says nothing about the follower being ahead of it.
    const isLater = newer.offset > list.offset;
    const settled = isLater ? { ...newer, offset: list.offset } : newer;
    tablets.set(endpoint, {
      ...view,
      reports: new Map(view.reports).set(replicaKey(id), settled),
    });
  }
}

/** The list as first seen, with each follower's newest offset once all have reached it or time is up. */
async function settledList(
  cluster: Cluster,
  of: { readonly endpoint: Endpoint; readonly tid: number; readonly pid: number },
  signal: AbortSignal | undefined,
): Promise<FollowerList> {
  const first = await cluster.getTableFollower(of.endpoint, of);
  let list = first;
  for (let waited = 0; waited < LAG_PATIENCE_MS; waited += LAG_POLL_MS) {
    if ([...list.followers.values()].every((offset) => offset >= first.offset)) break;
    await cluster.clock.sleep(LAG_POLL_MS, signal);
    const next = await cluster.getTableFollower(of.endpoint, of);
    list = { offset: first.offset, followers: next.followers };
  }
  return list;
}
