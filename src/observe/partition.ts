import type { Cluster } from "../cluster/cluster.js";
import {
  type Endpoint,
  type FollowerList,
  followerKey,
  type Op,
  type PartitionId,
  type PartitionNumbers,
  type ReplicaReport,
  replicaKey,
  type TableClaim,
  type TabletClaim,
  type TabletView,
} from "../model/cluster-state.js";
import { opsOfPartition } from "../model/ops.js";
import { type PartitionView, viewPartitions } from "../model/partition-view.js";
import type { SharedPoll, SharedRead } from "./coalesced-calls.js";
import { type KnownTablet, readTablet } from "./read-tablet.js";
import { isRunningLeader, observeList } from "./replication.js";
import { observeSnapshots } from "./snapshots.js";

/**
 * Accepted age in milliseconds of the list of registered and healthy tablets. No step of a recovery changes it, and a
 * tablet that is gone does not answer.
 */
const MEMBERS_AGE_MS = 1_000;

/**
 * The reads that all partitions of a run share: one call serves all callers that need it at the same time.
 */
export interface SharedReads {
  readonly cluster: Cluster;
  /** Aborted when the run is to stop. */
  readonly signal: AbortSignal;
  /**
   * The replicas that a tablet has loaded, by `replicaKey`; one call serves all partitions on it.
   */
  readonly statusOf: (endpoint: Endpoint) => SharedPoll<ReadonlyMap<string, ReplicaReport>>;
  /** The replication list of a leader: one call serves all its followers. */
  readonly listOf: (leader: Endpoint, id: PartitionNumbers) => SharedPoll<FollowerList>;
  /** The nameserver's record of a table; undefined if there is no table of that name. */
  readonly recordOf: (
    table: Pick<PartitionId, "db" | "table">,
  ) => SharedRead<TableClaim | undefined>;
  /** The nameserver's ops. */
  readonly ops: SharedPoll<readonly Op[]>;
  /** Tablets declared lost by the operator. */
  readonly lost: ReadonlySet<Endpoint>;
  /** The nameserver's list of tablets. */
  readonly tablets: SharedRead<ReadonlyMap<Endpoint, TabletClaim>>;
  /** The tablets that are registered in ZooKeeper. */
  readonly registered: SharedRead<ReadonlySet<Endpoint>>;
  /**
   * Registered tablets whose registration was left behind, with its znode; see
   * `Cluster.leftRegistration`.
   */
  readonly leftRegistrations: SharedRead<ReadonlyMap<Endpoint, string>>;
}

/**
 * Observes one partition, like `observe` does for all. Its calls to the nameserver and the tablets are shared with all
 * concurrent observations. Everything that a step can have changed is read after this function was called. The
 * snapshots of replicas that are not loaded are read too.
 *
 * @param recordAgeMs Accepted age of the nameserver's record in milliseconds; 0: it is read now. An older record is
 *   enough for plans whose steps check again before they act. What the tablets have loaded is always read now.
 * @returns Undefined if the table or the partition is gone.
 */
export async function observeOnePartition(
  context: SharedReads,
  id: PartitionId,
  recordAgeMs: number,
): Promise<PartitionView | undefined> {
  const record = context.recordOf(id);
  const [table, ops] = await Promise.all([
    recordAgeMs > 0 ? record.lately(recordAgeMs) : record.now(),
    context.ops.now(),
  ]);
  const partitions = table?.partitions.filter((one) => one.pid === id.pid) ?? [];
  if (table?.tid !== id.tid || partitions.length === 0) return undefined;
  const scoped: TableClaim = { ...table, partitions };
  const endpoints = partitions.flatMap((one) => one.replicas.map((replica) => replica.endpoint));
  const members = await membersOf(context, endpoints);
  const views = await Promise.all(
    members.map(async (known): Promise<[Endpoint, TabletView]> => {
      const { endpoint } = known;
      return [
        endpoint,
        await readTablet(context.cluster, known, () => context.statusOf(endpoint).now()),
      ];
    }),
  );
  const tablets = new Map(views);
  const { cluster, signal } = context;
  const [followers, snapshots] = await Promise.all([
    followersOf(context, id, tablets),
    observeSnapshots(cluster, [scoped], tablets, { signal }),
  ]);
  return viewPartitions({
    tablets,
    tables: [scoped],
    followers,
    snapshots,
    ops: opsOfPartition(ops, id),
  })[0];
}

/**
 * Reads which of these tablets are registered and healthy. It runs after the record and the ops were
 * read: if the nameserver is delayed, for example by a change of the leading one, a tablet that came
 * back meanwhile would count as absent. For the same reason the list is read again, without the cache,
 * before a tablet counts as absent.
 */
async function membersOf(
  { registered, tablets, lost }: SharedReads,
  endpoints: readonly Endpoint[],
): Promise<KnownTablet[]> {
  const read = async (ageMs: number) => {
    const [names, claims] = await Promise.all(
      ageMs > 0
        ? [registered.lately(ageMs), tablets.lately(ageMs)]
        : [registered.now(), tablets.now()],
    );
    return endpoints.map((endpoint) => ({
      endpoint,
      claim: claims.get(endpoint),
      isRegistered: names.has(endpoint),
      isLost: lost.has(endpoint),
    }));
  };
  const known = await read(MEMBERS_AGE_MS);
  const isThere = ({ claim, isRegistered }: KnownTablet) =>
    isRegistered && claim?.isHealthy === true;
  return known.every(isThere) ? known : read(0);
}

async function followersOf(
  { cluster, listOf, signal }: SharedReads,
  id: PartitionId,
  tablets: Map<Endpoint, TabletView>,
): Promise<ReadonlyMap<string, FollowerList>> {
  const lists = new Map<string, FollowerList>();
  const key = replicaKey(id);
  await Promise.all(
    [...tablets].map(async ([endpoint, tablet]) => {
      if (!isRunningLeader(tablet, key)) return;
      const read = () => listOf(endpoint, id).now();
      const list = await observeList(cluster, tablets, id, read, signal);
      if (list !== undefined) lists.set(followerKey(endpoint, id), list);
    }),
  );
  return lists;
}
