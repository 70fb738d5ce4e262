import { describe, expect, test } from "vitest";
import { OpsError } from "../src/errors.js";
import type { Operation } from "../src/operations/operation.js";
import { scaleInOperation } from "../src/operations/scalein.js";
import { scaleOutOperation } from "../src/operations/scaleout.js";
import { print } from "./helpers/printing.js";
import {
  A,
  killable,
  replicasOn,
  rowsOf,
  type Shape,
  scale,
  scaledCluster,
  spread,
  unserved,
  watch,
} from "./helpers/scaling.js";
import type { VirtualCluster } from "./helpers/virtual-cluster.js";

const scaleOut = (keepsSurplus = false) => scaleOutOperation({ keepsSurplus, concurrency: 4 });
const scaleIn = (...endpoints: string[]) =>
  scaleInOperation({ endpoints, keepsSurplus: false, concurrency: 4, print });

async function refusal(virtual: VirtualCluster, operation: Operation): Promise<string> {
  try {
    await scale(virtual, operation);
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "refused") throw thrown;
    return [thrown.message, thrown.hint ?? "", ...thrown.details].join("\n");
  }
  throw new Error("it was not refused");
}

function differ(counts: Record<string, number>): number {
  const all = Object.values(counts);
  return Math.max(...all) - Math.min(...all);
}

/** The cluster shapes of OpenMLDB's own tests of its tool. */
const SHAPES = [
  { replicas: 2, partitions: 8 },
  { replicas: 1, partitions: 10 },
];

describe("scaleout", () => {
  test.each(SHAPES)(
    "uses a new tablet: $replicas replicas of $partitions partitions, 50,000 rows",
    async (shape) => {
      const virtual = await scaledCluster({ ...shape, isNew: true });
      expect(spread(virtual).replicas[A]).toBe(0);
      const looked = watch(virtual);
      const report = await scale(virtual, scaleOut());
      looked.stop();
      expect(report?.complaints).toEqual([]);
      expect(report?.results.every(({ outcome }) => outcome.result === "done")).toBe(true);
      const after = spread(virtual);
      expect(differ(after.replicas)).toBeLessThanOrEqual(1);
      expect(differ(after.leaders)).toBeLessThanOrEqual(1);
      expect(after.replicas[A]).toBeGreaterThan(0);
      await virtual.pass(5_000);
      expect(virtual.model.healthy()).toEqual([]);
      expect(rowsOf(virtual.model)).toBe(50_000);
      expect(unserved(virtual.model)).toBe(0);
      expect(looked.gaps).toEqual([]);
      expect(looked.longestWithoutLeader()).toBeLessThan(3_000);
      expect((await scale(virtual, scaleOut()))?.plan.steps).toEqual([]);
    },
  );

  test("auto_failover is off during the run and as before afterwards; system tables stay", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 4, rows: 40, isNew: true });
    await scale(virtual, scaleOut());
    const conf = await virtual.clock.run(virtual.cluster.confGet(), 10_000);
    expect(conf.get("auto_failover")).toBe("true");
    expect(replicasOn(virtual, A).every((name) => name.startsWith("db1."))).toBe(true);
  });

  test("the plan has the fewest moves, and the reason of each action", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 9, rows: 90, isNew: true });
    const report = await scale(virtual, scaleOut());
    const moves = report?.plan.steps.filter((step) => step.kind === "migrate") ?? [];
    expect(moves).toHaveLength(6);
    expect(moves.every((action) => action.to === A && action.why !== "")).toBe(true);
  });

  test("active ops are waited for, and the plan is made afterwards", async () => {
    const virtual = await scaledCluster({
      replicas: 2,
      partitions: 4,
      rows: 40,
      isNew: true,
      autoFailover: false,
    });
    const part = virtual.model.tables.find("t0", "db1")?.tablePartition[0];
    const from = part?.partitionMeta.find((meta) => !meta.isLeader)?.endpoint ?? "";
    const of = { db: "db1", table: "t0", pids: [0] };
    await virtual.clock.run(virtual.cluster.migrate(from, of, A), 10_000);
    const report = await scale(virtual, scaleOut());
    expect(virtual.events).toContainEqual({
      kind: "note",
      text: "waiting for 1 running ops of the nameserver",
    });
    expect(report?.complaints).toEqual([]);
    expect(report?.plan.steps.some(({ id, kind }) => id?.pid === 0 && kind === "migrate")).toBe(
      false,
    );
    expect(differ(spread(virtual).replicas)).toBeLessThanOrEqual(1);
  });

  test("a stuck op ends the run before any change", async () => {
    const virtual = await scaledCluster({
      replicas: 2,
      partitions: 4,
      rows: 40,
      isNew: true,
      autoFailover: false,
    });
    virtual.model.stickOp("kSendSnapshot", 1);
    const part = virtual.model.tables.find("t0", "db1")?.tablePartition[0];
    const from = part?.partitionMeta.find((meta) => !meta.isLeader)?.endpoint ?? "";
    await virtual.clock.run(
      virtual.cluster.migrate(from, { db: "db1", table: "t0", pids: [0] }, A),
      10_000,
    );
    await expect(scale(virtual, scaleOut())).rejects.toMatchObject({
      code: "deadline",
      message: expect.stringMatching(
        /^op \d+ \(kMigrateOP\) has made no progress in task kSendSnapshot/,
      ),
    });
    expect(spread(virtual).replicas[A]).toBe(0);
  });

  test("an offline tablet is no target, and is reported", async () => {
    const virtual = await scaledCluster({
      replicas: 1,
      partitions: 6,
      rows: 60,
      tablets: 4,
      isNew: true,
    });
    await virtual.clock.run(virtual.cluster.confSet("auto_failover", "false"), 10_000);
    virtual.model.kill("tablet1");
    await virtual.pass(15_000);
    const report = await scale(virtual, scaleOut());
    expect(report?.plan.notes.join()).toContain("tablet a:9527 is not used: kOffline");
    expect(spread(virtual).replicas[A]).toBe(0);
  });

  test("unhealthy partitions are left alone and listed", async () => {
    const virtual = await scaledCluster({
      replicas: 2,
      partitions: 6,
      rows: 60,
      isNew: true,
      autoFailover: false,
    });
    virtual.model.kill("tablet3");
    await virtual.pass(15_000);
    virtual.model.restart("tablet3");
    await virtual.pass(15_000);
    const report = await scale(virtual, scaleOut());
    expect(report?.plan.steps).toEqual([]);
    expect(report?.plan.notes.join("\n")).toContain(
      "left alone, not healthy: db1.t0:0: c:9527: not loaded",
    );
  });

  test("surplus replicas are deleted unless they are to be kept", async () => {
    const shape: Shape = { replicas: 1, partitions: 3, rows: 30, autoFailover: false };
    const virtual = await scaledCluster(shape);
    const table = virtual.model.tables.find("t0", "db1");
    const id = { db: "db1", table: "t0", tid: table?.tid ?? 0, pid: 0 };
    const holder = table?.tablePartition[0]?.partitionMeta[0]?.endpoint;
    const other = ["b:9527", "c:9527"].find((one) => one !== holder) ?? "";
    await virtual.clock.run(virtual.cluster.addReplicaNS(id, other), 10_000);
    await virtual.pass(60_000);
    const kept = await scale(virtual, scaleOut(true));
    expect(kept?.plan.steps.filter((step) => step.kind === "del-replica")).toEqual([]);
    const report = await scale(virtual, scaleOut());
    expect(report?.complaints).toEqual([]);
    expect(Object.values(spread(virtual).replicas)).toEqual([1, 1, 1]);
    expect(unserved(virtual.model)).toBe(0);
  });
});

describe("scalein", () => {
  test.each(SHAPES)(
    "empties a tablet: $replicas replicas of $partitions partitions, 50,000 rows",
    async (shape) => {
      const virtual = await scaledCluster(shape);
      const before = replicasOn(virtual, A).length;
      expect(before).toBeGreaterThan(0);
      const looked = watch(virtual);
      const report = await scale(virtual, scaleIn(A));
      looked.stop();
      expect(report?.complaints).toEqual([]);
      expect(replicasOn(virtual, A)).toEqual([]);
      expect(virtual.model.tablet(A).loadedCount).toBe(0);
      const arrivals = report?.plan.steps.filter(
        (one) => one.kind === "migrate" || one.kind === "add-replica",
      );
      expect(arrivals).toHaveLength(before);
      await virtual.pass(5_000);
      expect(virtual.model.healthy()).toEqual([]);
      expect(rowsOf(virtual.model)).toBe(50_000);
      expect(unserved(virtual.model)).toBe(0);
      expect(looked.gaps).toEqual([]);
      expect(looked.longestWithoutLeader()).toBeLessThan(3_000);
      expect(report?.conclusions.join("\n")).toContain(
        "a:9527 is empty: the tablet can be stopped",
      );
      const { [A]: gone, ...rest } = spread(virtual).replicas;
      expect(gone).toBe(0);
      expect(differ(rest)).toBeLessThanOrEqual(1);
    },
  );

  test("two tablets at once: partitions that had both replicas there keep every row", async () => {
    const virtual = await scaledCluster({ replicas: 2, partitions: 6, rows: 600, tablets: 4 });
    const report = await scale(virtual, scaleIn(A, "b:9527"));
    expect(report?.complaints).toEqual([]);
    expect([...replicasOn(virtual, A), ...replicasOn(virtual, "b:9527")]).toEqual([]);
    await virtual.pass(5_000);
    expect(virtual.model.healthy()).toEqual([]);
    expect(unserved(virtual.model)).toBe(0);
  });

  test("refused before any change if too few tablets would remain, naming the tables", async () => {
    const virtual = await scaledCluster({ replicas: 3, partitions: 2, rows: 20 });
    const before = virtual.model.events.length;
    const text = await refusal(virtual, scaleIn(A));
    expect(text).toContain(
      "there are 2 healthy tablets, too few for 1 tables: db1.t0 has 3 replicas",
    );
    expect(await refusal(virtual, scaleIn(A, "b:9527"))).toContain(
      "__INTERNAL_DB.USER has 2 replicas",
    );
    expect(virtual.model.events.length).toBe(before);
  });

  test("an offline tablet gets no replicas, and cannot be emptied", async () => {
    const virtual = await scaledCluster({
      replicas: 2,
      partitions: 2,
      rows: 20,
      autoFailover: false,
    });
    virtual.model.kill("tablet3");
    await virtual.pass(15_000);
    expect(await refusal(virtual, scaleIn(A))).toContain("there are 1 healthy tablets");
    expect(await refusal(virtual, scaleIn("c:9527"))).toContain("c:9527 cannot be used: kOffline");
  });

  test("an unknown endpoint is refused with the nearest one", async () => {
    const virtual = await scaledCluster({ replicas: 1, partitions: 1, rows: 1 });
    expect(await refusal(virtual, scaleIn("a:9528"))).toContain("did you mean a:9527");
  });

  test("unhealthy partitions there are listed, and nothing is changed", async () => {
    const virtual = await scaledCluster({
      replicas: 2,
      partitions: 4,
      rows: 40,
      autoFailover: false,
    });
    virtual.model.kill("tablet1");
    await virtual.pass(15_000);
    virtual.model.restart("tablet1");
    await virtual.pass(15_000);
    const text = await refusal(virtual, scaleIn(A));
    expect(text).toContain("recover them first with: openmldb-ops --cmd=recoverdata");
    expect(text).toMatch(/db1\.t0:\d: .*a:9527: not loaded/);
  });

  test.each(["kSendSnapshot", "kLoadTable", "kDelReplica"])(
    "an op that fails at %s is repeated",
    async (task) => {
      const virtual = await scaledCluster({ replicas: 2, partitions: 3, rows: 30 });
      virtual.model.failOp(task, 1);
      const report = await scale(virtual, scaleIn(A));
      expect(report?.complaints).toEqual([]);
      expect(replicasOn(virtual, A)).toEqual([]);
      expect(unserved(virtual.model)).toBe(0);
    },
  );

  test("a target that dies during the run: the remaining moves are reported, and the next run completes them", async () => {
    const virtual = await scaledCluster({
      replicas: 1,
      partitions: 6,
      rows: 60,
      tablets: 4,
      autoFailover: false,
    });
    virtual.clock.setTimer(1_500, () => virtual.model.kill("tablet4"));
    const report = await scale(virtual, scaleIn(A));
    expect(report?.results.some(({ outcome }) => outcome.result !== "done")).toBe(true);
    expect(report?.complaints.length).toBeGreaterThan(0);
    virtual.model.restart("tablet4");
    await virtual.pass(30_000);
    await virtual.recover();
    expect((await scale(virtual, scaleIn(A)))?.complaints).toEqual([]);
    expect(replicasOn(virtual, A)).toEqual([]);
    expect(unserved(virtual.model)).toBe(0);
  });
});

describe("a run that is killed at any change is completed by the next one", () => {
  const cases = [
    {
      name: "scalein of one replica",
      operation: () => scaleIn(A),
      shape: { replicas: 1, partitions: 3 },
    },
    {
      name: "scalein of two replicas",
      operation: () => scaleIn(A),
      shape: { replicas: 2, partitions: 3 },
    },
    {
      name: "scaleout of one replica",
      operation: () => scaleOut(),
      shape: { replicas: 1, partitions: 4, isNew: true },
    },
    {
      name: "scaleout of two replicas",
      operation: () => scaleOut(),
      shape: { replicas: 2, partitions: 4, isNew: true },
    },
  ];
  test.each(cases)("$name", async ({ operation, shape }) => {
    const start = () => scaledCluster({ ...shape, rows: 40, autoFailover: false });
    const whole = await start();
    const life = killable(whole.cluster, Number.POSITIVE_INFINITY);
    await scale(whole, operation(), life);
    expect(life.passed()).toBeGreaterThan(8);
    for (let at = 0; at < life.passed(); at += 1) {
      const virtual = await start();
      expect(
        await scale(virtual, operation(), killable(virtual.cluster, at)),
        `${at}`,
      ).toBeUndefined();
      const report = await scale(virtual, operation());
      expect(report?.complaints, `killed at ${at}`).toEqual([]);
      await virtual.pass(5_000);
      expect(virtual.model.healthy(), `killed at ${at}`).toEqual([]);
      expect(unserved(virtual.model), `killed at ${at}`).toBe(0);
      const table = virtual.model.tables.find("t0", "db1");
      const counts = table?.tablePartition.map((part) => part.partitionMeta.length);
      expect(counts, `killed at ${at}`).toEqual(counts?.map(() => shape.replicas));
      if (shape.isNew) expect(differ(spread(virtual).replicas)).toBeLessThanOrEqual(1);
      else expect(replicasOn(virtual, A), `killed at ${at}`).toEqual([]);
    }
  });
});
