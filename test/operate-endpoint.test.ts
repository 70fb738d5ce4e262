import { describe, expect, test } from "vitest";
import {
  type OfflineOptions,
  offlineEndpointOperation,
} from "../src/operations/offline-endpoint.js";
import {
  type RecoverOptions,
  recoverEndpointOperation,
} from "../src/operations/recover-endpoint.js";
import {
  A,
  B,
  C,
  clusterWith,
  flagsOf,
  loseTail,
  losingAnswer,
  lost,
  operateOn,
  refusalOf,
  resultsOf,
  setFlag,
  withC,
  withoutC,
  writeFor,
} from "./helpers/operate-virtual.js";
import { print } from "./helpers/printing.js";

function offline(options: Partial<OfflineOptions> = {}) {
  return offlineEndpointOperation({
    endpoint: C,
    concurrency: undefined,
    allowsSingleReplica: false,
    acceptDataLoss: [],
    print,
    ...options,
  });
}

function recover(options: Partial<RecoverOptions> = {}) {
  return recoverEndpointOperation({
    endpoint: C,
    needRestore: false,
    method: undefined,
    concurrency: undefined,
    acceptDataLoss: [],
    print,
    ...options,
  });
}

describe("offlineendpoint", () => {
  test("of a serving tablet: others lead its partitions, no row is lost under writes", async () => {
    const virtual = await clusterWith({ partitions: 6 });
    writeFor(virtual, 20_000);
    const report = await operateOn(virtual, offline());
    await virtual.pass(20_000);
    expect(report.complaints).toEqual([]);
    for (let pid = 0; pid < 6; pid += 1) {
      expect(flagsOf(virtual, "t0", pid).join()).toMatch(/c (leader|follower) dead/);
    }
    expect(report.conclusions).toEqual([
      expect.stringMatching(/^db1\.t0:0: c:9527 -> [ab]:9527, leads term/),
      expect.stringMatching(/^db1\.t0:3: c:9527 -> [ab]:9527, leads term/),
    ]);
    // The two partitions go to different tablets.
    expect(new Set(report.conclusions.map((line) => /-> (.)/.exec(line)?.[1])).size).toBe(2);
    expect(lost(virtual)).toBe(0);
    for (const rows of virtual.model.rows()) expect(rows.served).toBe(rows.acknowledged);
  });

  test("of a dead tablet: OfflineEndpoint, its ops to their end, and the new leaders", async () => {
    const virtual = await clusterWith({ partitions: 6 });
    await withoutC(virtual);
    const report = await operateOn(virtual, offline({ concurrency: 8 }));
    expect(report.complaints).toEqual([]);
    expect(resultsOf(report)).toEqual([`offline-endpoint ${C} done`]);
    expect(report.conclusions).toHaveLength(2);
    expect(virtual.model.put(1).every((one) => one.accepted === 1)).toBe(true);
    const again = await operateOn(virtual, offline());
    expect(again.plan.steps).toEqual([]);
  });

  test.each(["kSelectLeader", "kDelReplica"])(
    "ops that fail at %s are repeated, partition by partition",
    async (task) => {
      const virtual = await clusterWith({ partitions: 6 });
      await withoutC(virtual);
      virtual.model.failOp(task, 2);
      const report = await operateOn(virtual, offline());
      expect(report.complaints).toEqual([]);
      expect(report.results[0]?.outcome).toMatchObject({
        result: "done",
        detail: expect.stringContaining("2 partitions again one by one"),
      });
      expect(virtual.model.put(1).every((one) => one.accepted === 1)).toBe(true);
    },
  );

  test("ops that fail permanently: the run ends and lists the remaining partitions", async () => {
    const virtual = await clusterWith({ partitions: 3 });
    await withoutC(virtual);
    virtual.model.failOp("kSelectLeader", 100);
    const report = await operateOn(virtual, offline());
    expect(report.results[0]?.outcome.result).toBe("failed");
    expect(report.complaints.join()).toContain("db1.t0:0: no replica leads it");
  });

  test("a lost answer: the partitions that it changed are detected, and the others are changed", async () => {
    const virtual = await clusterWith({ partitions: 3 });
    await withoutC(virtual);
    const { offlineEndpoint } = virtual.cluster;
    const report = await operateOn(virtual, offline(), {
      offlineEndpoint: losingAnswer(offlineEndpoint),
    });
    expect(report.complaints).toEqual([]);
  });

  test("single replicas are listed: refused while they serve, out of service with the flag", async () => {
    const virtual = await clusterWith({ partitions: 3, replicas: 1 });
    const text = await refusalOf(virtual, offline());
    expect(text).toContain("1 partition would go out of service: c:9527 has the only replica");
    expect(text).toContain("db1.t0:0");
    expect(text).toContain("--allow_single_replica");
    const report = await operateOn(virtual, offline({ allowsSingleReplica: true }));
    expect(report.complaints).toEqual([]);
    expect(report.conclusions.join()).toContain("db1.t0:0 is out of service");
    expect(flagsOf(virtual)).toEqual(["c leader dead"]);
    const back = await operateOn(virtual, recover());
    expect(back.complaints).toEqual([]);
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("a tablet with the only alive replica of a partition is refused, and continues to serve", async () => {
    const virtual = await clusterWith({ partitions: 1 });
    for (const endpoint of [A, B]) setFlag(virtual, 0, endpoint, { isAlive: false });
    const text = await refusalOf(virtual, offline());
    expect(text).toContain("no follower is marked alive");
    expect(text).toContain("recoverdata");
    expect(virtual.model.put(1)).toMatchObject([{ accepted: 1 }]);
  });

  test("data loss: a partition whose dead leader held more is left alone with the numbers, others continue", async () => {
    const virtual = await clusterWith({ partitions: 4 });
    await loseTail(virtual, 5);
    const report = await operateOn(virtual, offline());
    expect(report.plan.notes.join()).toContain("holds entries up to 30, and 35 is known");
    expect(report.plan.notes.join()).toContain("--accept_data_loss=db1.t0:0");
    expect(report.complaints).toEqual([
      "db1.t0:0: the replica at c:9527 is still marked alive",
      "db1.t0:0: no replica leads it",
    ]);
    expect(flagsOf(virtual, "t0", 3).join()).toContain("c leader dead");
    const accepted = await operateOn(
      virtual,
      offline({ acceptDataLoss: [{ db: "db1", table: "t0", pid: 0 }] }),
    );
    expect(accepted.complaints).toEqual([]);
    expect(flagsOf(virtual)).toContain("c leader dead");
  });

  test("an unknown endpoint, and an unknown partition, are refused with the nearest name", async () => {
    const virtual = await clusterWith();
    expect(await refusalOf(virtual, offline({ endpoint: "c:9528" }))).toContain("c:9527");
    expect(
      await refusalOf(virtual, offline({ acceptDataLoss: [{ db: "db1", table: "t0", pid: 9 }] })),
    ).toContain("db1.t0:0");
  });
});

describe("recoverendpoint", () => {
  test("after offlineendpoint, documented: all replicas of the tablet are back, in sync", async () => {
    const virtual = await clusterWith({ partitions: 6 });
    await withoutC(virtual);
    await operateOn(virtual, offline());
    virtual.model.put(20);
    await withC(virtual);
    const report = await operateOn(virtual, recover({ method: "documented", concurrency: 8 }));
    expect(report.complaints).toEqual([]);
    expect(resultsOf(report)).toEqual([`recover-endpoint ${C} done`]);
    expect(virtual.model.healthy()).toEqual([]);
    expect(lost(virtual)).toBe(0);
    expect((await operateOn(virtual, recover({ method: "documented" }))).plan.steps).toEqual([]);
  });

  test("before any offlineendpoint it is refused, with the command to run", async () => {
    const virtual = await clusterWith({ partitions: 2 });
    await withoutC(virtual);
    await withC(virtual);
    const text = await refusalOf(virtual, recover());
    expect(text).toContain("2 replicas at c:9527 are not loaded, but still marked alive");
    expect(text).toContain("openmldb-ops offlineendpoint --endpoint=c:9527");
    expect(virtual.model.leader?.ops.list()).toEqual([]);
  });

  test("an unhealthy tablet is refused, with the reason", async () => {
    const virtual = await clusterWith();
    await withoutC(virtual);
    await operateOn(virtual, offline());
    expect(await refusalOf(virtual, recover())).toMatch(/kOffline for \d+ s/);
  });

  test("--need_restore: it leads its partitions again, and no row is lost under writes", async () => {
    const virtual = await clusterWith({ partitions: 3 });
    await withoutC(virtual);
    await operateOn(virtual, offline());
    await withC(virtual);
    virtual.model.put(5);
    writeFor(virtual, 30_000);
    const report = await operateOn(virtual, recover({ needRestore: true }));
    await virtual.pass(40_000);
    expect(report.complaints).toEqual([]);
    expect(report.conclusions).toEqual([
      expect.stringMatching(/^db1\.t0:0: [ab]:9527 -> c:9527, leads term/),
    ]);
    expect(virtual.model.healthy()).toEqual([]);
    expect(lost(virtual)).toBe(0);
    for (const rows of virtual.model.rows()) expect(rows.served).toBe(rows.acknowledged);
  });

  test("documented: failed ops are repeated, partition by partition", async () => {
    const virtual = await clusterWith({ partitions: 4 });
    await withoutC(virtual);
    await operateOn(virtual, offline());
    await withC(virtual);
    virtual.model.failOp("kRecoverTable", 2);
    const report = await operateOn(virtual, recover({ method: "documented" }));
    expect(report.complaints).toEqual([]);
    expect(report.results[0]?.outcome).toMatchObject({
      detail: expect.stringContaining("2 partitions again one by one"),
    });
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("documented: the tablet dies during the run: it is reported, and the run ends", async () => {
    const virtual = await clusterWith({ partitions: 4 });
    await withoutC(virtual);
    await operateOn(virtual, offline());
    await withC(virtual);
    const { recoverEndpoint } = virtual.cluster;
    const report = await operateOn(virtual, recover({ method: "documented" }), {
      async recoverEndpoint(...args) {
        await recoverEndpoint(...args);
        virtual.model.kill("tablet3");
      },
    });
    expect(report.results[0]?.outcome.result).toBe("failed");
    expect(report.complaints.length).toBeGreaterThan(0);
  });

  test.each(["direct", "documented"] as const)(
    "data loss, %s: a replica with more than its leader is left alone with the numbers, others are recovered",
    async (method) => {
      const virtual = await clusterWith({ partitions: 4 });
      await loseTail(virtual, 5);
      await operateOn(virtual, offline({ acceptDataLoss: [{ db: "db1", table: "t0", pid: 0 }] }));
      await withC(virtual);
      const report = await operateOn(virtual, recover({ method }));
      expect(report.plan.notes.join("\n")).toContain(
        "db1.t0:0 at c:9527: known to hold entries up to 35, leader a:9527 only up to 30: RecoverTable would delete them",
      );
      expect(report.plan.notes.join("\n").includes("recovered one by one")).toBe(
        method === "documented",
      );
      expect(report.results).toHaveLength(3);
      expect(report.complaints.join()).toContain("db1.t0:0");
      const held = () =>
        virtual.model.rows({ pid: 0 })[0]?.replicas.find((one) => one.endpoint === C)?.held;
      expect(held()).toBe(35);
      // Refused without a flag; given up if the operator names it.
      expect(await refusalOf(virtual, recover({ method }))).toContain(
        "up to 35, leader a:9527 only up to 30",
      );
      const named = await operateOn(
        virtual,
        recover({ method, acceptDataLoss: [{ db: "db1", table: "t0", pid: 0 }] }),
      );
      expect(named.complaints).toEqual([]);
      expect(virtual.model.healthy()).toEqual([]);
    },
  );
});
