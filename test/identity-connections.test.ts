// The identity of a tablet, once checked, holds for the connection on which it was checked.
import { expect, test } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import { identifiedCluster } from "../src/observe/identified-cluster.js";
import { watchMutations } from "../src/run/watch-mutations.js";
import { startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const A = "a:9527";
const B = "b:9527";

interface Scene {
  readonly virtual: VirtualCluster;
  /** A cluster that checks identities; the record was read, and both tablets have answered. */
  readonly cluster: Cluster;
  /** Changes that reached the clients, and calls of GetTableSchema, in order. */
  readonly sent: string[];
  /** Delays changes between the identity check and the clients. @returns A function that ends the delay. */
  hold(): () => void;
}

/** Two tablets after an outage, db1.t0 with two partitions of two replicas. */
async function afterOutage(): Promise<Scene> {
  const virtual = await startVirtualCluster({ tablets: 2 });
  const { model } = virtual;
  model.createTable({ db: "db1", table: "t0", partitions: 2, replicas: 2 });
  model.put(30);
  await virtual.pass(5_000);
  model.outage();
  await virtual.pass(20_000);
  const sent: string[] = [];
  let gate = Promise.resolve();
  const clients: Cluster = {
    ...virtual.cluster,
    getTableSchema(endpoint, id) {
      sent.push("getTableSchema");
      return virtual.cluster.getTableSchema(endpoint, id);
    },
  };
  const held = watchMutations(clients, {
    async before({ method }) {
      await gate;
      sent.push(method);
    },
    after: () => Promise.resolve(),
  });
  const cluster = identifiedCluster(held);
  const asked = [cluster.showTable(), cluster.getTableStatus(A), cluster.getTableStatus(B)];
  await virtual.clock.run(Promise.all(asked), 1_000);
  const hold = () => {
    let open = () => {};
    gate = new Promise((resolve) => {
      open = resolve;
    });
    return open;
  };
  return { virtual, cluster, sent, hold };
}

const replica = (pid: number) => ({ db: "db1", table: "t0", tid: 2, pid });
const follower = (pid: number) => ({
  ...replica(pid),
  segCount: 8,
  storageMode: "memory" as const,
  role: "follower" as const,
  term: 0n,
  followers: [],
});
const leads = (pid: number) => ({
  ...replica(pid),
  role: "leader" as const,
  term: 1n,
  followers: [],
});

/** The error code of work; `done` if it does not fail. */
function ended({ virtual }: Scene, work: Promise<unknown>): Promise<string> {
  return virtual.clock.run(
    work.then(
      () => "done",
      (error: { code: string }) => error.code,
    ),
    120_000,
  );
}

/** Loads both partitions on both tablets. */
async function loadAll(scene: Scene): Promise<void> {
  const { cluster, virtual } = scene;
  for (const endpoint of [A, B]) {
    for (const pid of [0, 1]) {
      expect(await ended(scene, cluster.loadTable(endpoint, follower(pid)))).toBe("done");
    }
  }
  await virtual.pass(1_000);
}

test("a tablet is identified once in each connection", async () => {
  const scene = await afterOutage();
  const { virtual, cluster, sent } = scene;
  await loadAll(scene);
  expect(await ended(scene, cluster.changeRole(A, leads(0)))).toBe("done");
  expect(sent.filter((one) => one === "getTableSchema")).toHaveLength(2);
  virtual.model.restart(A);
  await virtual.pass(20_000);
  sent.length = 0;
  for (const pid of [0, 1]) {
    expect(await ended(scene, cluster.loadTable(A, follower(pid)))).toBe("done");
  }
  expect(sent).toEqual(["loadTable", "getTableSchema", "loadTable"]);
});

test.each([
  { name: "with its tables loaded", hasLoaded: true, code: "wrong-tablet" },
  { name: "with nothing loaded", hasLoaded: false, code: "unidentified" },
])(
  "a foreign tablet $name that takes the address later receives no change",
  async ({ hasLoaded, code }) => {
    const scene = await afterOutage();
    const { virtual, cluster, sent } = scene;
    await loadAll(scene);
    virtual.model.putForeignTablet(A, { hasLoaded });
    sent.length = 0;
    expect(await ended(scene, cluster.changeRole(A, leads(0)))).toBe(code);
    // The leader that is called is ours, the follower that it is to replicate to is not.
    expect(await ended(scene, cluster.addReplica(B, replica(0), A))).toBe(code);
    expect(sent).toEqual([]);
  },
);

test.each([true, false])(
  "a change in flight when the foreign tablet appears is not sent (tables loaded: %s)",
  async (hasLoaded) => {
    const scene = await afterOutage();
    const { virtual, cluster, sent, hold } = scene;
    await loadAll(scene);
    const open = hold();
    sent.length = 0;
    const changes = [
      cluster.changeRole(A, leads(0)),
      cluster.recoverTable(replica(1), A),
      cluster.loadTable(A, follower(1)),
    ].map((work) => ended(scene, work));
    await virtual.pass(10);
    virtual.model.putForeignTablet(A, { hasLoaded });
    const logged = virtual.model.events.length;
    // Another caller opens a new connection.
    await ended(scene, virtual.cluster.getTableStatus(A));
    open();
    expect(await Promise.all(changes)).toEqual(Array(3).fill("unidentified"));
    expect(virtual.model.events.length).toBe(logged);
    expect(sent).toEqual(["changeRole", "recoverTable", "loadTable"]);
  },
);

test("a table of a user database is compared if one is loaded: system databases are equal in all clusters", async () => {
  const { model, cluster: clients, clock, pass } = await startVirtualCluster({ tablets: 2 });
  model.createSystemTables();
  model.createTable({ db: "db1", table: "t0", partitions: 1, replicas: 2 });
  await pass(5_000);
  const asked: number[] = [];
  const cluster = identifiedCluster({
    ...clients,
    getTableSchema(endpoint, id) {
      asked.push(id.tid);
      return clients.getTableSchema(endpoint, id);
    },
  });
  const tables = await clock.run(cluster.showTable(), 1_000);
  const user = tables.find((one) => one.db === "db1");
  const system = tables.find((one) => one.db !== "db1");
  expect(system?.tid).toBeLessThan(user?.tid ?? 0);
  await clock.run(cluster.getTableStatus(A), 1_000);
  const id = { db: "db1", table: "t0", tid: user?.tid ?? 0, pid: 0 };
  await clock.run(
    cluster.changeRole(A, { ...id, role: "follower", term: 0n, followers: [] }),
    1_000,
  );
  expect(asked).toEqual([user?.tid]);
});
