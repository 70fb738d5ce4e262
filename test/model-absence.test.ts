import { expect, test } from "vitest";
import { OpsError } from "../src/errors.js";
import { OPType, TableMode, TabletServer } from "../src/gen/openmldb/api_pb.js";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import { modelTransport } from "../src/sandbox/model/model-transport.js";
import { putZnode, znodeText } from "../src/sandbox/table-store.js";
import { type ModelCluster, modelCluster } from "./helpers/model-cluster.js";
import { callSandbox, sandboxForTest } from "./helpers/sandbox.js";

const TID = 2;
const { recoverTable, setTablePartition, showTable, showTablet } = NameServer.method;
const { getTableSchema, getTableStatus, getTermPair, loadTable } = TabletServer.method;

/** db1.t0 with 20 rows in each of its two partitions, replicated. */
async function filled(): Promise<ModelCluster> {
  const cluster = modelCluster();
  cluster.model.put(20);
  await cluster.pass(3_000);
  return cluster;
}

async function states({ ns }: ModelCluster): Promise<Record<string, string>> {
  const { tablets } = await ns(showTablet, {});
  return Object.fromEntries(tablets.map(({ endpoint, state }) => [endpoint, state]));
}

test("a tablet whose node remains stays healthy for the nameserver, and no op ends", async () => {
  const cluster = await filled();
  const [leader, follower, third] = cluster.holders(0) as [string, string, string];
  cluster.model.kill(third, { leavesNodes: true });
  await cluster.pass(60_000);
  expect(await states(cluster)).toMatchObject({ [third]: "kHealthy" });
  const id = { db: "db1", name: "t0", pid: 0 };
  await cluster.ns(NameServer.method.updateTableAliveStatus, {
    ...id,
    endpoint: follower,
    isAlive: false,
  });
  await cluster.ns(recoverTable, { ...id, endpoint: follower });
  await cluster.pass(600_000);
  expect(await cluster.ops()).toEqual([
    "kRecoverTableOP kDoing -",
    "kReAddReplicaSimplifyOP kInited -",
  ]);
  cluster.model.endSession(third);
  await cluster.pass(60_000);
  expect(await states(cluster)).toMatchObject({ [third]: "kOffline" });
  expect((await cluster.ops()).every((op) => op.includes("kDone"))).toBe(true);
  expect(cluster.model.rows()[0]?.leader).toBe(leader);
});

test("a lock node of an ended session at the head of the queue leaves the cluster without a leader", async () => {
  const cluster = await filled();
  cluster.model.kill("ns1", { leavesNodes: true });
  await cluster.pass(60_000);
  expect(cluster.model.leader).toBeUndefined();
  cluster.model.endSession("ns1");
  await cluster.pass(5_000);
  expect(cluster.model.leader?.endpoint).toBe("n:2");
});

test("a tablet under another address has its disk; the record changes by SetTablePartition, unchecked", async () => {
  const cluster = await filled();
  const [, old] = cluster.holders(0) as [string, string];
  cluster.model.move(old, { endpoint: "t:9", address: "t:9" });
  await cluster.pass(15_000);
  expect(await states(cluster)).toMatchObject({ [old]: "kOffline", "t:9": "kHealthy" });
  const meta = { tid: TID, pid: 0, name: "t0", mode: TableMode.kTableFollower };
  expect((await cluster.at("t:9", loadTable, { tableMeta: meta })).code).toBe(0);
  await cluster.pass(1_000);
  expect(await cluster.at("t:9", getTermPair, meta)).toMatchObject({ hasTable: true, offset: 20n });

  const [table] = (await cluster.ns(showTable, { db: "db1", name: "t0" })).tableInfo;
  const part = table?.tablePartition[0];
  const partitionMeta = part?.partitionMeta.map((one) =>
    one.endpoint === old ? { ...one, endpoint: "t:9" } : one,
  );
  const tablePartition = { ...part, partitionMeta } as NonNullable<typeof part>;
  const answer = await cluster.ns(setTablePartition, { db: "db1", name: "t0", tablePartition });
  expect(answer.code).toBe(0);
  expect(cluster.holders(0)).toContain("t:9");
});

test("a tablet of another cluster has other tables under the same numbers", async () => {
  const cluster = await filled();
  const [, endpoint] = cluster.holders(0) as [string, string];
  cluster.model.putForeignTablet(endpoint);
  await cluster.pass(1_000);
  expect(await states(cluster)).toMatchObject({ [endpoint]: "kHealthy" });
  const { allTableStatus } = await cluster.at(endpoint, getTableStatus, { tid: TID, pid: 0 });
  expect(allTableStatus).toMatchObject([{ tid: TID, pid: 0, name: "foreign_2", offset: 20n }]);
  const tableMeta = { tid: TID, pid: 0, name: "t0" };
  expect((await cluster.at(endpoint, loadTable, { tableMeta })).code).toBe(101);
  // None of the acknowledged rows is there.
  const replicas = cluster.model.rows({ pid: 0 })[0]?.replicas ?? [];
  expect(replicas.find((one) => one.endpoint === endpoint)?.acknowledged).toBe(0);

  cluster.model.restart(endpoint);
  await cluster.pass(15_000);
  expect((await cluster.at(endpoint, loadTable, { tableMeta })).code).toBe(0);
  await cluster.pass(1_000);
  const own = cluster.model.rows({ pid: 0 })[0]?.replicas ?? [];
  expect(own.find((one) => one.endpoint === endpoint)?.acknowledged).toBe(20);
});

test("LoadTable accepts any name and writes it; database and columns stay those of the disk", async () => {
  const cluster = await filled();
  const [, endpoint] = cluster.holders(0) as [string, string];
  cluster.model.putForeignTablet(endpoint, { hasLoaded: false });
  await cluster.pass(1_000);
  expect((await cluster.at(endpoint, getTableStatus, {})).allTableStatus).toEqual([]);
  const tableMeta = { tid: TID, pid: 0, name: "t0", db: "db1", mode: TableMode.kTableFollower };
  expect((await cluster.at(endpoint, loadTable, { tableMeta })).code).toBe(0);
  const schema = await cluster.at(endpoint, getTableSchema, { tid: TID, pid: 0 });
  expect(schema.tableMeta).toMatchObject({ name: "t0", db: "foreign_db" });
  expect(schema.tableMeta?.columnDesc).toHaveLength(3);
});

test("calls about an unloaded replica do not show whether its directory exists", async () => {
  const cluster = await filled();
  const [leader] = cluster.holders(0);
  cluster.model.restart(leader);
  await cluster.pass(15_000);
  for (const pid of [0, 77]) {
    const pair = await cluster.at(leader, getTermPair, { tid: TID, pid });
    expect(pair).toMatchObject({ code: 0, hasTable: false, term: 0n, offset: 0n });
    const { code, manifest } = await cluster.at(leader, TabletServer.method.getManifest, {
      tid: TID,
      pid,
    });
    expect({ code, offset: manifest?.offset, count: manifest?.count }).toEqual({
      code: 0,
      offset: 0n,
      count: 0n,
    });
  }
});

test("a restored ZooKeeper has neither the new leader nor its term", async () => {
  const cluster = await filled();
  const { model } = cluster;
  const copy = model.copyZooKeeper();
  const [old] = cluster.holders(0);
  await cluster.ns(NameServer.method.changeLeader, {
    db: "db1",
    name: "t0",
    pid: 0,
    candidateLeader: "auto",
  });
  await cluster.pass(5_000);
  const [leader] = cluster.holders(0);
  model.put(5);
  await cluster.pass(2_000);
  for (const { name } of model.processes) model.kill(name);
  await cluster.pass(20_000);
  model.restoreZooKeeper(copy);
  for (const { name } of model.processes) model.restart(name);
  await cluster.pass(20_000);
  const part = model.tables.find("t0", "db1")?.tablePartition[0];
  expect(part?.termOffset).toMatchObject([{ term: 1n, offset: 0n }]);
  expect(cluster.holders(0)[0]).toBe(old);
  expect(old).not.toBe(leader);
  expect(znodeText(model.tree, "/openmldb/op/op_index")).toBeUndefined();
  const held = model.rows({ pid: 0 })[0]?.replicas.map((one) => one.held);
  expect(held?.sort()).toEqual([20, 25, 25]);
});

test("a running nameserver keeps its record", async () => {
  const { model } = await filled();
  expect(() => model.restoreZooKeeper(model.copyZooKeeper())).toThrow(/is running; kill it first/);
});

test("during a blip no call gets through, and one in flight loses its answer", async () => {
  const cluster = await filled();
  const { model } = cluster;
  const transport = modelTransport(model);
  const set = (value: string) =>
    transport
      .unary(
        "n:1",
        NameServer.method.confSet,
        { conf: { key: "auto_failover", value } },
        { timeoutMs: 5_000 },
      )
      .catch((error: unknown) => error);
  const answer = set("true");
  model.blip(300);
  expect(await cluster.clock.run(answer, 10_000)).toBeInstanceOf(OpsError);
  expect(model.leader?.autoFailover).toBe(true);
  expect(await cluster.clock.run(set("false"), 10_000)).toBeInstanceOf(OpsError);
  expect(model.leader?.autoFailover).toBe(true);
  await cluster.pass(300);
  expect(await cluster.clock.run(set("false"), 10_000)).toMatchObject({ code: 0 });
  expect(model.leader?.autoFailover).toBe(false);
});

test("a clock that is an hour off changes the times of ops, but not ages", async () => {
  const cluster = await filled();
  const ages = async () => (await cluster.ns(showTablet, {})).tablets.map((one) => Number(one.age));
  const before = await ages();
  cluster.model.stepClock("ns1", 3_600_000);
  cluster.model.restart("ns1");
  await cluster.pass(30_000);
  cluster.model.restart("ns2");
  await cluster.pass(30_000);
  expect(before.every((age) => age < 10_000)).toBe(true);
  expect((await ages()).every((age) => age < 100_000)).toBe(true);
  cluster.model.leader?.ops.create(
    OPType.kMakeSnapshotOP,
    { name: "t0", db: "db1", pid: 0 },
    { endpoint: "" },
  );
  await cluster.pass(5_000);
  const { opStatus } = await cluster.ns(NameServer.method.showOPStatus, {});
  const ahead = Number(opStatus[0]?.startTime) - cluster.clock.wallTime() / 1000;
  expect(ahead).toBeGreaterThan(3_500);
});

test("with server names a moved tablet keeps its name, and all processes use its new address", async () => {
  const sandbox = await sandboxForTest({ serverNames: true, speed: 20, autoFailover: false });
  const old = sandbox.addressOf("tablet-1");
  const address = await sandbox.move("tablet-1");
  expect(address).not.toBe(old);
  expect(znodeText(sandbox.model.tree, "/openmldb/map/names/tablet-1")).toBe(address);
  expect(await callSandbox(address, getTableStatus, {})).toMatchObject({
    code: 0,
    allTableStatus: [],
  });
  await expect(callSandbox(old, getTableStatus, {})).rejects.toMatchObject({ code: "unreachable" });
});

test("without server names a moved tablet is another endpoint", async () => {
  const sandbox = await sandboxForTest({ speed: 20, autoFailover: false });
  const [old] = sandbox.tablets as [string];
  const address = await sandbox.move(old);
  const nameserver = sandbox.nameservers[0] as string;
  const { tablets } = await callSandbox(nameserver, showTablet, {});
  expect(tablets.map((one) => one.endpoint)).toEqual([...sandbox.tablets, address].sort());
});

test("an empty entry in map/names means that the name is the address", async () => {
  const sandbox = await sandboxForTest({ emptyNames: true, speed: 20, autoFailover: false });
  const [tablet] = sandbox.tablets as [string];
  expect(sandbox.addressOf(tablet)).toBe(tablet);
  expect(znodeText(sandbox.model.tree, `/openmldb/map/names/${tablet}`)).toBe("");
  const { tablets } = await callSandbox(sandbox.nameservers[0] as string, showTablet, {});
  expect(tablets[0]).toMatchObject({ realEndpoint: "", state: "kHealthy" });
});

test("two names with one address: the nameserver calls the tablet at that address", async () => {
  const sandbox = await sandboxForTest({
    serverNames: true,
    speed: 20,
    autoFailover: false,
    tables: 0,
  });
  const { model } = sandbox;
  putZnode(model.tree, "/openmldb/map/names/tablet-2", sandbox.addressOf("tablet-1"));
  const server = model.leader;
  expect(server?.context.reachable("tablet-2")).toBe(model.tablets.get("tablet-1"));
});
