import type { Cluster } from "../cluster/cluster.js";
import type { Clock } from "../model/clock.js";
import {
  type Endpoint,
  type FollowerList,
  followerKey,
  type PartitionNumbers,
  replicaKey,
  type TableClaim,
  type TabletView,
} from "../model/cluster-state.js";
import { flatMapped } from "../model/work.js";
import { inTurns } from "../util/yielding.js";

/**
 * Number of leaders that are read concurrently: more than the reads that may be in flight, so that one tablet that
 * does not answer does not block the others.
 */
const LEADERS_AT_ONCE = 512;
/**
 * Limit in milliseconds for a follower that is a few entries behind under writes to reach the leader's first offset.
 */
const LAG_PATIENCE_MS = 2_000;
const LAG_POLL_MS = 200;

/**
 * Reads the replication list of every replica that runs as leader; those that do not answer are left
 * out.
 *
 * A follower's offset is compared with the leader's **earlier** offset: under writes a follower is
 * always a few entries behind, so it gets {@link LAG_PATIENCE_MS} to reach that offset.
 *
 * @param tablets Reports that are older than a list, and seem behind, are replaced by newer ones.
 */
export async function observeFollowers(
  cluster: Cluster,
  tables: readonly TableClaim[],
  tablets: Map<Endpoint, TabletView>,
  signal: AbortSignal | undefined,
): Promise<Map<string, FollowerList>> {
  const lists = new Map<string, FollowerList>();
  const leaders = await inTurns(
    flatMapped(tables, ({ tid, partitions }) =>
      partitions.flatMap(({ pid, replicas }) => {
        const key = replicaKey({ tid, pid });
        return replicas
          .filter(({ endpoint }) => isRunningLeader(tablets.get(endpoint), key))
          .map(({ endpoint }) => ({ endpoint, tid, pid }));
      }),
    ),
  );
  const waiting = leaders.values();
  const askOneByOne = async () => {
    for (const one of waiting) {
      const read = () => cluster.getTableFollower(one.endpoint, one);
      const list = await observeList(cluster, tablets, one, read, signal);
      if (list !== undefined) lists.set(followerKey(one.endpoint, one), list);
    }
  };
  await Promise.all(Array.from({ length: LEADERS_AT_ONCE }, askOneByOne));
  signal?.throwIfAborted();
  return lists;
}

/** True if the tablet runs the replica as leader. @param key The `replicaKey` of the replica. */
export function isRunningLeader(tablet: TabletView | undefined, key: string): boolean {
  return tablet?.reports?.get(key)?.role === "leader";
}

/**
 * Reads the replication list of one leader; undefined if it does not answer.
 *
 * @param tablets Like that of {@link observeFollowers}.
 * @param read Reads the list.
 */
export async function observeList(
  cluster: Cluster,
  tablets: Map<Endpoint, TabletView>,
  id: PartitionNumbers,
  read: () => Promise<FollowerList>,
  signal: AbortSignal | undefined,
): Promise<FollowerList | undefined> {
  const list = await settledList(cluster.clock, read, signal).catch(() => undefined);
  if (list !== undefined) await refreshReports(cluster, tablets, id, list);
  return list;
}

/**
 * Reads reports again that seem behind. Followers were read before their leader's list, so under writes
 * their reports are older than it; only a newer report proves a lower offset.
 */
async function refreshReports(
  cluster: Cluster,
  tablets: Map<Endpoint, TabletView>,
  id: PartitionNumbers,
  list: FollowerList,
): Promise<void> {
  const key = replicaKey(id);
  for (const endpoint of list.followers.keys()) {
    const view = tablets.get(endpoint);
    const report = view?.reports?.get(key);
    if (view?.reports === undefined || report === undefined || report.offset >= list.offset)
      continue;
    const again = await cluster.getTableStatus(endpoint, id).catch(() => []);
    const newer = again.find((one) => one.tid === id.tid && one.pid === id.pid);
    if (newer === undefined) continue;
    // Entries written after the list was read do not mean that the follower is ahead of it.
    const isLater = newer.offset > list.offset;
    const settled = isLater ? { ...newer, offset: list.offset } : newer;
    // Other partitions of the tablet may have been read again meanwhile.
    const latest = tablets.get(endpoint)?.reports ?? view.reports;
    tablets.set(endpoint, { ...view, reports: new Map(latest).set(key, settled) });
  }
}

/**
 * The first list, with each follower's newest offset once all have reached the leader's first offset or
 * time is up.
 */
async function settledList(
  clock: Clock,
  read: () => Promise<FollowerList>,
  signal: AbortSignal | undefined,
): Promise<FollowerList> {
  const first = await read();
  let list = first;
  for (let waited = 0; waited < LAG_PATIENCE_MS; waited += LAG_POLL_MS) {
    if ([...list.followers.values()].every((offset) => offset >= first.offset)) break;
    await clock.sleep(LAG_POLL_MS, signal);
    const next = await read();
    list = { offset: first.offset, followers: next.followers };
  }
  return list;
}
