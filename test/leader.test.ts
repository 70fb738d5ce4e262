import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Cluster, LoadRequest } from "../src/cluster/cluster.js";
import type { ClusterParts } from "../src/cluster/connect.js";
import { createCluster } from "../src/cluster/connect.js";
import { createGrpcTransport } from "../src/cluster/grpc-transport.js";
import { realClock } from "../src/cluster/real-clock.js";
import { OpsError } from "../src/errors.js";
import {
  ChangeRoleResponseSchema,
  GetTableFollowerResponseSchema,
  GetTableStatusResponseSchema,
  GeneralResponseSchema as TabletAnswerSchema,
  TabletServer,
} from "../src/gen/openmldb/api_pb.js";
import {
  ConfGetResponseSchema,
  GeneralResponseSchema,
  NameServer,
  ShowOPStatusResponseSchema,
  ShowTableResponseSchema,
} from "../src/gen/openmldb/nameserver_pb.js";
import type { BrpcLike, Reply, Seen } from "./helpers/brpc-like.js";
import { startBrpcLike } from "./helpers/brpc-like.js";
import type { MemoryZooKeeper } from "./helpers/memory-zookeeper.js";
import { memoryZooKeeper } from "./helpers/memory-zookeeper.js";
import { startTurnClock } from "./helpers/turn-clock.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) {
    await cleanup();
  }
});

async function serve(...args: Parameters<typeof startBrpcLike>): Promise<BrpcLike> {
  const server = await startBrpcLike(...args);
  cleanups.push(() => server.kill());
  return server;
}

const leaderNode = "/openmldb/leader/lock_request0000000001";

function zkWith(leader: string, more: Record<string, string> = {}): MemoryZooKeeper {
  return memoryZooKeeper({ [leaderNode]: leader, ...more });
}

async function clusterOn(zk: MemoryZooKeeper, more: Partial<ClusterParts> = {}): Promise<Cluster> {
  const cluster = await createCluster({
    zk,
    transport: createGrpcTransport({ authorization: "sdefault" }),
    clock: realClock,
    rootPath: "/openmldb",
    rpcTimeoutMs: 30_000,
    leaderTimeoutMs: 30_000,
    ...more,
  });
  cleanups.push(() => cluster.close());
  return cluster;
}

function bytes<D extends DescMessage>(desc: D, fields: MessageInitShape<D>): Reply {
  return { body: toBinary(desc, create(desc, fields)) };
}

const conf = bytes(ConfGetResponseSchema, {
  code: 0,
  conf: [{ key: "auto_failover", value: "true" }],
});
const done = bytes(GeneralResponseSchema, { code: 0, msg: "ok" });
const notLeader = bytes(GeneralResponseSchema, { code: 300, msg: "nameserver is not leader" });

async function failureOf(call: Promise<unknown>): Promise<OpsError> {
  const error = await call.then(
    () => new Error("the call succeeded"),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OpsError);
  return error as OpsError;
}

const partition = { db: "db1", table: "t", tid: 7, pid: 0 };

describe("calls to the nameserver", () => {
  it("continue at the new leader after a standby has answered 300", async () => {
    const next = await serve(() => conf);
    const zk = zkWith("");
    const old = await serve(() => {
      zk.nodes.set(leaderNode, Buffer.from(next.address));
      return notLeader;
    });
    zk.nodes.set(leaderNode, Buffer.from(old.address));
    const cluster = await clusterOn(zk);
    expect(await cluster.confGet()).toEqual(new Map([["auto_failover", "true"]]));
    expect([old.seen.length, next.seen.length, cluster.callCount()]).toEqual([1, 1, 2]);
    await cluster.confGet();
    expect([old.seen.length, next.seen.length]).toEqual([1, 2]);
  });

  it("continue at the new leader after the old one has died", async () => {
    const old = await serve(() => conf);
    const zk = zkWith(old.address);
    const cluster = await clusterOn(zk);
    await cluster.confGet();
    await old.kill();
    const call = Promise.all(Array.from({ length: 20 }, () => cluster.confGet()));
    const next = await serve(() => conf);
    // As after a session timeout, no nameserver is registered for a moment, which the cluster observes.
    zk.nodes.delete(leaderNode);
    zk.nodes.set("/openmldb/leader", Buffer.alloc(0));
    const reads = vi.spyOn(zk, "getChildren");
    await expect.poll(() => reads.mock.calls.length).toBeGreaterThan(1);
    zk.nodes.set(`${leaderNode}1`, Buffer.from(next.address));
    expect((await call).length).toBe(20);
    expect(next.seen.length).toBe(20);
  });

  it("are repeated only while permitted: not for a run that has lost its lock", async () => {
    const server = await serve(() => notLeader);
    const cluster = await clusterOn(zkWith(server.address));
    let asked = 0;
    const attempt = cluster.repeatingWhile(async () => {
      asked += 1;
      if (asked > 2) throw new OpsError({ code: "lock-lost", message: "the lock was lost" });
    });
    const mark = { ...partition, endpoint: "a:1" };
    expect(await failureOf(attempt.updateTableAlive(mark, false))).toMatchObject({
      code: "lock-lost",
    });
    // The first call, and the two that were permitted.
    expect([asked, server.seen.length, cluster.callCount()]).toEqual([3, 3, 3]);
  });

  it("fail within their limit when all nameservers are down", async () => {
    const server = await serve(() => conf);
    await server.kill();
    const cluster = await clusterOn(zkWith(server.address), { leaderTimeoutMs: 700 });
    const start = startTurnClock();
    const error = await failureOf(cluster.showTablet());
    expect(error).toMatchObject({ code: "unreachable", endpoint: server.address });
    expect(error.message).toMatch(
      /connection refused.*; no nameserver took the call within \d+ ms$/,
    );
    expect(start()).toBeLessThan(1500);
    expect(cluster.callCount()).toBeGreaterThan(2);
  });

  it("fail within their limit when the leader never finishes its takeover", async () => {
    const server = await serve(() => notLeader);
    const cluster = await clusterOn(zkWith(server.address), { leaderTimeoutMs: 400 });
    const error = await failureOf(cluster.confSet("auto_failover", "true"));
    expect(error).toMatchObject({ code: "rejected", responseCode: 300 });
  });

  it("fail at once if no nameserver was ever registered", async () => {
    const cluster = await clusterOn(memoryZooKeeper({ "/openmldb/leader": "" }));
    const start = startTurnClock();
    expect((await failureOf(cluster.confGet())).code).toBe("no-leader");
    expect(start()).toBeLessThan(500);
  });

  it("end soon when the server drops the connection", async () => {
    const server = await serve(() => conf, { authorization: "uroot:1x" });
    const cluster = await clusterOn(zkWith(server.address), { leaderTimeoutMs: 30_000 });
    const start = startTurnClock();
    const error = await failureOf(cluster.confGet());
    expect(error.hint).toContain("--password_file");
    expect(cluster.callCount()).toBe(3);
    expect(start()).toBeLessThan(2000);
  });

  it("are not repeated after a refusal", async () => {
    const server = await serve(() =>
      bytes(GeneralResponseSchema, { code: 321, msg: "no pid has update" }),
    );
    const cluster = await clusterOn(zkWith(server.address));
    const target = { db: "", table: "t", endpoint: "x:1" };
    expect(await failureOf(cluster.updateTableAlive(target, false))).toMatchObject({
      code: "rejected",
      responseCode: 321,
    });
    expect(server.seen.length).toBe(1);
  });

  it("end when the run is stopped, also in a pause", async () => {
    const server = await serve(() => notLeader);
    const controller = new AbortController();
    const cluster = await clusterOn(zkWith(server.address), { signal: controller.signal });
    const failure = failureOf(cluster.confGet());
    await expect.poll(() => server.seen.length).toBeGreaterThan(1);
    const start = startTurnClock();
    controller.abort();
    expect((await failure).code).toBe("interrupted");
    expect(start()).toBeLessThan(600);
    expect((await failureOf(cluster.topology())).code).toBe("interrupted");
  });

  it("treat an answer without a code as invalid", async () => {
    const server = await serve(() => ({ body: Buffer.alloc(0) }));
    const cluster = await clusterOn(zkWith(server.address));
    expect((await failureOf(cluster.showTablet())).message).toContain("no response code");
    expect(server.seen.length).toBe(1);
  });
});

describe("recoverTable", () => {
  it("is repeated after 300 and after a refused connection", async () => {
    const next = await serve(() => done);
    const dead = await serve(() => done);
    await dead.kill();
    const zk = zkWith("");
    const standby = await serve(() => {
      zk.nodes.set(leaderNode, Buffer.from(dead.address));
      return notLeader;
    });
    zk.nodes.set(leaderNode, Buffer.from(standby.address));
    const cluster = await clusterOn(zk);
    const call = cluster.recoverTable(partition, "tablet:1");
    // The first call is answered with 300, at least one more is refused.
    await expect.poll(() => cluster.callCount()).toBeGreaterThan(2);
    zk.nodes.set(leaderNode, Buffer.from(next.address));
    await call;
    expect([standby.seen.length, next.seen.length]).toEqual([1, 1]);
    expect(cluster.callCount()).toBeGreaterThanOrEqual(3);
    expect(fromBinary(NameServer.method.recoverTable.input, next.seen[0]!.body)).toMatchObject({
      name: "t",
      pid: 0,
      endpoint: "tablet:1",
      db: "db1",
    });
  });

  it.each(["reset", "drop", "silence"] as const)(
    "is not repeated after %s, which may have taken effect",
    async (reply) => {
      const server = await serve(() => reply);
      // Only the silent server is to meet the deadline, also on a busy machine.
      const rpcTimeoutMs = reply === "silence" ? 2_000 : 30_000;
      const cluster = await clusterOn(zkWith(server.address), { rpcTimeoutMs });
      const error = await failureOf(cluster.recoverTable(partition, "tablet:1"));
      expect(error.code).toBe(reply === "silence" ? "deadline" : "unreachable");
      expect(error.retryable).toBe(true);
      expect(server.seen.length).toBe(1);
    },
  );

  it("while a read is repeated after a reset", async () => {
    let calls = 0;
    const server = await serve(() => {
      calls += 1;
      return calls === 1 ? "reset" : conf;
    });
    const cluster = await clusterOn(zkWith(server.address));
    expect((await cluster.confGet()).size).toBe(1);
    expect(server.seen.length).toBe(2);
  });
});

describe("requests to the nameserver", () => {
  const table = (name: string, db: string) => ({ name, db, tid: 1 });

  it("ShowTable: all with show_all alone, one by name and database, and the answer filtered", async () => {
    const server = await serve(() =>
      bytes(ShowTableResponseSchema, {
        code: 0,
        tableInfo: [table("t", ""), table("t", "db1"), table("u", "db1")],
      }),
    );
    const cluster = await clusterOn(zkWith(server.address));
    expect((await cluster.showTable()).length).toBe(3);
    expect((await cluster.showTable({ db: "db1", table: "t" })).map(({ db }) => db)).toEqual([
      "db1",
    ]);
    expect((await cluster.showTable({ db: "", table: "t" })).map(({ db }) => db)).toEqual([""]);
    expect(await cluster.showTable({ db: "db2", table: "t" })).toEqual([]);
    const requests = server.seen.map(({ body }) => body.toString("hex"));
    expect(requests).toEqual(["1801", "0a0174" + "1203646231", "0a0174", "0a0174" + "1203646232"]);
  });

  it("UpdateTableAliveStatus: pid and db only where they are given", async () => {
    const server = await serve(() => done);
    const cluster = await clusterOn(zkWith(server.address));
    await cluster.updateTableAlive({ db: "", table: "t", endpoint: "a" }, false);
    await cluster.updateTableAlive({ db: "d", table: "t", endpoint: "a", pid: 0 }, true);
    expect(server.seen.map(({ body }) => body.toString("hex"))).toEqual([
      "0a0174" + "120161" + "2000",
      "0a0174" + "120161" + "1800" + "2001" + "2a0164",
    ]);
  });

  it("ShowOPStatus: ops come oldest first, compared as 64-bit numbers", async () => {
    const op = (opId: bigint) => ({
      opId,
      opType: "kRecoverTableOP",
      status: "kDone",
      startTime: 1n,
      endTime: 2n,
      taskType: "-",
    });
    const ids = [2n ** 53n + 1n, 3n, 2n ** 64n - 1n, 2n ** 53n];
    const server = await serve(() =>
      bytes(ShowOPStatusResponseSchema, { code: 0, opStatus: ids.map(op) }),
    );
    const cluster = await clusterOn(zkWith(server.address));
    const wanted = [3n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 64n - 1n];
    expect((await cluster.showOpStatus()).map(({ id }) => id)).toEqual(wanted);
  });
});

describe("calls to tablets", () => {
  const load: LoadRequest = {
    ...partition,
    segCount: 8,
    storageMode: "hdd",
    role: "leader",
    term: 2n ** 64n - 1n,
    followers: ["b", "c"],
  };

  it("go to the address behind a server name, and follow it when it changes", async () => {
    const status = bytes(GetTableStatusResponseSchema, {
      code: 0,
      allTableStatus: [{ tid: 7, pid: 0 }],
    });
    const first = await serve(() => status);
    const second = await serve(() => status);
    const zk = zkWith("ns:1", { "/openmldb/map/names/tablet-a": first.address });
    const cluster = await clusterOn(zk);
    expect((await cluster.getTableStatus("tablet-a")).length).toBe(1);
    await first.kill();
    const error = await failureOf(cluster.getTableStatus("tablet-a"));
    expect(error.endpoint).toBe("tablet-a");
    expect(error.message).toContain("tablet-a: GetTableStatus at 127.0.0.1:");
    zk.nodes.set("/openmldb/map/names/tablet-a", Buffer.from(second.address));
    expect((await cluster.getTableStatus("tablet-a", { tid: 7, pid: 0 })).length).toBe(1);
    expect(second.seen[0]?.body.toString("hex")).toBe("08071000");
  });

  it('LoadTable carries role, term, storage mode and followers; "loaded already" counts as success', async () => {
    const server = await serve(() =>
      bytes(TabletAnswerSchema, { code: 101, msg: "table already exists" }),
    );
    const cluster = await clusterOn(zkWith("ns:1"));
    await cluster.loadTable(server.address, load);
    await cluster.loadTable(server.address, {
      ...load,
      db: "",
      storageMode: "memory",
      role: "follower",
      term: 0n,
      followers: [],
    });
    const requests = server.seen.map(
      ({ body }) => fromBinary(TabletServer.method.loadTable.input, body).tableMeta,
    );
    expect(requests[0]).toMatchObject({
      tid: 7,
      name: "t",
      pid: 0,
      segCnt: 8,
      replicas: ["b", "c"],
      mode: 1,
      term: 2n ** 64n - 1n,
      db: "db1",
      storageMode: 3,
    });
    // All fields except the database are on the wire, even those that equal the default.
    expect(server.seen[1]?.body.toString("hex")).toBe(
      "0a10" + "0807" + "120174" + "1800" + "2008" + "3002" + "3800" + "880101",
    );
  });

  it("an unknown storage mode is not sent", async () => {
    const server = await serve(() => bytes(TabletAnswerSchema, { code: 0 }));
    const cluster = await clusterOn(zkWith("ns:1"));
    const unknown = { ...load, storageMode: "unknown" as const };
    expect((await failureOf(cluster.loadTable(server.address, unknown))).code).toBe("bad-answer");
    expect((await failureOf(cluster.recoverSnapshot(server.address, unknown))).code).toBe(
      "bad-answer",
    );
    expect(server.seen).toEqual([]);
  });

  it("a failed LoadTable reports the reason", async () => {
    const server = await serve(() =>
      bytes(TabletAnswerSchema, { code: 131, msg: "fail to init table" }),
    );
    const cluster = await clusterOn(zkWith("ns:1"));
    const error = await failureOf(cluster.loadTable(server.address, load));
    expect(error).toMatchObject({ code: "rejected", responseCode: 131, endpoint: server.address });
    expect(error.message).toContain("fail to init table");
    expect(error.hint).toContain("directory");
  });

  it("ChangeRole accepts the requested role only", async () => {
    let code = 102;
    const server = await serve(() => bytes(ChangeRoleResponseSchema, { code }));
    const cluster = await clusterOn(zkWith("ns:1"));
    const role = { tid: 7, pid: 0, term: 3n, followers: ["b"] };
    await cluster.changeRole(server.address, { ...role, role: "leader" });
    expect(
      (await failureOf(cluster.changeRole(server.address, { ...role, role: "follower" })))
        .responseCode,
    ).toBe(102);
    code = 103;
    await cluster.changeRole(server.address, { ...role, role: "follower" });
    const requests = server.seen.map(({ body }) => body.toString("hex"));
    expect(requests[0]).toBe("0807" + "1000" + "1803" + "2001" + "2a0162");
    expect(requests[2]).toBe("0807" + "1000" + "2002");
  });

  it('GetTableFollower treats "no follower" as an empty list', async () => {
    let reply = bytes(GetTableFollowerResponseSchema, { code: 134, offset: 90n });
    const server = await serve(() => reply);
    const cluster = await clusterOn(zkWith("ns:1"));
    expect(await cluster.getTableFollower(server.address, partition)).toEqual({
      offset: 90n,
      followers: new Map(),
    });
    reply = bytes(GetTableFollowerResponseSchema, { code: 103, msg: "table is follower" });
    expect(
      (await failureOf(cluster.getTableFollower(server.address, partition))).responseCode,
    ).toBe(103);
  });

  it("a read is repeated after its connection broke, a change is not", async () => {
    const replies = new Map<string, number>();
    const server = await serve(({ path }: Seen) => {
      const calls = (replies.get(path) ?? 0) + 1;
      replies.set(path, calls);
      return calls === 1 ? "reset" : bytes(GetTableStatusResponseSchema, { code: 0 });
    });
    const cluster = await clusterOn(zkWith("ns:1"));
    expect(await cluster.getTableStatus(server.address)).toEqual([]);
    expect((await failureOf(cluster.loadTable(server.address, load))).code).toBe("unreachable");
    expect([...replies.values()]).toEqual([2, 1]);
  });

  it("a read of a dead tablet is repeated for a moment, the next reads and a change are not", async () => {
    const server = await serve(() => conf);
    await server.kill();
    const cluster = await clusterOn(zkWith("ns:1"), { rpcTimeoutMs: 10_000 });
    expect((await failureOf(cluster.getTableStatus(server.address))).code).toBe("unreachable");
    expect(cluster.callCount()).toBe(3);
    await failureOf(cluster.getTableStatus(server.address));
    expect(cluster.callCount()).toBe(4);
    const id = { tid: 1, pid: 0 };
    expect((await failureOf(cluster.delReplica(server.address, id, "b:1"))).code).toBe(
      "unreachable",
    );
    expect(cluster.callCount()).toBe(5);
  });
});
