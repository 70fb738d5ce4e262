import { describe, expect, test } from "vitest";
import { OpsError } from "../src/errors.js";
import type { Operation } from "../src/operations/operation.js";
import { postUpgradeOperation } from "../src/operations/post-upgrade.js";
import { preUpgradeOperation } from "../src/operations/pre-upgrade.js";
import type { StatLine, StatStore } from "../src/operations/statfile.js";
import { print } from "./helpers/printing.js";
import {
  A,
  killable,
  ledBy,
  memoryStore,
  rowsOf,
  scale,
  scaledCluster,
  spread,
  unserved,
  watch,
} from "./helpers/scaling.js";
import type { VirtualCluster } from "./helpers/virtual-cluster.js";

const pre = (store: StatStore, allowsSingle = false, endpoint = A) =>
  preUpgradeOperation({ endpoint, store, allowsSingle, concurrency: 4, print });
const post = (store: StatStore, endpoint = A) =>
  postUpgradeOperation({ endpoint, store, concurrency: 4, print });

async function refusal(virtual: VirtualCluster, operation: Operation): Promise<string> {
  try {
    await scale(virtual, operation);
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "refused") throw thrown;
    return [thrown.message, thrown.hint ?? "", ...thrown.details].join("\n");
  }
  throw new Error("it was not refused");
}

/** Stops tablet a, as an upgrade does, and starts it again; it has nothing loaded then. */
async function restart(virtual: VirtualCluster): Promise<void> {
  virtual.model.kill("tablet1");
  await virtual.pass(15_000);
  virtual.model.restart("tablet1");
  await virtual.pass(15_000);
}

/** Replicas of each partition of db1.t0. */
function replicaCounts({ model }: VirtualCluster): number[] {
  const parts = model.tables.find("t0", "db1")?.tablePartition ?? [];
  return parts.map((part) => part.partitionMeta.length);
}

describe("pre-upgrade and post-upgrade", () => {
  test.each([
    { replicas: 3, partitions: 10, restarts: false },
    { replicas: 2, partitions: 10, restarts: false },
    { replicas: 1, partitions: 10, restarts: false },
    { replicas: 3, partitions: 10, restarts: true },
    { replicas: 2, partitions: 10, restarts: true },
    { replicas: 1, partitions: 10, restarts: true },
  ])(
    "no leader is left, the same leaders are restored, every partition serves in between: $replicas replicas of $partitions partitions, 50,000 rows, restart $restarts",
    async ({ replicas, partitions, restarts }) => {
      const virtual = await scaledCluster({ replicas, partitions, autoFailover: !restarts });
      const before = ledBy(virtual, A);
      expect(spread(virtual).leaders[A]).toBeGreaterThan(0);
      const store = memoryStore();
      const looked = watch(virtual);
      const first = await scale(virtual, pre(store));
      expect(first?.complaints).toEqual([]);
      expect(ledBy(virtual, A)).toBe(0);
      expect(virtual.model.healthy()).toEqual([]);
      expect(store.lines()).toHaveLength(before);
      looked.stop();
      if (restarts) await restart(virtual);
      expect(unserved(virtual.model)).toBe(0);
      const again = watch(virtual);
      const second = await scale(virtual, post(store));
      again.stop();
      expect(second?.complaints).toEqual([]);
      await virtual.pass(5_000);
      expect(virtual.model.healthy()).toEqual([]);
      expect(ledBy(virtual, A)).toBe(before);
      expect(replicaCounts(virtual)).toEqual(Array(partitions).fill(replicas));
      expect(store.lines()).toBeUndefined();
      expect(rowsOf(virtual.model)).toBe(50_000);
      expect(unserved(virtual.model)).toBe(0);
      for (const one of [looked, again]) {
        expect(one.gaps).toEqual([]);
        expect(one.mostDead()).toBeLessThanOrEqual(1);
        expect(one.longestWithoutLeader()).toBeLessThan(3_000);
      }
    },
  );

  test("rows that clients write meanwhile are not lost", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 4, rows: 400 });
    const write = () => {
      virtual.model.put(1, { db: "db1" });
      virtual.clock.setTimer(50, write);
    };
    write();
    const store = memoryStore();
    expect((await scale(virtual, pre(store)))?.complaints).toEqual([]);
    expect(ledBy(virtual, A)).toBe(0);
    expect((await scale(virtual, post(store)))?.complaints).toEqual([]);
    expect(rowsOf(virtual.model)).toBeGreaterThan(400);
    expect(unserved(virtual.model)).toBe(0);
  });

  test("auto_failover is as before after each of them", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 2, rows: 20 });
    const store = memoryStore();
    for (const operation of [pre(store), post(store)]) {
      await scale(virtual, operation);
      const conf = await virtual.clock.run(virtual.cluster.confGet(), 10_000);
      expect(conf.get("auto_failover")).toBe("true");
    }
  });
});

describe("pre-upgrade", () => {
  test("with --allow_single_replica single replicas stay, and are listed; nothing is copied", async () => {
    const virtual = await scaledCluster({ replicas: 1, partitions: 5, rows: 50 });
    const own = spread(virtual).leaders[A] ?? 0;
    const store = memoryStore();
    const report = await scale(virtual, pre(store, true));
    expect(report?.complaints).toEqual([]);
    expect(ledBy(virtual, A)).toBe(own);
    expect(report?.plan.steps.some((step) => step.kind === "add-replica")).toBe(false);
    expect(report?.plan.notes.filter((note) => note.includes("out of service"))).toHaveLength(own);
    await virtual.clock.run(virtual.cluster.confSet("auto_failover", "false"), 10_000);
    await restart(virtual);
    expect((await scale(virtual, post(store)))?.complaints).toEqual([]);
    expect(virtual.model.healthy()).toEqual([]);
    expect(unserved(virtual.model)).toBe(0);
  });

  test("each line is in the statfile before its partition is changed", async () => {
    const virtual = await scaledCluster({
      replicas: 1,
      partitions: 4,
      rows: 40,
      autoFailover: false,
    });
    const store = memoryStore();
    const life = killable(virtual.cluster, 0);
    await scale(virtual, pre(store), life);
    expect(virtual.model.healthy()).toEqual([]);
    expect(store.lines()?.length).toBeGreaterThan(0);
  });

  test("a second run adds no second line, and has nothing to do", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 4, rows: 40 });
    const store = memoryStore();
    await scale(virtual, pre(store));
    const lines = store.lines();
    const report = await scale(virtual, pre(store));
    expect(report?.plan.steps).toEqual([]);
    expect(report?.plan.notes.join()).toMatch(/\.stat has \d lines of a:9527 from before/);
    expect(store.lines()).toEqual(lines);
  });

  test("refused before any change: no other tablet for a single replica, naming the partition", async () => {
    const virtual = await scaledCluster({
      replicas: 1,
      partitions: 3,
      rows: 30,
      autoFailover: false,
    });
    virtual.model.kill("tablet2");
    virtual.model.kill("tablet3");
    await virtual.pass(15_000);
    const store = memoryStore();
    const text = await refusal(virtual, pre(store));
    expect(text).toMatch(/db1\.t0:\d has one replica, and no other tablet can take a second one/);
    expect(text).toContain("--allow_single_replica");
    expect(store.lines()).toBeUndefined();
  });

  test("refused before any change: no healthy follower, naming the partition and a hint", async () => {
    const virtual = await scaledCluster({
      replicas: 2,
      partitions: 6,
      rows: 60,
      autoFailover: false,
    });
    virtual.model.kill("tablet2");
    await virtual.pass(15_000);
    const text = await refusal(virtual, pre(memoryStore()));
    expect(text).toMatch(/db1\.t0:\d: no follower can lead instead of a:9527/);
    expect(text).toContain("recoverdata");
  });

  test("an offline tablet is refused", async () => {
    const virtual = await scaledCluster({
      replicas: 2,
      partitions: 2,
      rows: 20,
      autoFailover: false,
    });
    virtual.model.kill("tablet1");
    await virtual.pass(15_000);
    expect(await refusal(virtual, pre(memoryStore()))).toContain("a:9527 cannot be used: kOffline");
    expect(await refusal(virtual, post(memoryStore([])))).toContain("a:9527 cannot be used");
  });
});

describe("post-upgrade", () => {
  test("without a statfile it is refused, naming the path", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 2, rows: 20 });
    expect(await refusal(virtual, post(memoryStore()))).toContain("there is no statfile .stat");
  });

  test("lines of other tablets stay", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 3, rows: 30 });
    const other = { endpoint: "b:9527", db: "db1", table: "t0", tid: 2, pid: 0, added: "" };
    const store = memoryStore([other]);
    await scale(virtual, pre(store));
    expect((await scale(virtual, post(store)))?.complaints).toEqual([]);
    expect(store.lines()).toEqual([other]);
  });

  test("a partition that was dropped meanwhile is left out", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 2, rows: 20 });
    const gone = { endpoint: A, db: "db1", table: "old", tid: 99, pid: 0, added: "" };
    const store = memoryStore([gone]);
    const report = await scale(virtual, post(store));
    expect(report?.plan.notes.join()).toContain("left out: a:9527,db1,old,99,0,");
    expect(store.lines()).toBeUndefined();
  });

  test("a partition whose leader cannot be changed keeps its line for the next run", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 3, rows: 30 });
    const store = memoryStore();
    await scale(virtual, pre(store));
    const lines = store.lines() ?? [];
    // Every attempt for each of them fails.
    virtual.model.failOp("kSelectLeader", 4 * lines.length);
    const report = await scale(virtual, post(store));
    expect(report?.complaints.length).toBeGreaterThan(0);
    expect(report?.results.every(({ outcome }) => outcome.result !== "done")).toBe(true);
    expect(store.lines()).toEqual(lines);
    expect(virtual.model.put(1).every((one) => one.accepted === 1)).toBe(true);
    expect((await scale(virtual, post(store)))?.complaints).toEqual([]);
    expect(store.lines()).toBeUndefined();
  });
});

describe("a statfile is checked", () => {
  /** A line of tablet a about db1.t0:0, with the fields of `wrong` replaced. */
  async function cluster(replicas: number, wrong: Partial<StatLine>) {
    const virtual = await scaledCluster({ replicas, partitions: 1, rows: 20 });
    const table = virtual.model.tables.find("t0", "db1");
    const store = memoryStore([
      { endpoint: A, db: "db1", table: "t0", tid: table?.tid ?? 0, pid: 0, added: "", ...wrong },
    ]);
    return { virtual, store };
  }

  test.each([{ db: "otherdb" }, { table: "othertable" }])(
    "a line with another name of the partition is refused, and nothing is changed: %o",
    async (wrong) => {
      const { virtual, store } = await cluster(2, { ...wrong, added: "b:9527" });
      const text = await refusal(virtual, post(store));
      expect(text).toMatch(/\.stat says ".*", and partition 0 of table id \d+ is db1\.t0:0 here/);
      expect(replicaCounts(virtual)).toEqual([2]);
      expect(store.lines()).toHaveLength(1);
    },
  );

  test("a replica that the table specifies is never deleted, whatever the statfile lists as added", async () => {
    const { virtual, store } = await cluster(3, { added: "b:9527" });
    const text = await refusal(virtual, post(store));
    expect(text).toContain("without it 2 replicas are left of the 3 that the table specifies");
    expect(replicaCounts(virtual)).toEqual([3]);
  });
});

describe("a run that is killed at any change is completed by the next one", () => {
  test.each([{ replicas: 1 }, { replicas: 2 }])("$replicas replicas", async ({ replicas }) => {
    const start = () => scaledCluster({ replicas, partitions: 3, rows: 30, autoFailover: false });
    const whole = await start();
    const led = ledBy(whole, A);
    const counts = replicaCounts(whole);
    const store = memoryStore();
    const lives = [pre(store), post(store)].map(
      (operation) => [operation, killable(whole.cluster, Number.POSITIVE_INFINITY)] as const,
    );
    for (const [operation, life] of lives) await scale(whole, operation, life);
    const most = Math.max(...lives.map(([, life]) => life.passed()));
    expect(most).toBeGreaterThan(8);
    for (let at = 0; at < most; at += 1) {
      const virtual = await start();
      const kept = memoryStore();
      await scale(virtual, pre(kept), killable(virtual.cluster, at));
      expect((await scale(virtual, pre(kept)))?.complaints, `pre-upgrade ${at}`).toEqual([]);
      expect(ledBy(virtual, A), `pre-upgrade ${at}`).toBe(0);
      await scale(virtual, post(kept), killable(virtual.cluster, at));
      if (kept.lines() !== undefined) {
        expect((await scale(virtual, post(kept)))?.complaints, `post-upgrade ${at}`).toEqual([]);
      }
      await virtual.pass(5_000);
      expect(virtual.model.healthy(), `${at}`).toEqual([]);
      expect(ledBy(virtual, A), `${at}`).toBe(led);
      expect(replicaCounts(virtual), `${at}`).toEqual(counts);
      expect(unserved(virtual.model), `${at}`).toBe(0);
    }
  });
});

describe("recoverdata after everything was stopped and started", () => {
  test("50,000 rows are back, all of them", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 8 });
    virtual.model.outage({ withNameservers: true });
    await virtual.pass(30_000);
    await virtual.recover();
    await virtual.pass(5_000);
    expect(virtual.model.healthy()).toEqual([]);
    expect(rowsOf(virtual.model)).toBe(50_000);
    expect(unserved(virtual.model)).toBe(0);
  });
});
