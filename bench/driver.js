// The sequence of `openmldb_ops.py recoverdata` (OpenMLDB 0.9, openmldb_ops.py and tool.py): the same queries in the same order,
// one table and one replica at a time, with the same waits. The Python tool starts a process for each query. That cost is left
// out, with one exception in its favour: the query after LoadTable is delayed by the start of a process, since without that
// pause it would find every load still running and sleep for 2 s.

import { TableMode, TableState, TabletServer } from "../dist/gen/openmldb/api_pb.js";
import { NameServer } from "../dist/gen/openmldb/nameserver_pb.js";

const INTERNAL_DB = ["__INTERNAL_DB", "__PRE_AGG_DB", "INFORMATION_SCHEMA"];
const QUERY_MS = 100;

/** The queries of tool.py's Executor, and their number. */
function createExecutor({ transport, nameserver }) {
  let calls = 0;
  const call = (address, method, request) => {
    calls += 1;
    return transport.unary(address, method, request, { timeoutMs: 60_000 });
  };
  const ns = (method, request) => call(nameserver, NameServer.method[method], request);
  const tablet = (endpoint, method, request) =>
    call(endpoint, TabletServer.method[method], request);
  return {
    ns,
    tablet,
    calls: () => calls,
    async showTable(db, name) {
      const { tableInfo } = await ns("showTable", name === undefined ? { db } : { db, name });
      return tableInfo.filter((one) => one.db === db);
    },
    async tableStatus(endpoint, of = {}) {
      const { allTableStatus } = await tablet(endpoint, "getTableStatus", of);
      return new Map(allTableStatus.map((one) => [`${one.tid}_${one.pid}`, one]));
    },
    async updateAlive(of, endpoint, isAlive) {
      const { code } = await ns("updateTableAliveStatus", { ...of, endpoint, isAlive });
      return code === 0;
    },
  };
}

/** GetTableStatus of every tablet that holds a replica of the table, one after another. */
async function statusOfAll(executor, info) {
  const metas = info.tablePartition.flatMap((part) => part.partitionMeta);
  const status = new Map();
  for (const endpoint of new Set(metas.map((one) => one.endpoint))) {
    status.set(endpoint, await executor.tableStatus(endpoint));
  }
  return status;
}

/** CheckTable: whether all replicas are alive and loaded in their roles. */
async function isTableHealthy(executor, db, name) {
  const [info] = await executor.showTable(db, name);
  const replicas = info.tablePartition.flatMap((part) =>
    part.partitionMeta.map((meta) => ({ meta, key: `${info.tid}_${part.pid}` })),
  );
  if (replicas.some(({ meta }) => !meta.isAlive)) return false;
  const status = await statusOfAll(executor, info);
  return replicas.every(({ meta, key }) => {
    const loaded = status.get(meta.endpoint).get(key);
    return loaded !== undefined && meta.isLeader === (loaded.mode === TableMode.kTableLeader);
  });
}

/** LoadTableHTTP: loads, and waits until the replica is normal. */
async function loadTable(executor, clock, { endpoint, info, pid }) {
  const { name, tid, storageMode } = info;
  const tableMeta = { name, tid, pid, segCnt: 8, storageMode };
  const { code } = await executor.tablet(endpoint, "loadTable", { tableMeta });
  if (code !== 0) return false;
  await clock.sleep(QUERY_MS);
  for (;;) {
    const loaded = (await executor.tableStatus(endpoint, { tid, pid })).get(`${tid}_${pid}`);
    if (loaded?.state === TableState.kTableNormal) return true;
    const isLoading =
      loaded?.state === TableState.kTableLoading || loaded?.state === TableState.kTableUndefined;
    if (loaded !== undefined && !isLoading) return false;
    await clock.sleep(2_000);
  }
}

/** RecoverPartition: the leader is loaded, and every follower is recovered, healthy ones too. */
async function recoverPartition(executor, clock, { db, info, part, status }) {
  const { pid, partitionMeta: replicas } = part;
  const of = { db, name: info.name, pid };
  // The running maximum is never raised, so the last replica flagged leader wins.
  const leader = replicas.findLast((one) => one.isLeader);
  if (leader === undefined) return;
  const { endpoint: led } = leader;
  if (!status.get(led).has(`${info.tid}_${pid}`)) {
    if (!(await loadTable(executor, clock, { endpoint: led, info, pid }))) return;
  }
  if (!leader.isAlive && !(await executor.updateAlive(of, led, true))) return;
  for (const { endpoint, isAlive } of replicas.filter((one) => one !== leader)) {
    if (isAlive && !(await executor.updateAlive(of, endpoint, false))) return;
    const { code } = await executor.ns("recoverTable", { ...of, endpoint });
    if (code !== 0) return;
  }
}

/** RecoverTable: all partitions one after another, then a wait for their ops. */
async function recoverTable(executor, clock, db, name) {
  if (await isTableHealthy(executor, db, name)) return;
  const [info] = await executor.showTable(db, name);
  const status = await statusOfAll(executor, info);
  for (const part of info.tablePartition) {
    await recoverPartition(executor, clock, { db, info, part, status });
  }
  await clock.sleep(1_000);
  for (;;) {
    const { opStatus } = await executor.ns("showOPStatus", { db, name });
    // It does not wait for queued ops (kInited).
    if (!opStatus.some((op) => op.status === "kDoing")) break;
    await clock.sleep(2_000);
  }
  await isTableHealthy(executor, db, name);
}

/**
 * Recovers a cluster.
 *
 * @param target `transport`, `clock`, and the address of the `nameserver` that leads. Endpoints of
 *   tablets are dialled unchanged.
 * @returns The number of calls.
 */
export async function recoverAsPython(target) {
  const executor = createExecutor(target);
  const { ns } = executor;
  await ns("showTablet", {});
  const { conf } = await ns("confGet", {});
  const isOn = conf.some(({ key, value }) => key === "auto_failover" && value === "true");
  const setFailover = (value) => ns("confSet", { conf: { key: "auto_failover", value } });
  if (isOn) await setFailover("false");
  const { db: userDbs } = await ns("showDatabase", {});
  for (const db of [...INTERNAL_DB, ...userDbs]) {
    for (const { name } of await executor.showTable(db))
      await recoverTable(executor, target.clock, db, name);
  }
  if (isOn) await setFailover("true");
  return executor.calls();
}
