import { describe, expect, it } from "vitest";
import { TableMode, TabletServer } from "../src/gen/openmldb/api_pb.js";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import {
  afterOutage,
  flag,
  flags,
  load,
  modelCluster,
  recover,
  serveLeader,
  T0,
} from "./helpers/model-cluster.js";

const server = NameServer.method;

describe("nameservers", () => {
  it("answer 300 as standby, and lose the offsets in memory with the leader", async () => {
    const it = modelCluster();
    it.model.put(60);
    await it.pass(3_000);
    await flag(it, "t:1", true);
    it.model.put(20);
    await it.pass(3_000);
    expect(await it.at("ns2", server.showTablet, {})).toMatchObject({
      code: 300,
      msg: "nameserver is not leader",
    });
    it.model.outage({ withNameservers: true });
    await it.pass(20_000);
    const lock = it.model.tree.children("/openmldb/leader") ?? [];
    expect(lock).toHaveLength(2);
    const leading = it.model.leader?.endpoint ?? "";
    const { tableInfo } = await it.at(leading, server.showTable, { db: "db1" });
    const offsets = tableInfo[0]?.tablePartition.flatMap((part) =>
      part.partitionMeta.map((meta) => meta.offset),
    );
    // The offsets of the record when the flag was written, not the 80 on the disks.
    expect(offsets).toEqual(Array(6).fill(60n));
  });

  it("take over after the session has ended, with the active ops", async () => {
    const it = await afterOutage();
    const [, follower = ""] = it.holders();
    await serveLeader(it);
    await recover(it, follower);
    await it.pass(5_000);
    it.model.kill("nameserver1");
    await it.pass(5_000);
    expect(await it.at("ns2", server.confGet, {})).toMatchObject({ code: 300 });
    await it.pass(4_000);
    expect(await it.at("ns2", server.confGet, {})).toMatchObject({ code: 0 });
    await it.pass(20_000);
    const { opStatus } = await it.at("ns2", server.showOPStatus, {});
    expect(opStatus.map((op) => `${op.opType} ${op.status}`)).toEqual(["kReAddReplicaOP kDone"]);
    expect(
      it.model.healthy().filter((line) => line.includes(follower) && line.includes("/0")),
    ).toEqual([]);
  });

  it("lose leadership when stopped, and continue as standby", async () => {
    const it = modelCluster();
    it.model.hang("nameserver1");
    await it.pass(10_000);
    expect(it.model.leader?.endpoint).toBe("n:2");
    it.model.resume("nameserver1");
    await it.pass(1_000);
    expect(await it.ns(server.confGet, {})).toMatchObject({ code: 300 });
    it.model.kill("nameserver2");
    await it.pass(10_000);
    expect(await it.ns(server.confGet, {})).toMatchObject({ code: 0 });
  });
});

describe("auto_failover", () => {
  it("elects new leaders when a tablet is gone for the timeout, and recovers it when it is back", async () => {
    const it = modelCluster({ options: { autoFailover: true } });
    it.model.put(50);
    await it.pass(3_000);
    const [dead] = it.holders();
    it.model.kill(dead);
    await it.pass(60_000);
    expect(await it.ops()).toEqual([]);
    await it.pass(20_000);
    expect((await it.ops()).sort()).toEqual([
      "kChangeLeaderOP kDone -",
      "kOfflineReplicaOP kDone -",
    ]);
    expect(await flags(it)).toContain(`${dead} leader dead`);
    it.model.put(20);
    await it.pass(1_000);
    it.model.restart(dead);
    await it.pass(60_000);
    expect(it.model.healthy()).toEqual([]);
    expect(it.model.rows()).toMatchObject([
      { served: 70, lost: 0 },
      { served: 70, lost: 0 },
    ]);
  });

  it("does not recover partitions whose replicas went down together, and never marks the last alive replica dead", async () => {
    const it = modelCluster({ options: { autoFailover: true }, systemTables: true });
    it.model.put(50);
    await it.pass(3_000);
    it.model.outage({ withNameservers: true });
    await it.pass(120_000);
    expect(it.model.healthy().length).toBeGreaterThan(5);
    const table = it.model.tables.find("t0", "db1");
    for (const part of table?.tablePartition ?? []) {
      expect(part.partitionMeta.some((meta) => meta.isAlive)).toBe(true);
    }
  });

  it("processes the tables in the order of databases and names, as recorded", async () => {
    const it = modelCluster({ options: { autoFailover: true }, systemTables: true });
    it.model.createTable({ db: "db1", table: "single0", partitions: 1, replicas: 1 });
    await it.pass(3_000);
    const [only = ""] =
      it.model.tables
        .find("single0", "db1")
        ?.tablePartition[0]?.partitionMeta.map((meta) => meta.endpoint) ?? [];
    it.model.kill(only);
    await it.pass(120_000);
    const { opStatus } = await it.ns(server.showOPStatus, {});
    const names = opStatus.map((op) => `${op.db}.${op.name}/${op.pid}`);
    expect(names).toEqual([...names].sort());
    expect(new Set(opStatus.map((op) => op.status))).toEqual(new Set(["kDone"]));
    const single = opStatus.find((op) => op.name === "single0");
    expect(single?.opType).toBe("kUpdatePartitionStatusOP");
    const flagged = it.model.tables.find("single0", "db1")?.tablePartition[0]?.partitionMeta[0];
    expect(flagged).toMatchObject({ isLeader: true, isAlive: false });
  });
});

describe("sequences tried on a real cluster", () => {
  it("evidence first: all loaded as followers, the best one made leader", async () => {
    const it = await afterOutage();
    const { changeRole, getTableFollower, getTermPair } = TabletServer.method;
    const [leader, ...followers] = it.holders();
    it.model.cutBinlog(followers[0] as string, { db: "db1", table: "t0", pid: 0 }, 25);
    for (const name of it.holders()) await load(it, name, { mode: TableMode.kTableFollower });
    const pair = await it.at(leader, getTermPair, { tid: 2, pid: 0 });
    expect(pair).toMatchObject({ term: 0n, offset: 60n, isLeader: false });
    const role = { tid: 2, pid: 0, mode: TableMode.kTableLeader, term: 1n, replicas: followers };
    expect(await it.at(leader, changeRole, role)).toMatchObject({ code: 0, msg: "ok" });
    await it.pass(500);
    const list = await it.at(leader, getTableFollower, { tid: 2, pid: 0 });
    expect(list.followerInfo.map((info) => info.offset)).toEqual([60n, 60n]);
    expect(it.model.healthy().filter((line) => line.includes("t0/0"))).toEqual([]);
    expect(it.model.put(5, { table: "t0", pid: 0 })).toMatchObject([{ accepted: 5 }]);
  });

  it("a leader that lost its binlog follows the replica that kept its rows", async () => {
    const it = await afterOutage();
    const [old, next = "", third = ""] = it.holders();
    it.model.cutBinlog(old, { db: "db1", table: "t0", pid: 0 }, "all");
    for (const name of it.holders()) await load(it, name, { mode: TableMode.kTableFollower });
    const replicas = [old, third];
    const role = { tid: 2, pid: 0, mode: TableMode.kTableLeader, term: 1n, replicas };
    await it.at(next, TabletServer.method.changeRole, role);
    const { tablePartition } = await it.ns(server.getTablePartition, { ...T0, pid: 0 });
    for (const meta of tablePartition?.partitionMeta ?? []) meta.isLeader = meta.endpoint === next;
    if (tablePartition === undefined) throw new Error("no partition");
    expect(await it.ns(server.setTablePartition, { ...T0, tablePartition })).toMatchObject({
      code: 0,
    });
    await it.pass(2_000);
    expect(it.model.healthy().filter((line) => line.includes("t0/0"))).toEqual([]);
    expect(it.model.rows({ table: "t0", pid: 0 })).toMatchObject([
      { acknowledged: 60, served: 60, lost: 0, leader: next },
    ]);
    it.model.restart("nameserver1");
    await it.pass(12_000);
    expect(it.model.healthy().filter((line) => line.includes("t0/0"))).toEqual([]);
  });
});
