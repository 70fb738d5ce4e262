import { describe, expect, test } from "vitest";
import type { Selection } from "../src/diagnosis/selection.js";
import { startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

/** Two tables of three partitions with three replicas each, all tablets killed and restarted. */
async function brokenCluster(): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster();
  for (const name of ["t0", "t1"]) {
    virtual.model.createTable({ table: name, db: "db1", partitions: 3, replicas: 3 });
  }
  virtual.model.put(20);
  await virtual.pass(5_000);
  virtual.model.outage();
  await virtual.pass(30_000);
  return virtual;
}

async function recoverOnly(virtual: VirtualCluster, only: Selection) {
  const result = await virtual.recover({ only, command: "recovertable" });
  if (!("report" in result)) throw result.error;
  return result.report;
}

/** The loaded replicas of all tablets, as `table:pid@tablet`, sorted. */
async function loaded(virtual: VirtualCluster): Promise<string[]> {
  const { cluster, clock } = virtual;
  const tables = await clock.run(cluster.showTable(), 60_000);
  const names = new Map(tables.map((one) => [one.tid, one.table]));
  const found: string[] = [];
  for (const endpoint of ["a:9527", "b:9527", "c:9527"]) {
    for (const { tid, pid } of await clock.run(cluster.getTableStatus(endpoint), 60_000)) {
      found.push(`${names.get(tid)}:${pid}@${endpoint[0]}`);
    }
  }
  return found.sort();
}

/** The outcomes of the `recover-table` steps, in order, as `table:pid@tablet result`. */
function recoverTables(virtual: VirtualCluster): string[] {
  return virtual.events.flatMap((event) =>
    event.kind === "step-ended" && event.step.kind === "recover-table"
      ? [
          `${event.step.id.table}:${event.step.id.pid}@${event.step.endpoint[0]} ${event.outcome.result}`,
        ]
      : [],
  );
}

describe("recovertable", () => {
  test("recovers one table and changes no other", async () => {
    const virtual = await brokenCluster();
    const report = await recoverOnly(virtual, { db: "db1", table: "t1" });
    expect(report.command).toBe("recovertable");
    expect(report.partitions.map((one) => `${one.id.table}:${one.id.pid} ${one.status}`)).toEqual([
      "t1:0 recovered",
      "t1:1 recovered",
      "t1:2 recovered",
    ]);
    expect((await loaded(virtual)).every((one) => one.startsWith("t1:"))).toBe(true);
    expect(virtual.model.rows({ table: "t1" }).map((one) => one.served)).toEqual([20, 20, 20]);
  });

  test("recovers the named partitions only", async () => {
    const virtual = await brokenCluster();
    const report = await recoverOnly(virtual, { db: "db1", table: "t1", pids: [0, 2] });
    expect(report.partitionCount).toBe(2);
    const all = ["a", "b", "c"];
    expect(await loaded(virtual)).toEqual(
      [0, 2].flatMap((pid) => all.map((at) => `t1:${pid}@${at}`)),
    );
  });

  test("with a tablet recovers its replica only, if another replica leads", async () => {
    const virtual = await brokenCluster();
    await recoverOnly(virtual, {});
    virtual.model.kill("b:9527");
    await virtual.pass(20_000);
    virtual.model.restart("b:9527");
    await virtual.pass(20_000);
    const before = await loaded(virtual);
    const led = (await leaders(virtual)).filter((one) => !one.endsWith("@b"));
    const [first = ""] = led;
    const [name = "", pid = ""] = first.split(/[:@]/);
    const only = { db: "db1", table: name, pids: [Number(pid)], endpoint: "b:9527" };
    const report = await recoverOnly(virtual, only);
    expect(report.partitions.map((one) => one.status)).toEqual(["recovered"]);
    const gained = (await loaded(virtual)).filter((one) => !before.includes(one));
    expect(gained).toEqual([`${name}:${pid}@b`]);
  });

  test("with a tablet blocks a partition that no replica leads, and prints an alternative", async () => {
    const virtual = await brokenCluster();
    const dead = await startedDead(virtual);
    const report = await recoverOnly(virtual, {
      db: "db1",
      table: "t0",
      pids: [0],
      endpoint: dead,
    });
    expect(report.partitions[0]?.status).toBe("unhealthy");
    expect(report.partitions[0]?.failure?.detail).toContain("recover it without --endpoint");
    expect(await loaded(virtual)).toEqual([]);
  });

  test("leaves healthy replicas alone without --force", async () => {
    const virtual = await brokenCluster();
    await recoverOnly(virtual, {});
    virtual.events.length = 0;
    const report = await recoverOnly(virtual, { db: "db1", table: "t0" });
    expect(report.changes).toBe(0);
    expect(virtual.events.some((event) => event.kind === "step-started")).toBe(false);
  });

  test("with --force recovers each healthy follower once, and no leader", async () => {
    const virtual = await brokenCluster();
    await recoverOnly(virtual, {});
    virtual.events.length = 0;
    const only = { db: "db1", table: "t0", pids: [1], isForced: true };
    const report = await recoverOnly(virtual, only);
    expect(report.partitions.map((one) => one.status)).toEqual(["recovered"]);
    const [leader = ""] = (await leaders(virtual)).filter((one) => one.startsWith("t0:1"));
    const followers = ["a", "b", "c"].filter((at) => !leader.endsWith(at));
    expect(recoverTables(virtual).sort()).toEqual(followers.map((at) => `t0:1@${at} done`));
    expect(virtual.model.healthy()).toEqual([]);
    expect(virtual.model.rows().every((one) => one.served === 20)).toBe(true);
  });

  test.each<[Selection, RegExp]>([
    [{ db: "db2" }, /has no table in a database named "db2"/],
    [{ db: "db1", table: "t9" }, /has no table in the database "db1" named "t9"/],
    [{ db: "db1", table: "t0", pids: [1, 7] }, /t0 has no partition 7/],
    [{ db: "db1", table: "t0", endpoint: "z:1" }, /has no selected replica at "z:1"/],
  ])("refuses %j", async (only, message) => {
    const virtual = await brokenCluster();
    await expect(virtual.recover({ only })).rejects.toThrow(message);
    expect(await loaded(virtual)).toEqual([]);
  });
});

/** The replicas that are flagged leader, as `table:pid@tablet`. */
async function leaders({ cluster, clock }: VirtualCluster): Promise<string[]> {
  const tables = await clock.run(cluster.showTable(), 60_000);
  return tables.flatMap((table) =>
    table.partitions.flatMap((partition) =>
      partition.replicas
        .filter((one) => one.isLeader && one.isAlive)
        .map((one) => `${table.table}:${partition.pid}@${one.endpoint[0]}`),
    ),
  );
}

/** A tablet that holds a follower of partition 0 of table t0. */
async function startedDead(virtual: VirtualCluster): Promise<string> {
  const tables = await virtual.clock.run(virtual.cluster.showTable(), 60_000);
  const replicas = tables.find((one) => one.table === "t0")?.partitions[0]?.replicas ?? [];
  return replicas.find((one) => !one.isLeader)?.endpoint ?? "";
}
