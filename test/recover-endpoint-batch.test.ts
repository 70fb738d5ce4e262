import { setMaxListeners } from "node:events";
import { describe, expect, test } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import { OpsError } from "../src/errors.js";
import { type RecoverOptions, recoverData } from "../src/execution/recover.js";
import { OPType, TaskStatus } from "../src/gen/openmldb/api_pb.js";
import type { ReplicaReport, TableClaim } from "../src/model/cluster-state.js";
import { createGuard, type Guard } from "../src/run/guard.js";
import { protectCluster } from "../src/run/protected-cluster.js";
import type { ModelOptions } from "../src/sandbox/model/model-types.js";
import { metaOf, partitionOf } from "../src/sandbox/table-store.js";
import { isBatchFaster, recoveredByEndpoint } from "../src/steps/recover-endpoint-batch.js";
import { again, print } from "./helpers/printing.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const DAY = 86_400_000;
const TABLETS = ["a:9527", "b:9527", "c:9527"];

/** Tables t0, t1, ... of db1 with 20 rows in each partition; all tablets were restarted. */
async function brokenCluster(
  spec: { readonly tables: number; readonly partitions: number; readonly singles?: number },
  model: Partial<ModelOptions> = {},
): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({ model });
  const { tables, partitions, singles = 0 } = spec;
  for (let index = 0; index < tables + singles; index += 1) {
    const replicas = index < tables ? 3 : 1;
    virtual.model.createTable({ db: "db1", table: `t${index}`, partitions, replicas });
  }
  virtual.model.put(20);
  await virtual.pass(5_000);
  virtual.model.outage();
  await virtual.pass(30_000);
  return virtual;
}

/**
 * A run: its requests to the nameserver, in order, such as `RecoverEndpoint a:9527`, its duration and
 * its result.
 */
interface Ran {
  readonly asked: string[];
  readonly tookMs: number;
  readonly result: Awaited<ReturnType<typeof recoverData>>;
}

/** Runs a documented recovery in which `changes` replace calls of the cluster. */
async function recover(
  virtual: VirtualCluster,
  changes: Partial<Cluster> = {},
  options: Partial<RecoverOptions> = {},
): Promise<Ran> {
  const { cluster: real, clock } = virtual;
  const cluster = { ...real, ...changes };
  const asked: string[] = [];
  const { signal = new AbortController().signal } = options;
  setMaxListeners(0, signal);
  const began = clock.now();
  const run = recoverData(
    {
      ...cluster,
      recoverTable(id, endpoint) {
        asked.push(`RecoverTable ${endpoint} ${id.table}:${id.pid}`);
        return cluster.recoverTable(id, endpoint);
      },
      recoverEndpoint(endpoint, how) {
        expect(how).toEqual({ needRestore: false, concurrency: 8 });
        asked.push(`RecoverEndpoint ${endpoint}`);
        return cluster.recoverEndpoint(endpoint, how);
      },
    },
    {
      method: "documented",
      limits: LIMITS,
      onEvent: (event) => virtual.events.push(event),
      again,
      print,
      ...options,
      signal,
    },
  );
  const result = await clock.run(run, DAY);
  return { asked, tookMs: clock.now() - began, result };
}

function expectHealthy({ model }: VirtualCluster): void {
  expect(model.healthy()).toEqual([]);
  for (const rows of model.rows()) expect(rows).toMatchObject({ served: 20, lost: 0 });
}

/** Tablets that RecoverEndpoint was asked for. */
function together({ asked }: Ran): string[] {
  return asked.flatMap((one) => /^RecoverEndpoint (.*)/.exec(one)?.[1] ?? []).sort();
}

/** Replicas that RecoverTable was asked for. */
function alone({ asked }: Ran): string[] {
  return asked.filter((one) => one.startsWith("RecoverTable"));
}

function flag(virtual: VirtualCluster, endpoint: string, table: string, isAlive: boolean): void {
  const { tables } = virtual.model;
  const info = tables.find(table, "db1") ?? fail();
  const meta = metaOf(partitionOf(info, 0) ?? fail(), endpoint) ?? fail();
  meta.isAlive = isAlive;
  tables.save(info);
}

function fail(): never {
  throw new Error("there is no such replica");
}

/**
 * Calls `act` at the nth observation of the record of all tables by the batch of RecoverEndpoint calls.
 */
function atObservation(virtual: VirtualCluster, nth: number, act: () => void): Partial<Cluster> {
  let looks = 0;
  return {
    showTable(of) {
      // The first one is the observation of the whole cluster.
      if (of === undefined) {
        if (looks === nth) act();
        looks += 1;
      }
      return virtual.cluster.showTable(of);
    },
  };
}

describe("followers of whole tablets", () => {
  test("are recovered with RecoverEndpoint, in a fraction of the time of RecoverTable", async () => {
    const virtual = await brokenCluster({ tables: 6, partitions: 8, singles: 1 });
    const ran = await recover(virtual);
    expect(together(ran)).toEqual(TABLETS);
    expect(alone(ran)).toEqual([]);
    expectHealthy(virtual);
    // A nameserver with fewer queues refuses a concurrency of 8 with 307, so this run does not use RecoverEndpoint.
    const other = await brokenCluster(
      { tables: 6, partitions: 8, singles: 1 },
      { taskConcurrencyMax: 4 },
    );
    const refused = await recover(other);
    expect(together(refused)).toEqual(TABLETS);
    expect(alone(refused)).toHaveLength(96);
    expectHealthy(other);
    expect(ran.tookMs / refused.tookMs).toBeLessThan(0.4);
  });

  test("are recovered in this way by the direct method too, if a disk was wiped", async () => {
    const virtual = await brokenCluster({ tables: 2, partitions: 8 });
    virtual.model.kill("a:9527");
    virtual.model.wipe("a:9527");
    virtual.model.restart("a:9527");
    await virtual.pass(30_000);
    const ran = await recover(virtual, {}, { method: "direct" });
    expect(together(ran)).toEqual(["a:9527"]);
    expect(alone(ran)).toEqual([]);
    expectHealthy(virtual);
  });

  test("whose ops fail are recovered with RecoverTable", async () => {
    const virtual = await brokenCluster({ tables: 2, partitions: 8 });
    virtual.model.failOp("kRecoverTable", 3);
    const ran = await recover(virtual);
    expect(together(ran)).toEqual(TABLETS);
    expect(alone(ran)).toHaveLength(3);
    expect(ran.result).toMatchObject({ report: { partitions: { length: 16 } } });
    expectHealthy(virtual);
  });

  test("are not requested again if the answer was lost", async () => {
    const virtual = await brokenCluster({ tables: 2, partitions: 8 });
    const ran = await recover(virtual, {
      async recoverEndpoint(...args) {
        await virtual.cluster.recoverEndpoint(...args);
        throw new OpsError({ code: "unreachable", message: "connection reset", retryable: true });
      },
    });
    expect(together(ran)).toEqual(TABLETS);
    expect(alone(ran)).toEqual([]);
    expectHealthy(virtual);
  });

  test("never have two ops of one partition, and one tablet is recovered at a time", async () => {
    const virtual = await brokenCluster({ tables: 3, partitions: 8 });
    const active = () =>
      (virtual.model.leader?.ops.list() ?? []).filter(
        ({ info }) =>
          info.taskStatus === TaskStatus.kInited || info.taskStatus === TaskStatus.kDoing,
      );
    await recover(virtual, {
      recoverEndpoint(...args) {
        expect(active()).toEqual([]);
        return virtual.cluster.recoverEndpoint(...args);
      },
    });
    expectHealthy(virtual);
  });
});

describe("RecoverEndpoint is not requested", () => {
  test("if it would not be faster", async () => {
    const virtual = await brokenCluster({ tables: 12, partitions: 1 });
    let most = 0;
    const ran = await recover(
      virtual,
      {
        async recoverTable(...args) {
          await virtual.cluster.recoverTable(...args);
          const ops = virtual.model.leader?.ops.list() ?? [];
          const isOpen = (status: TaskStatus) =>
            status === TaskStatus.kInited || status === TaskStatus.kDoing;
          const open = ops.filter(
            ({ info }) => info.opType === OPType.kRecoverTableOP && isOpen(info.taskStatus),
          );
          most = Math.max(most, open.length);
        },
      },
      { limits: { ...LIMITS, concurrency: 4 } },
    );
    expect(together(ran)).toEqual([]);
    expect(alone(ran)).toHaveLength(24);
    expect(most).toBeLessThanOrEqual(4);
    expectHealthy(virtual);
  });

  test("if it would recover a follower of a table that was not selected", async () => {
    const virtual = await brokenCluster({ tables: 2, partitions: 8 });
    flag(virtual, "a:9527", "t1", false);
    const ran = await recover(virtual, {}, { only: { db: "db1", table: "t0" } });
    expect(together(ran)).toEqual(["b:9527", "c:9527"]);
    expect(alone(ran).every((one) => one.startsWith("RecoverTable a:9527 t0:"))).toBe(true);
    const ops = virtual.model.leader?.ops.list() ?? [];
    expect(ops.filter(({ info }) => info.name === "t1")).toEqual([]);
  });

  test("if a follower there may hold rows that its leader lost", async () => {
    const virtual = await brokenCluster({ tables: 1, partitions: 8 });
    const of = { db: "db1", table: "t0", pid: 0 };
    const [before] = virtual.model.rows(of);
    const info = virtual.model.tables.find("t0", "db1") ?? fail();
    const leader =
      partitionOf(info, 0)?.partitionMeta.find((meta) => meta.isLeader)?.endpoint ?? fail();
    virtual.model.cutBinlog(leader, of, 5);
    const ran = await recover(virtual);
    // All replicas are marked dead and left alone, the leader that lacks rows too.
    expect(together(ran)).toEqual([]);
    expect(alone(ran)).toHaveLength(14);
    expect(alone(ran).some((one) => one.endsWith("t0:0"))).toBe(false);
    const [after] = virtual.model.rows(of);
    const followers = (rows: typeof after) =>
      rows?.replicas.filter((one) => one.endpoint !== leader).map((one) => one.held);
    expect(followers(after)).toEqual(followers(before));
    expect(after?.lost).toBe(0);
  });

  test("if one of them was marked alive in the meantime", async () => {
    const virtual = await brokenCluster({ tables: 1, partitions: 8 });
    const info = virtual.model.tables.find("t0", "db1") ?? fail();
    const follower = partitionOf(info, 0)?.partitionMeta.find((meta) => !meta.isLeader) ?? fail();
    // Each of the three tablets is observed once before its turn, and again in it.
    for (const nth of [1, 4]) {
      const again = await brokenCluster({ tables: 1, partitions: 8 });
      const act = () => flag(again, follower.endpoint, "t0", true);
      const ran = await recover(again, atObservation(again, nth, act));
      expect(together(ran)).toEqual(TABLETS.filter((one) => one !== follower.endpoint));
      expectHealthy(again);
    }
  });

  test("if an op of another client began in the meantime", async () => {
    const virtual = await brokenCluster({ tables: 1, partitions: 8 });
    const { cluster, clock, model } = virtual;
    let foreign = "";
    const act = () => {
      const info = model.tables.find("t0", "db1") ?? fail();
      const meta = partitionOf(info, 1)?.partitionMeta.find((one) => !one.isLeader) ?? fail();
      foreign = meta.endpoint;
      const id = { db: "db1", table: "t0", tid: info.tid, pid: 1 };
      clock.setTimer(1, () => void cluster.recoverTable(id, foreign));
    };
    const ran = await recover(virtual, atObservation(virtual, 3, act));
    expect(together(ran)).not.toContain(foreign);
    expectHealthy(virtual);
  });
});

test.each([500, 1_500, 30_000])(
  "a stop %i ms after the start of the wait takes effect at once",
  async (ms) => {
    const virtual = await brokenCluster({ tables: 4, partitions: 8 });
    const { clock } = virtual;
    const stop = new AbortController();
    let stoppedAt = 0;
    const onEvent: RecoverOptions["onEvent"] = (event) => {
      if (event.kind !== "step-started" || event.step.kind !== "recover-table") return;
      if (stoppedAt > 0) return;
      stoppedAt = clock.now() + ms;
      clock.setTimer(ms, () =>
        stop.abort(new OpsError({ code: "interrupted", message: "stopped" })),
      );
    };
    const ran = await recover(virtual, {}, { signal: stop.signal, onEvent });
    expect(ran.result).toMatchObject({ error: { code: "interrupted" } });
    expect(clock.now() - stoppedAt).toBeLessThan(100);
    const asked = ran.asked.length;
    expect(asked).toBe(ms > 1_000 ? 1 : 0);
    await virtual.pass(60_000);
    expect(ran.asked).toHaveLength(asked);
    await virtual.pass(300_000);
    await recover(virtual);
    expectHealthy(virtual);
  },
);

test.each([
  [true, TABLETS],
  [false, TABLETS.slice(0, 1)],
])(
  "auto_failover that another client switches on before it (keep_off: %j)",
  async (keepsOff, asked) => {
    const virtual = await brokenCluster({ tables: 1, partitions: 8 }, { autoFailover: true });
    const { cluster: real, model } = virtual;
    const stop = new AbortController();
    let guard: Guard | undefined;
    let isFirst = true;
    const inner: Cluster = {
      ...real,
      recoverEndpoint(...args) {
        if (isFirst && model.leader !== undefined) model.leader.autoFailover = true;
        isFirst = false;
        return real.recoverEndpoint(...args);
      },
      repeatingWhile: () => inner,
    };
    const guarded = protectCluster(inner, {
      checkLock: () => Promise.resolve(),
      signal: stop.signal,
      guard: () => guard,
      onSwitchedOn: (error) => stop.abort(error),
    });
    const ran = await recover(virtual, guarded, {
      signal: stop.signal,
      async createGuard(before) {
        guard = createGuard({ cluster: real, before, keepsOff, onEvent: () => undefined });
        return guard;
      },
    });
    expect(together(ran)).toHaveLength(asked.length);
    expect(model.leader?.autoFailover).toBe(true);
    if (keepsOff) expectHealthy(virtual);
    else expect(ran.result).toMatchObject({ error: { code: "auto-failover-on" } });
    expect(alone(ran)).toEqual([]);
  },
);

test("the longest queue decides whether it is faster", () => {
  expect(isBatchFaster([])).toBe(false);
  expect(isBatchFaster([0])).toBe(false);
  expect(isBatchFaster([0, 0, 0, 0])).toBe(false);
  expect(isBatchFaster([0, 1])).toBe(false);
  expect(isBatchFaster([0, 8])).toBe(false);
  expect(isBatchFaster([0, 2])).toBe(true);
  expect(isBatchFaster([0, 1, 2])).toBe(true);
});

test("RecoverEndpoint recovers what is not marked alive on that tablet, and single replicas that do not serve", () => {
  const replica = (endpoint: string, isAlive: boolean) => ({
    endpoint,
    isLeader: false,
    isAlive,
    offset: undefined,
    recordCount: undefined,
    memoryBytes: undefined,
    diskBytes: 0n,
  });
  const parts = [
    [replica("a", false), replica("b", true)],
    [replica("a", true), replica("b", false)],
    [replica("b", false), replica("c", false)],
    [replica("a", true)],
    [replica("a", false)],
    [replica("a", true)],
  ];
  const table: TableClaim = {
    db: "db1",
    table: "t0",
    tid: 7,
    segCount: 8,
    storageMode: "memory",
    replicaCount: 2,
    compressType: "kNoCompress",
    partitions: parts.map((replicas, pid) => ({ pid, replicas, terms: [] })),
  };
  const serving: ReplicaReport = {
    tid: 7,
    pid: 3,
    role: "leader",
    state: "normal",
    offset: 1n,
    recordCount: 1n,
    memoryBytes: 0n,
    indexBytes: 0n,
    diskBytes: 0n,
  };
  const reports = new Map([
    ["7/3", serving],
    ["7/5", { ...serving, pid: 5, role: "follower" }],
  ]);
  expect([...recoveredByEndpoint([table], "a", reports)]).toEqual(["7/0", "7/4", "7/5"]);
  expect([...recoveredByEndpoint([table], "b", reports)]).toEqual(["7/1", "7/2"]);
});
