import { describe, expect, it } from "vitest";
import { TableMode, TableState, TabletServer, TaskStatus } from "../src/gen/openmldb/api_pb.js";
import { StorageMode } from "../src/gen/openmldb/common_pb.js";
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

const tablet = TabletServer.method;
const server = NameServer.method;
const FOLLOWER = TableMode.kTableFollower;

describe("UpdateTableAliveStatus", () => {
  it("is synchronous, written to the znode, for one pid or for all", async () => {
    const it = modelCluster();
    expect(await flag(it, "t:2", false, 1)).toMatchObject({ code: 0, msg: "ok" });
    expect((await flags(it, 0)).join()).not.toContain("dead");
    expect((await flags(it, 1)).filter((line) => line.includes("dead"))).toHaveLength(1);
    await flag(it, "t:2", false);
    expect((await flags(it, 0)).filter((line) => line.startsWith("t:2"))).toEqual([
      expect.stringContaining("dead"),
    ]);
    it.model.kill("nameserver1");
    expect(
      it.model.tables.find("t0", "db1")?.tablePartition[0]?.partitionMeta.filter((m) => !m.isAlive),
    ).toHaveLength(1);
  });

  it("and other calls answer with OpenMLDB's codes", async () => {
    const it = modelCluster({ tablets: 4, table: { replicas: 2 } });
    it.model.createTable({ db: "db1", table: "single", partitions: 1, replicas: 1 });
    const [leader, follower = ""] = it.holders();
    const elsewhere =
      ["t:1", "t:2", "t:3", "t:4"].find((name) => !it.holders().includes(name)) ?? "";
    const code = async (answer: Promise<{ code: number }>) => (await answer).code;
    expect(await code(flag(it, "t:9", true))).toBe(302);
    expect(await code(it.ns(server.updateTableAliveStatus, { name: "no", endpoint: "t:1" }))).toBe(
      100,
    );
    expect(await code(flag(it, elsewhere, true, 0))).toBe(321);
    expect(await code(recover(it, "t:9"))).toBe(302);
    expect(await code(recover(it, elsewhere))).toBe(308);
    expect(await code(recover(it, follower))).toBe(311);
    expect(await code(it.ns(server.recoverTable, { name: "no", pid: 0, endpoint: "t:1" }))).toBe(
      100,
    );
    const change = (more: object) => code(it.ns(server.changeLeader, { ...T0, pid: 0, ...more }));
    expect(await change({})).toBe(309);
    expect(await change({ pid: 5 })).toBe(308);
    expect(await change({ name: "single" })).toBe(134);
    expect(await change({ candidateLeader: leader })).toBe(305);
    await flag(it, follower, false, 0);
    expect(await change({ candidateLeader: "auto" })).toBe(310);
    expect(await code(it.ns(server.recoverEndpoint, { endpoint: "t:9" }))).toBe(302);
    expect(await code(it.ns(server.offlineEndpoint, { endpoint: "t:1", concurrency: 9 }))).toBe(
      307,
    );
    expect(await code(it.ns(server.confSet, { conf: { key: "x", value: "true" } }))).toBe(307);
    expect(await code(it.ns(server.cancelOP, { opId: 99n }))).toBe(312);
    it.model.kill(follower);
    await it.pass(12_000);
    expect(await code(recover(it, follower))).toBe(303);
  });

  it("is refused while auto_failover is on, like every other manual change", async () => {
    const it = modelCluster();
    expect(
      await it.ns(server.confSet, { conf: { key: "auto_failover", value: "TRUE" } }),
    ).toMatchObject({ code: 0 });
    expect(it.model.tree.get("/openmldb/config/auto_failover")?.data.toString()).toBe("true");
    const refusal = { code: 301, msg: "auto_failover is enabled" };
    expect(await flag(it, "t:1", true)).toMatchObject(refusal);
    expect(await recover(it, "t:1")).toMatchObject(refusal);
    expect(await it.ns(server.changeLeader, { ...T0, pid: 0 })).toMatchObject(refusal);
    expect(await it.ns(server.offlineEndpoint, { endpoint: "t:1" })).toMatchObject(refusal);
    expect(await it.ns(server.setTablePartition, T0)).toMatchObject(refusal);
    expect(await it.ns(server.showTablet, {})).toMatchObject({ code: 0 });
  });
});

describe("RecoverTable", () => {
  it("of an unloaded follower moves its binlog away and recovers it in about 10 s", async () => {
    const it = await afterOutage();
    const [, follower = ""] = it.holders();
    await serveLeader(it);
    const from = it.clock.now();
    expect(await recover(it, follower)).toMatchObject({ code: 0, msg: "ok" });
    await it.pass(3_000);
    expect(await it.ops()).toEqual([
      "kRecoverTableOP kDone -",
      expect.stringMatching(/^kReAddReplicaOP kDoing k/),
    ]);
    expect(it.model.tablet(follower).disk.recycled).toEqual(["2_0_binlog"]);
    expect(it.model.tablet(follower).disk.dir(StorageMode.kMemory, 2, 0)?.offset).toBe(0n);
    const isDone = () => it.model.leader?.ops.list().at(-1)?.info.taskStatus === TaskStatus.kDone;
    await it.clock.run(() => it.model.until(isDone, 60_000), 60_000);
    expect(it.clock.now() - from).toBeGreaterThan(9_000);
    expect(it.clock.now() - from).toBeLessThan(14_000);
    expect((await flags(it)).find((line) => line.startsWith(follower))).toBe(
      `${follower} follower alive`,
    );
    await it.pass(3_000);
    const rows = it.model.rows({ table: "t0", pid: 0 })[0]?.replicas;
    expect(rows?.find((replica) => replica.endpoint === follower)).toMatchObject({
      counted: 60,
      acknowledged: 60,
    });
    expect(it.model.tree.children("/openmldb/op/op_data")).toEqual([]);
  });

  it("without an alive leader answers 0 and creates no op", async () => {
    const it = await afterOutage();
    for (const endpoint of it.holders()) await flag(it, endpoint, false, 0);
    expect(await recover(it, it.holders()[1] as string)).toMatchObject({ code: 0 });
    await it.pass(5_000);
    expect(await it.ops()).toEqual([]);
    expect(it.model.tree.get("/openmldb/op/op_index")?.data.toString()).toBe("1");
  });

  it("of a follower that was loaded by hand drops it and sends all data again", async () => {
    const it = await afterOutage();
    const [, follower = ""] = it.holders();
    await serveLeader(it);
    await load(it, follower, { mode: FOLLOWER });
    await recover(it, follower);
    await it.pass(20_000);
    expect(await it.ops()).toEqual(["kRecoverTableOP kDone -", "kReAddReplicaWithDropOP kDone -"]);
    expect(it.model.tablet(follower).disk.recycled).toEqual(["2_0"]);
    expect((await flags(it)).join()).toContain(`${follower} follower alive`);
  });

  it("of a follower that a leader has replicated to only links it again", async () => {
    const it = modelCluster();
    it.model.put(60);
    await it.pass(3_000);
    const [, follower = ""] = it.holders();
    await flag(it, follower, false, 0);
    await recover(it, follower);
    await it.pass(6_000);
    expect(await it.ops()).toEqual(["kRecoverTableOP kDone -", "kReAddReplicaSimplifyOP kDone -"]);
    expect(it.model.healthy()).toEqual([]);
  });

  it("of an unloaded follower with a fitting snapshot sends none", async () => {
    const it = modelCluster();
    it.model.put(60);
    await it.pass(3_000);
    const [leader, follower = ""] = it.holders();
    for (const name of [leader, follower]) {
      it.model.tablet(name).disk.dir(StorageMode.kMemory, 2, 0)?.makeSnapshot(1n);
    }
    it.model.put(5);
    await it.pass(1_000);
    it.model.outage();
    await it.pass(15_000);
    await serveLeader(it);
    await recover(it, follower);
    await it.pass(20_000);
    expect(await it.ops()).toEqual(["kRecoverTableOP kDone -", "kReAddReplicaNoSendOP kDone -"]);
    const rows = it.model.rows({ table: "t0", pid: 0 })[0]?.replicas;
    expect(rows?.find((replica) => replica.endpoint === follower)).toMatchObject({
      counted: 65,
      acknowledged: 65,
    });
  });

  it("sends the leader's snapshot to an empty disk, and the rest follows", async () => {
    const it = modelCluster();
    const [leader, follower = ""] = it.holders();
    it.model.put(60);
    await it.pass(1_000);
    const dir = it.model.tablet(leader).disk.dir(StorageMode.kMemory, 2, 0);
    dir?.makeSnapshot(1n);
    dir?.trimBinlog();
    it.model.put(7);
    await it.pass(1_000);
    it.model.kill(follower);
    it.model.wipe(follower);
    it.model.restart(follower);
    await it.pass(13_000);
    await flag(it, follower, false, 0);
    await recover(it, follower);
    await it.pass(16_000);
    expect(await it.ops()).toEqual(["kRecoverTableOP kDone -", "kReAddReplicaOP kDone -"]);
    const rows = it.model.rows({ table: "t0", pid: 0 })[0]?.replicas;
    expect(rows?.find((replica) => replica.endpoint === follower)).toMatchObject({
      counted: 67,
      acknowledged: 67,
    });
  });

  it("of a single replica loads it as leader, or only flags it", async () => {
    const it = await afterOutage({ table: { replicas: 1, storageMode: "hdd" } });
    const [only] = it.holders();
    await flag(it, only, false, 0);
    await recover(it, only);
    await it.pass(5_000);
    expect(await it.ops()).toEqual(["kRecoverTableOP kDone -", "kReLoadTableOP kDone -"]);
    await flag(it, only, false, 0);
    await recover(it, only);
    await it.pass(5_000);
    expect(await it.ops(2n)).toEqual([
      "kRecoverTableOP kDone -",
      "kUpdatePartitionStatusOP kDone -",
    ]);
    expect(it.model.rows({ table: "t0", pid: 0 })).toMatchObject([{ served: 60, leader: only }]);
  });

  it("fails on request, leaves the leader with paused snapshots, and succeeds the next time", async () => {
    const it = await afterOutage();
    const [, follower = ""] = it.holders();
    const leader = await serveLeader(it);
    it.model.failOp("kSendSnapshot", 1);
    await recover(it, follower);
    await it.pass(8_000);
    expect(await it.ops()).toEqual([
      "kRecoverTableOP kDone -",
      "kReAddReplicaOP kFailed kSendSnapshot",
    ]);
    expect(it.model.tree.children("/openmldb/op/op_data")).toEqual(["2"]);
    const state = async () => {
      const { allTableStatus } = await it.at(leader, tablet.getTableStatus, { tid: 2, pid: 0 });
      return allTableStatus[0]?.state;
    };
    expect(await state()).toBe(TableState.kSnapshotPaused);
    await recover(it, follower);
    await it.pass(16_000);
    expect(await it.ops(2n)).toEqual(["kRecoverTableOP kDone -", "kReAddReplicaOP kDone -"]);
    expect(await state()).toBe(TableState.kTableNormal);
  });

  it("fails at kDelReplica at random, as it does under load", async () => {
    const it = await afterOutage({ options: { recoverFailure: 1 } });
    await serveLeader(it);
    await recover(it, it.holders()[1] as string);
    await it.pass(3_000);
    expect(await it.ops()).toEqual(["kRecoverTableOP kFailed kDelReplica"]);
  });
});

describe("ChangeLeader", () => {
  it("leaves two replicas flagged leader, until the old one is recovered", async () => {
    const it = modelCluster();
    it.model.put(60);
    await it.pass(3_000);
    const [old, candidate = ""] = it.holders();
    const change = { ...T0, pid: 0, candidateLeader: candidate };
    expect(await it.ns(server.changeLeader, change)).toMatchObject({ code: 0 });
    await it.pass(1_000);
    expect(await it.ops()).toEqual(["kChangeLeaderOP kDone -"]);
    expect((await flags(it)).filter((line) => line.includes("leader")).sort()).toEqual(
      [`${candidate} leader alive`, `${old} leader dead`].sort(),
    );
    const { tablePartition } = await it.ns(server.getTablePartition, { ...T0, pid: 0 });
    expect(tablePartition?.termOffset.map(({ term, offset }) => [term, offset])).toEqual([
      [1n, 0n],
      [3n, 61n],
    ]);
    expect(it.model.tree.get("/openmldb/table/term")?.data.toString()).toBe("3");
    it.model.put(20, { pid: 0 });
    await it.pass(3_000);
    expect(it.model.rows({ pid: 0 })).toMatchObject([
      { acknowledged: 80, served: 80, leader: candidate },
    ]);

    await recover(it, old);
    await it.pass(20_000);
    expect((await it.ops(1n)).at(-1)).toBe("kReAddReplicaSimplifyOP kDone -");
    expect(it.model.healthy()).toEqual([]);
  });

  it("takes the follower with the most rows, when the leader is dead", async () => {
    const it = await afterOutage();
    const [leader, short = "", long = ""] = it.holders();
    it.model.cutBinlog(short, { db: "db1", table: "t0", pid: 0 }, 10);
    for (const endpoint of [short, long]) await load(it, endpoint, { mode: FOLLOWER });
    await flag(it, leader, false, 0);
    await it.ns(server.changeLeader, { ...T0, pid: 0, candidateLeader: "auto" });
    await it.pass(2_000);
    expect((await flags(it)).join()).toContain(`${long} leader alive`);
    expect(it.model.rows({ table: "t0", pid: 0 })).toMatchObject([{ served: 60, leader: long }]);
    // The old leader is not loaded: its binlog goes, and all rows come from the new one.
    await recover(it, leader);
    await it.pass(20_000);
    expect(it.model.healthy().filter((line) => line.includes("t0/0"))).toEqual([]);
  });
});

describe("the op queues", () => {
  it("run one op at a time, in parallel by pid, so many followers take minutes", async () => {
    const it = await afterOutage({ table: { partitions: 16 } });
    for (let pid = 0; pid < 16; pid += 1) {
      const [, follower = ""] = it.holders(pid);
      await serveLeader(it, pid);
      await recover(it, follower, pid);
    }
    await it.pass(6_000);
    const doing = (await it.ops()).filter((line) => line.includes("kDoing"));
    // A child runs directly after its parent: the other parents wait.
    expect(doing).toEqual(Array(2).fill(expect.stringMatching(/^kReAddReplicaOP kDoing/)));
    const from = it.clock.now();
    const isIdle = () => it.model.leader?.ops.list().every((op) => op.info.endTime > 0n) === true;
    await it.clock.run(() => it.model.until(isIdle, 600_000), 600_000);
    const seconds = (it.clock.now() - from) / 1000;
    // 8 in each of the two queues, 10 to 14 s each.
    expect(seconds).toBeGreaterThan(70);
    expect(seconds).toBeLessThan(115);
    expect(new Set(await it.ops())).toEqual(
      new Set(["kRecoverTableOP kDone -", "kReAddReplicaOP kDone -"]),
    );
  });

  it("use the number of queues in RecoverEndpoint", async () => {
    const it = await afterOutage({ table: { partitions: 8 } });
    for (let pid = 0; pid < 8; pid += 1) await serveLeader(it, pid);
    await it.ns(server.recoverEndpoint, { endpoint: "t:1", concurrency: 8 });
    await it.pass(6_000);
    const wanted = (await it.ops()).filter((line) => line.startsWith("kRecoverTableOP"));
    const doing = (await it.ops()).filter((line) => line.startsWith("kReAddReplicaOP kDoing"));
    expect(doing.length).toBe(wanted.length);
    await it.pass(10_000);
    expect((await it.ops()).join()).not.toContain("kDoing");
  });

  it("can get stuck and continue, and ops can be cancelled and deleted", async () => {
    const it = await afterOutage();
    const [, follower = ""] = it.holders();
    await serveLeader(it);
    it.model.stickOp("kLoadTable", 1);
    await recover(it, follower);
    await it.pass(120_000);
    expect((await it.ops()).at(-1)).toBe("kReAddReplicaOP kDoing kLoadTable");
    it.model.unstickOps();
    await it.pass(10_000);
    expect((await it.ops()).at(-1)).toBe("kReAddReplicaOP kDone -");

    await flag(it, follower, false, 0);
    it.model.stickOp("kDelReplica", 1);
    await recover(it, follower);
    await it.pass(1_000);
    expect(await it.ns(server.cancelOP, { opId: 3n })).toMatchObject({ code: 0 });
    await it.pass(1_000);
    expect(await it.ops(2n)).toEqual(["kRecoverTableOP kCanceled kDelReplica"]);
    expect(await it.ns(server.deleteOP, { opId: 3n })).toMatchObject({ code: 0 });
    expect(await it.ns(server.deleteOP, { opId: 3n })).toMatchObject({ code: 136 });
    expect(await it.ns(server.deleteOP, { status: TaskStatus.kDone })).toMatchObject({ code: 0 });
    expect(await it.ops()).toEqual([]);
  });

  it("move, add and remove followers", async () => {
    const it = modelCluster({ tablets: 4, table: { replicas: 2 } });
    it.model.put(30);
    await it.pass(3_000);
    const [leader, follower = ""] = it.holders();
    const [third = "", fourth = ""] = ["t:1", "t:2", "t:3", "t:4"].filter(
      (name) => !it.holders().includes(name),
    );
    const move = { ...T0, pid: [0], srcEndpoint: leader, desEndpoint: third };
    expect(await it.ns(server.migrate, move)).toMatchObject({ code: 320 });
    expect(await it.ns(server.migrate, { ...move, srcEndpoint: follower })).toMatchObject({
      code: 0,
    });
    expect(await it.ns(server.addReplicaNS, { ...T0, pid: 0, endpoint: fourth })).toMatchObject({
      code: 0,
    });
    await it.pass(60_000);
    expect(await it.ops()).toEqual(["kMigrateOP kDone -", "kAddReplicaOP kDone -"]);
    expect(it.holders().sort()).toEqual([leader, third, fourth].sort());
    expect(it.model.healthy()).toEqual([]);
    expect(await it.ns(server.delReplicaNS, { ...T0, pid: 0, endpoint: leader })).toMatchObject({
      code: 102,
    });
    expect(await it.ns(server.delReplicaNS, { ...T0, pid: 0, endpoint: third })).toMatchObject({
      code: 0,
    });
    await it.pass(10_000);
    expect(it.holders().sort()).toEqual([leader, fourth].sort());
    expect(it.model.healthy()).toEqual([]);
  });
});
