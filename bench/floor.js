// A lower bound of any recovery: every replica is loaded on its tablet at time zero in its flagged role, until all are normal.
// Nothing is observed, decided or verified.
import { replicaKey } from "../dist/model/cluster-state.js";

const POLL_MS = 5;

/**
 * @param cluster Its tables are read, and its connections opened, before time zero.
 * @returns Milliseconds of the cluster's clock, and the number of calls.
 */
export async function loadAllAtOnce(cluster) {
  const loads = (await cluster.showTable()).flatMap((table) =>
    table.partitions.flatMap((part) => part.replicas.map((one) => ({ table, part, one }))),
  );
  const last = new Map(
    loads.map(({ table, part, one }) => [one.endpoint, { tid: table.tid, pid: part.pid }]),
  );
  await Promise.all([...last].map(([endpoint, id]) => cluster.getTableStatus(endpoint, id)));
  const calls = cluster.callCount();
  const began = cluster.clock.now();
  await Promise.all(loads.map((one) => load(cluster, one)));
  await Promise.all([...last].map(([endpoint, id]) => allNormal(cluster, endpoint, id)));
  return { tookMs: cluster.clock.now() - began, calls: cluster.callCount() - calls };
}

function load(cluster, { table, part, one: { endpoint, isLeader } }) {
  const others = part.replicas.filter((one) => one.endpoint !== endpoint);
  return cluster.loadTable(endpoint, {
    db: table.db,
    table: table.table,
    tid: table.tid,
    pid: part.pid,
    segCount: table.segCount,
    storageMode: table.storageMode,
    role: isLeader ? "leader" : "follower",
    term: isLeader ? (part.terms.at(-1)?.term ?? 0n) : 0n,
    followers: isLeader ? others.map((one) => one.endpoint) : [],
  });
}

/** Polls the last requested load, which is cheap, and then all of them. */
async function allNormal(cluster, endpoint, last) {
  const isDone = (one) => one.state !== "loading" && one.state !== "undefined";
  const areDone = async (of) => {
    const reports = await cluster.getTableStatus(endpoint, of);
    return reports.every(isDone) && reports.some((one) => replicaKey(one) === replicaKey(last));
  };
  while (!(await areDone(last)) || !(await areDone())) await cluster.clock.sleep(POLL_MS);
}
