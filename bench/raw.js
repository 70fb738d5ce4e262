// The raw script that was measured on a real cluster: the evidence-first sequence without any check. Every replica is loaded as
// follower with an empty list. Once all are normal, the replica with the longest log of each partition becomes leader, with the
// others as its followers. It ends when each leader reports that all followers have all entries.
import { replicaKey } from "../dist/model/cluster-state.js";

const POLL_MS = 5;

/** @returns Milliseconds of the cluster's clock, and the number of calls. */
export async function recoverRaw(cluster) {
  const calls = cluster.callCount();
  const began = cluster.clock.now();
  const parts = (await cluster.showTable()).flatMap((table) =>
    table.partitions.map((part) => ({ table, part, id: { tid: table.tid, pid: part.pid } })),
  );
  await Promise.all(
    parts.flatMap(({ table, part, id }) =>
      part.replicas.map(({ endpoint }) =>
        cluster.loadTable(endpoint, {
          db: table.db,
          table: table.table,
          ...id,
          segCount: table.segCount,
          storageMode: table.storageMode,
          role: "follower",
          term: 0n,
          followers: [],
        }),
      ),
    ),
  );
  const endpoints = new Set(parts.flatMap(({ part }) => part.replicas.map((one) => one.endpoint)));
  const reports = new Map(
    await Promise.all([...endpoints].map(async (one) => [one, await allNormal(cluster, one)])),
  );
  await Promise.all(parts.map((one) => lead(cluster, one, reports)));
  return { tookMs: cluster.clock.now() - began, calls: cluster.callCount() - calls };
}

/** The loaded replicas of a tablet, by `replicaKey`, once no load runs there. */
async function allNormal(cluster, endpoint) {
  for (;;) {
    const reports = await cluster.getTableStatus(endpoint);
    if (reports.every((one) => one.state !== "loading" && one.state !== "undefined")) {
      return new Map(reports.map((one) => [replicaKey(one), one]));
    }
    await cluster.clock.sleep(POLL_MS);
  }
}

async function lead(cluster, { part, id }, reports) {
  const held = ({ endpoint }) => reports.get(endpoint).get(replicaKey(id))?.offset ?? -1n;
  const [best, ...others] = [...part.replicas].sort(
    (a, b) => Number(held(b) - held(a)) || Number(b.isLeader) - Number(a.isLeader),
  );
  const followers = others.map((one) => one.endpoint);
  const term = part.terms.at(-1)?.term ?? 0n;
  await cluster.changeRole(best.endpoint, { ...id, role: "leader", term, followers });
  if (followers.length === 0) return;
  for (;;) {
    const list = await cluster.getTableFollower(best.endpoint, id);
    if (followers.every((one) => (list.followers.get(one) ?? -1n) >= list.offset)) return;
    await cluster.clock.sleep(POLL_MS);
  }
}
