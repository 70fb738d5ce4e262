import { describe, expect, it } from "vitest";
import { TableMode, TableState, TabletServer } from "../src/gen/openmldb/api_pb.js";
import { StorageMode } from "../src/gen/openmldb/common_pb.js";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import { modelTransport } from "../src/sandbox/model/model-transport.js";
import { seededRandom } from "../src/sandbox/model/random.js";
import { VirtualClock } from "../src/sandbox/model/virtual-clock.js";
import { afterOutage, load, modelCluster } from "./helpers/model-cluster.js";

const tablet = TabletServer.method;
const server = NameServer.method;
const LEADER = TableMode.kTableLeader;
const FOLLOWER = TableMode.kTableFollower;

describe("a new cluster", () => {
  it("is healthy, with the system tables, and replicates rows", async () => {
    const { model, pass, ns } = modelCluster({ systemTables: true });
    model.put(60);
    await pass(3_000);

    expect(model.healthy()).toEqual([]);
    const { tableInfo } = await ns(server.showTable, { showAll: true });
    expect(tableInfo.map(({ db, name, tid }) => `${db} ${name} ${tid}`)).toEqual([
      "INFORMATION_SCHEMA DEPLOY_RESPONSE_TIME 6",
      "INFORMATION_SCHEMA GLOBAL_VARIABLES 5",
      "__INTERNAL_DB JOB_INFO 3",
      "__INTERNAL_DB PRE_AGG_META_INFO 4",
      "__INTERNAL_DB USER 2",
      "db1 t0 7",
    ]);
    const t0 = tableInfo.at(-1)?.tablePartition ?? [];
    const offsets = t0.flatMap((part) => part.partitionMeta.map((meta) => meta.offset));
    expect(offsets).toEqual(Array(6).fill(60n));
    expect(await ns(server.showDatabase, {})).toMatchObject({ code: 0, msg: "ok", db: ["db1"] });
  });

  it("answers ShowTable by presence of name and db", async () => {
    const { model, ns } = modelCluster({ systemTables: true });
    model.createTable({ db: "", table: "old", partitions: 1, replicas: 2 });
    const names = async (request: { name?: string; db?: string; showAll?: boolean }) =>
      (await ns(server.showTable, request)).tableInfo.map((table) => table.name);

    expect(await names({})).toEqual(["old"]);
    expect(await names({ db: "db1" })).toEqual(["old", "t0"]);
    expect(await names({ db: "db1", name: "t0" })).toEqual(["t0"]);
    expect(await names({ db: "db1", name: "" })).toEqual([]);
    expect((await names({ showAll: true })).length).toBe(7);
    expect(model.tree.get("/openmldb/table/table_data/old")).toBeDefined();
  });

  it("gives answers that do not change afterwards", async () => {
    const { model, pass, ns } = modelCluster();
    const before = await ns(server.showTable, { showAll: true });
    const text = () => JSON.stringify(before.tableInfo.map((table) => table.tablePartition.length));
    const offsets = () => before.tableInfo[0]?.tablePartition[0]?.partitionMeta[0]?.offset;
    const then = [text(), offsets()];
    model.put(5);
    await pass(5_000);
    expect([text(), offsets()]).toEqual(then);
  });

  it("gives equal event logs for equal seeds, and different ones for others", async () => {
    const run = async (seed: number) => {
      const { model, pass } = await afterOutage({ seed });
      model.restart("tablet2");
      await pass(30_000);
      return JSON.stringify([model.events, model.rows()]);
    };
    expect(await run(5)).toBe(await run(5));
    expect(await run(5)).not.toBe(await run(6));
  });
});

describe("a tablet", () => {
  it("has nothing loaded after a restart, and registers only when its old node is gone", async () => {
    const { model, pass, at, ns } = modelCluster();
    model.put(10);
    await pass(1_000);
    model.restart("tablet1");
    await pass(5_000);
    const view = async () => (await ns(server.showTablet, {})).tablets[0];
    // Its session has not ended: the tablet is still registered, but it does not answer either.
    expect(await view()).toMatchObject({ endpoint: "t:1", state: "kHealthy" });
    const early = at("tablet1", tablet.getTableStatus, {});
    await expect(early).rejects.toMatchObject({ kind: "refused" });

    await pass(8_000);
    expect(await view()).toMatchObject({ state: "kHealthy" });
    expect(Number((await view())?.age)).toBeLessThan(4_000);
    const status = await at("tablet1", tablet.getTableStatus, {});
    expect(status).toMatchObject({ allTableStatus: [], code: 0 });
    expect(model.tree.get("/openmldb/nodes/t:1")?.data.toString()).toBe("startup_t:1");
  });

  it("keeps its partitions in ShowTable until any tablet reports one", async () => {
    const it = await afterOutage();
    const believed = async () => {
      const { tableInfo } = await it.ns(server.showTable, { showAll: true });
      const parts = tableInfo.flatMap((table) => table.tablePartition);
      return parts.flatMap((part) => part.partitionMeta).filter((meta) => meta.tabletHasPartition);
    };
    expect(await believed()).toHaveLength(6);
    await load(it, it.holders()[0], { mode: LEADER, term: 1n });
    await it.pass(3_000);
    expect((await believed()).map((meta) => meta.endpoint)).toEqual([it.holders()[0]]);
  });

  it("reads mode and term from its file unless the request has them, and writes them there", async () => {
    const it = await afterOutage();
    const [leader, follower] = it.holders();
    const id = { tid: 2, pid: 0 };
    expect(await load(it, follower as string)).toMatchObject({ code: 0, msg: "ok" });
    expect(await load(it, leader, { term: 7n })).toMatchObject({ code: 0, msg: "ok" });
    const pair = (name: string) => it.at(name, tablet.getTermPair, id);
    expect(await pair(leader)).toMatchObject({ term: 7n, offset: 60n, isLeader: true });
    expect(await pair(follower as string)).toMatchObject({
      term: 0n,
      offset: 60n,
      isLeader: false,
    });
    expect(await load(it, leader)).toMatchObject({ code: 101, msg: "table already exists" });

    it.model.restart(follower as string);
    await it.pass(13_000);
    await load(it, follower as string, { mode: LEADER, term: 9n });
    it.model.restart(follower as string);
    await it.pass(13_000);
    await load(it, follower as string);
    expect(await pair(follower as string)).toMatchObject({ term: 9n, isLeader: true });
  });

  it("shows undefined, loading, normal, three loads at a time", async () => {
    const it = await afterOutage({
      table: { partitions: 9, replicas: 3 },
      options: { loadBaseMs: 1_000 },
    });
    const states = async () => {
      const { allTableStatus } = await it.at("tablet1", tablet.getTableStatus, {});
      return allTableStatus.map((status) => TableState[status.state]?.slice(6)).join(" ");
    };
    const meta = (pid: number) => ({ tableMeta: { tid: 2, pid, name: "t0", mode: FOLLOWER } });
    for (let pid = 0; pid < 4; pid += 1) {
      void it.model.call("t:1", tablet.loadTable, meta(pid));
    }
    await it.pass(10);
    expect(await states()).toBe("Loading Loading Loading Undefined");
    await it.pass(1_000);
    expect(await states()).toBe("Normal Normal Normal Loading");
    await it.pass(1_000);
    expect(await states()).toBe("Normal Normal Normal Normal");
  });

  it("refuses to load from an empty disk, and leaves a useless file behind", async () => {
    const it = await afterOutage();
    const [leader] = it.holders();
    it.model.kill(leader);
    it.model.wipe(leader);
    it.model.restart(leader);
    await it.pass(13_000);
    const refusal = { code: 131, msg: "fail to init table" };
    expect(await load(it, leader, { mode: LEADER, term: 1n })).toMatchObject(refusal);
    expect(await load(it, leader, { mode: LEADER, term: 1n })).toMatchObject(refusal);
    expect((await it.at(leader, tablet.getTableStatus, {})).allTableStatus).toEqual([]);
    const illegal = { tableMeta: { tid: 2, pid: 0, name: "" } };
    expect(await it.at(leader, tablet.loadTable, illegal)).toMatchObject({ code: 129 });
    it.model.tablet(leader).storageModes.delete(StorageMode.kHDD);
    const hdd = { tableMeta: { tid: 2, pid: 0, name: "t0", storageMode: StorageMode.kHDD } };
    expect(await it.at(leader, tablet.loadTable, hdd)).toMatchObject({ code: 138 });
  });

  it("stops listing a replica after a failed load, also a disk table in the wrong place", async () => {
    const it = await afterOutage({ table: { storageMode: "hdd" } });
    const [leader] = it.holders();
    const loaded = async () =>
      (await it.at(leader, tablet.getTableStatus, { tid: 2 })).allTableStatus;
    const memory = { tableMeta: { tid: 2, pid: 0, name: "t0", mode: LEADER } };
    expect(await it.at(leader, tablet.loadTable, memory)).toMatchObject({ code: 131 });
    it.model.failLoad(leader, 1);
    expect(await load(it, leader, { mode: LEADER, term: 1n })).toMatchObject({ code: 0 });
    expect(await loaded()).toEqual([]);
    await load(it, leader, { mode: LEADER, term: 1n });
    expect(await loaded()).toMatchObject([{ storageMode: StorageMode.kHDD, offset: 60n }]);
  });

  it("answers for the snapshot on its disk when nothing is loaded", async () => {
    const it = modelCluster();
    it.model.put(30);
    await it.pass(1_000);
    const [leader, follower] = it.holders();
    it.model.tablet(leader).disk.dir(StorageMode.kMemory, 2, 0)?.makeSnapshot(1n);
    it.model.put(5);
    await it.pass(1_000);
    it.model.outage();
    await it.pass(13_000);
    const id = { tid: 2, pid: 0 };
    const unloaded = { code: 0, msg: "table does not exist", hasTable: false };
    const pair = (name: string) => it.at(name, tablet.getTermPair, id);
    expect(await pair(leader)).toMatchObject({ ...unloaded, term: 1n, offset: 30n });
    expect(await pair(follower as string)).toMatchObject({ ...unloaded, term: 0n, offset: 0n });
    const manifest = await it.at(leader, tablet.getManifest, id);
    expect(manifest.manifest).toMatchObject({ offset: 30n, term: 1n });
    expect(await it.at(leader, tablet.getTableFollower, id)).toMatchObject({ code: 100 });
    await load(it, leader);
    const alone = { code: 134, msg: "has no follower", offset: 35n };
    expect(await it.at(leader, tablet.getTableFollower, id)).toMatchObject(alone);
  });

  it("loads the snapshot's entries when the binlog is gone", async () => {
    const it = await afterOutage();
    const [leader] = it.holders();
    it.model.cutBinlog(leader, { db: "db1", table: "t0", pid: 0 }, "all");
    expect(await load(it, leader, { mode: LEADER, term: 1n })).toMatchObject({ code: 0 });
    const { allTableStatus } = await it.at(leader, tablet.getTableStatus, { tid: 2, pid: 0 });
    expect(allTableStatus).toMatchObject([
      { offset: 0n, recordCnt: 0n, state: TableState.kTableNormal },
    ]);
    expect(it.model.rows({ pid: 0 })).toMatchObject([{ acknowledged: 60, served: 0, lost: 0 }]);
  });

  it("answers calls about roles and replication lists as 0.9 does", async () => {
    const it = modelCluster();
    const [leader, follower = ""] = it.holders();
    const id = { tid: 2, pid: 0 };
    const codes = async (name: string, endpoint: string) => [
      await it.at(name, tablet.addReplica, { ...id, endpoint }),
      await it.at(name, tablet.delReplica, { ...id, endpoint }),
    ];
    expect(await codes(leader, follower)).toMatchObject([
      { code: 119, msg: "replica endpoint already exists" },
      { code: 0, msg: "ok" },
    ]);
    expect(await codes(follower, leader)).toMatchObject([{ code: 103 }, { code: 103 }]);
    const change = (name: string, mode: TableMode) =>
      it.at(name, tablet.changeRole, { ...id, mode, term: 5n });
    expect(await change(leader, LEADER)).toMatchObject({ code: 102, msg: "table is leader" });
    expect(await change(follower, FOLLOWER)).toMatchObject({ code: 0, msg: "table is follower" });
    expect(await it.at(leader, tablet.recoverSnapshot, id)).toMatchObject({ code: 0, msg: "ok" });
    expect(await it.at("tablet1", tablet.changeRole, { tid: 99, pid: 0 })).toMatchObject({
      code: 100,
    });
  });
});

describe("replication", () => {
  it("brings followers up to date that were loaded first, without duplicate rows", async () => {
    const it = await afterOutage();
    const [leader, ...followers] = it.holders();
    it.model.cutBinlog(followers[0] as string, { db: "db1", table: "t0", pid: 0 }, 20);
    for (const name of followers) await load(it, name, { mode: FOLLOWER });
    await load(it, leader, { mode: LEADER, term: 1n, replicas: followers });
    await it.pass(500);
    expect(it.model.healthy().filter((line) => line.includes("t0/0"))).toEqual([]);
    expect(it.model.put(10, { table: "t0", pid: 0 })).toMatchObject([{ accepted: 10, leader }]);
    await it.pass(500);
    const [rows] = it.model.rows({ table: "t0", pid: 0 });
    expect(rows).toMatchObject({ acknowledged: 70, served: 70, lost: 0 });
    expect(rows?.replicas.map((replica) => replica.counted)).toEqual([70, 70, 70]);
  });

  it("puts rows into memory twice when a follower is replicated to before its load starts", async () => {
    const it = await afterOutage({ table: { partitions: 6 }, options: { loadBaseMs: 2_000 } });
    const [leader, follower = ""] = it.holders();
    await load(it, leader, { mode: LEADER, term: 1n, replicas: [follower] });
    await it.pass(2_000);
    // Three other loads precede it in the queue. It waits in the state undefined, and its leader replicates to it.
    for (const pid of [1, 2, 3]) await load(it, follower, { mode: FOLLOWER, pid });
    await load(it, follower, { mode: FOLLOWER });
    await it.pass(6_000);
    const { allTableStatus } = await it.at(follower, tablet.getTableStatus, { tid: 2, pid: 0 });
    expect(allTableStatus).toMatchObject([{ offset: 60n, recordCnt: 120n }]);
    expect(it.model.healthy().join()).toContain(`${follower} has 60 rows twice`);
  });

  it("lets a stale leader and longer followers diverge without an error", async () => {
    const it = await afterOutage();
    const [leader, ...followers] = it.holders();
    it.model.cutBinlog(leader, { db: "db1", table: "t0", pid: 0 }, 30);
    for (const name of followers) await load(it, name, { mode: FOLLOWER });
    await load(it, leader, { mode: LEADER, term: 1n, replicas: followers });
    await it.pass(1_000);
    const [before] = it.model.rows({ table: "t0", pid: 0 });
    expect(before).toMatchObject({ acknowledged: 60, served: 30, lost: 0 });
    it.model.put(40, { table: "t0", pid: 0 });
    await it.pass(2_000);
    const [after] = it.model.rows({ table: "t0", pid: 0 });
    // All replicas are at 70, but the followers hold the 30 old rows instead of the first 30 new ones.
    expect(after).toMatchObject({ acknowledged: 100, served: 70, lost: 0 });
    const held = after?.replicas.map(({ endpoint, held, acknowledged }) => [
      endpoint === leader,
      held,
      acknowledged,
    ]);
    expect(held?.filter(([isLeader]) => !isLeader)).toEqual([
      [false, 70, 70],
      [false, 70, 70],
    ]);
    expect(it.model.healthy().join()).toContain("has other entries than its leader");
  });

  it("refuses a leader of an older term", async () => {
    const it = modelCluster();
    const [leader, follower = ""] = it.holders();
    await it.pass(1_000);
    const id = { tid: 2, pid: 0 };
    await it.at(follower, tablet.changeRole, {
      ...id,
      mode: LEADER,
      term: 8n,
      replicas: [it.holders()[2] as string],
    });
    await it.pass(1_000);
    await it.at(leader, tablet.delReplica, { ...id, endpoint: it.holders()[2] as string });
    await it.at(leader, tablet.addReplica, { ...id, endpoint: it.holders()[2] as string });
    it.model.put(10, { pid: 0 });
    await it.pass(3_000);
    const third = await it.at(it.holders()[2] as string, tablet.getTermPair, id);
    expect(third).toMatchObject({ term: 8n, offset: 0n });
  });

  it("stops if the leader's binlog begins after the follower's next entry", async () => {
    const it = await afterOutage();
    const [leader, follower = ""] = it.holders();
    const dir = it.model.tablet(leader).disk.dir(StorageMode.kMemory, 2, 0);
    dir?.makeSnapshot(1n);
    dir?.trimBinlog();
    it.model.cutBinlog(follower, { db: "db1", table: "t0", pid: 0 }, 10);
    await load(it, follower, { mode: FOLLOWER });
    await load(it, leader, { mode: LEADER, term: 1n, replicas: [follower] });
    await it.pass(10_000);
    const list = await it.at(leader, tablet.getTableFollower, { tid: 2, pid: 0 });
    expect(list).toMatchObject({
      offset: 60n,
      followerInfo: [{ endpoint: follower, offset: 50n }],
    });
  });
});

describe("the row counts", () => {
  it("are exact when the only replicas that had some rows lose them", async () => {
    const it = modelCluster();
    const [leader, ...followers] = it.holders();
    it.model.put(40, { pid: 0 });
    await it.pass(1_000);
    for (const name of followers) it.model.hang(name);
    it.model.put(15, { pid: 0 });
    await it.pass(1_000);
    const ahead = { acknowledged: 55, served: 55, lost: 0 };
    expect(it.model.rows({ pid: 0 })).toMatchObject([ahead]);
    it.model.kill(leader);
    it.model.wipe(leader);
    const [rows] = it.model.rows({ pid: 0 });
    expect(rows).toMatchObject({
      acknowledged: 55,
      leader: undefined,
      served: undefined,
      lost: 15,
    });
    expect(rows?.replicas.map((replica) => replica.acknowledged).sort()).toEqual([0, 40, 40]);
  });

  it("show a loss of at most the unflushed tail after a power failure", async () => {
    const it = modelCluster();
    const [leader] = it.holders();
    it.model.put(40, { pid: 0 });
    await it.pass(60_000);
    it.model.put(20, { pid: 0 });
    it.model.powerLoss(leader);
    const held = it.model.tablet(leader).disk.dir(StorageMode.kMemory, 2, 0)?.offset;
    expect(Number(held)).toBeGreaterThanOrEqual(40);
    expect(Number(held)).toBeLessThan(60);
  });

  it("grow only at the replica that is flagged leader and alive", async () => {
    const it = await afterOutage();
    expect(it.model.put(5, { pid: 0 })).toMatchObject([
      { accepted: 0, refused: "the leader is not loaded" },
    ]);
    await load(it, it.holders()[0], { mode: FOLLOWER });
    expect(it.model.put(5, { pid: 0 })).toMatchObject([
      { accepted: 0, refused: "the tablet runs it as follower" },
    ]);
  });
});

describe("calls", () => {
  it("wait at a stopped process, and are answered when it continues, or reset when it is killed", async () => {
    const { model, clock } = modelCluster();
    model.hang("tablet1");
    const [first, second] = [1, 2].map(() => model.call("t:1", tablet.getTableStatus, {}));
    const transport = modelTransport(model);
    const late = transport.unary("t:1", tablet.getTableStatus, {}, { timeoutMs: 500 });
    await expect(clock.run(late, 5_000)).rejects.toMatchObject({
      code: "deadline",
      retryable: true,
    });
    model.resume("tablet1");
    expect(await clock.run(first as Promise<unknown>, 100)).toMatchObject({ code: 0 });
    expect(await clock.run(second as Promise<unknown>, 100)).toMatchObject({ code: 0 });
    model.hang("tablet1");
    const third = transport.unary("t:1", tablet.getTableStatus, {}, { timeoutMs: 50_000 });
    clock.setTimer(100, () => model.kill("tablet1"));
    await expect(clock.run(third, 5_000)).rejects.toMatchObject({ code: "unreachable" });
    const fourth = transport.unary("t:1", tablet.getTableStatus, {}, { timeoutMs: 500 });
    await expect(clock.run(fourth, 5_000)).rejects.toMatchObject({ code: "unreachable" });
  });

  it("end with the signal, and with the transport", async () => {
    const { model, clock } = modelCluster();
    const transport = modelTransport(model);
    const stop = new AbortController();
    model.hang("nameserver1");
    const options = { timeoutMs: 5_000, signal: stop.signal };
    const call = transport.unary("n:1", server.confGet, {}, options);
    clock.setTimer(100, () => stop.abort());
    await expect(clock.run(call, 1_000)).rejects.toMatchObject({ code: "interrupted" });
    const other = transport.unary("n:1", server.confGet, {}, { timeoutMs: 5_000 });
    clock.setTimer(100, () => transport.close());
    await expect(clock.run(other, 1_000)).rejects.toMatchObject({ code: "unreachable" });
  });

  it("can take effect and lose the answer", async () => {
    const { model, ns, clock } = modelCluster();
    const conf = { key: "auto_failover", value: "true" };
    model.loseAnswers("ConfSet", 1);
    await expect(ns(server.confSet, { conf })).rejects.toMatchObject({ kind: "reset" });
    expect((await ns(server.confGet, {})).conf).toMatchObject([conf]);
    model.loseAnswers("ConfGet", 1, "silence");
    const silent = modelTransport(model).unary("n:1", server.confGet, {}, { timeoutMs: 300 });
    await expect(clock.run(silent, 1_000)).rejects.toMatchObject({ code: "deadline" });
    expect(await ns(server.confGet, {})).toMatchObject({ code: 0 });
  });
});

describe("the virtual clock", () => {
  it("fires timers in order, and reports work that cannot end", async () => {
    const clock = new VirtualClock(0);
    const seen: string[] = [];
    clock.setTimer(20, () => seen.push("b"));
    clock.setTimer(10, () => seen.push("a"));
    clock.setTimer(20, () => seen.push("c"));
    clock.setTimer(15, () => seen.push("never"))();
    await clock.advance(20);
    expect([seen.join(""), clock.now()]).toEqual(["abc", 20]);
    const never = new Promise(() => undefined);
    await expect(clock.run(never, 100)).rejects.toThrow("no timer is left");
    clock.setTimer(1_000, () => undefined);
    await expect(clock.run(never, 100)).rejects.toThrow("has not ended within 100 ms");
    expect(clock.now()).toBe(120);
  });

  it("removes cancelled timers without firing them, and keeps the order of the others", async () => {
    const clock = new VirtualClock(0);
    const random = seededRandom(1);
    const fired: number[] = [];
    const kept: { readonly at: number; readonly number: number }[] = [];
    const cancels: (() => void)[] = [];
    for (let number = 0; number < 20_000; number += 1) {
      const at = random.below(50);
      const cancel = clock.setTimer(at, () => fired.push(number));
      if (random.chance(0.1)) kept.push({ at, number });
      else cancels.push(cancel);
      // Calls cancel their deadlines in this way when they are answered.
      if (cancels.length > 50) cancels.splice(random.below(50), 1)[0]?.();
      expect(clock.timerCount).toBeLessThan(2 * (kept.length + 51) + 1_000);
    }
    for (const cancel of cancels) cancel();
    await clock.advance(100);
    const inOrder = [...kept].sort((a, b) => a.at - b.at || a.number - b.number);
    expect(fired).toEqual(inOrder.map(({ number }) => number));
    // A timer that was cancelled before, or has fired, is not counted again.
    for (const cancel of cancels) cancel();
    expect(clock.timerCount).toBe(0);
  });
});
