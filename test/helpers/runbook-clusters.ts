import { encode } from "../../src/run/owner.js";
import { A, B, C, MINUTE, OWNER, P0, run } from "./inspect-faults.js";
import { loadedOf, wellCluster } from "./inspected.js";
import type { VirtualCluster } from "./virtual-cluster.js";

/**
 * Changes a healthy cluster with auto_failover off (tablets a, b, c; db1.t0 of two partitions), and waits a minute.
 */
function after(change: (virtual: VirtualCluster) => Promise<void> | void) {
  return async (): Promise<VirtualCluster> => {
    const virtual = await wellCluster();
    await run(virtual, virtual.cluster.confSet("auto_failover", "false"));
    await change(virtual);
    await virtual.pass(MINUTE);
    return virtual;
  };
}

/** Restarts all processes, and waits until the tablets are registered. */
async function restartAll({ model, pass }: VirtualCluster): Promise<void> {
  model.outage({ withNameservers: true });
  await pass(30_000);
}

/** Changes the leader of db1.t0:0 while its tablet is down. */
async function failOver(virtual: VirtualCluster): Promise<void> {
  const { model, pass, cluster } = virtual;
  model.kill(C);
  await pass(30_000);
  await run(virtual, cluster.changeLeader(P0, "auto"));
  await pass(30_000);
}

/** The cluster in the situation of each runbook, by the name of the page in `docs/runbooks`. */
export const SITUATIONS: Readonly<Record<string, () => Promise<VirtualCluster>>> = {
  "all-restarted": after(({ model }) => model.outage({ withNameservers: true })),
  "tablet-lost": after(async (virtual) => {
    await restartAll(virtual);
    await virtual.recover();
    virtual.model.kill(C);
  }),
  "tablet-moved": after(({ model }) => {
    model.move(B, { endpoint: "d:9527", address: "d:9527" });
  }),
  "two-leaders": after(async (virtual) => {
    await failOver(virtual);
    virtual.model.put(20);
    await restartAll(virtual);
    virtual.model.restart(C);
  }),
  "op-stuck": after(async (virtual) => {
    const { model, cluster, pass } = virtual;
    await run(virtual, cluster.updateTableAlive({ ...P0, endpoint: B }, false));
    model.stickOp("kDelReplica", 1);
    await run(virtual, cluster.recoverTable(P0, B));
    await pass(15 * MINUTE);
  }),
  "auto-failover-off": after(({ model }) => {
    model.tree.create("/openmldb/ops_tool/auto_failover", encode(OWNER, { original: true }), {
      parents: true,
    });
  }),
  "disk-wiped": after(({ model }) => {
    model.kill(B);
    model.wipe(B);
    model.restart(B);
  }),
  zookeeper: after(async (virtual) => {
    const { model, pass } = virtual;
    const copy = model.copyZooKeeper();
    await failOver(virtual);
    model.restart(C);
    model.put(20);
    const leader = loadedOf(virtual, B);
    leader.dir.makeSnapshot(leader.term);
    await pass(MINUTE);
    for (const name of [A, B, C]) model.kill(name);
    for (const name of ["nameserver1", "nameserver2"]) model.kill(name);
    await pass(30_000);
    model.restoreZooKeeper(copy);
    for (const name of ["nameserver1", "nameserver2", A, B, C]) model.restart(name);
  }),
  upgrade: after(async ({ model, pass }) => {
    model.kill(B);
    await pass(30_000);
    model.restart(B);
  }),
  scaling: after(({ model }) => {
    model.addTablet({ endpoint: "d:9527", address: "d:9527" });
    model.process("d:9527").start();
  }),
  decisions: after(async (virtual) => {
    const { model, pass } = virtual;
    for (const name of [A, B]) model.kill(name);
    await pass(30_000);
    model.put(20);
    await restartAll(virtual);
    model.kill(C);
  }),
};
