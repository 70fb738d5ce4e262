import { expect, test } from "vitest";
import { TaskType } from "../src/gen/openmldb/api_pb.js";
import { addReplicaOperation } from "../src/operations/add-replica.js";
import { scaleOutOperation } from "../src/operations/scaleout.js";
import { operateOn, servingTable } from "./helpers/operating.js";
import { scaledCluster } from "./helpers/scaling.js";
import { LIMITS, startVirtualCluster } from "./helpers/virtual-cluster.js";

test("--method=documented --op_retries=14: the pauses between attempts have an upper bound", async () => {
  const virtual = await startVirtualCluster();
  virtual.model.createTable({ db: "db1", table: "t1", partitions: 1, replicas: 2 });
  virtual.model.put(30);
  await virtual.pass(5_000);
  virtual.model.outage();
  await virtual.pass(30_000);
  virtual.model.failOp("kDelReplica", 1_000);
  const began = virtual.clock.now();
  const result = await virtual.recover({
    method: "documented",
    limits: { ...LIMITS, opRetries: 14 },
  });
  expect(result).toMatchObject({
    report: {
      partitions: [
        { failure: { detail: expect.stringContaining("RecoverTable failed 15 times") } },
      ],
    },
  });
  // Doubled 14 times without a bound, the last pause alone would take more than two hours.
  expect(virtual.clock.now() - began).toBeLessThan(14 * 60_000);
});

test("scaleout --cancel_stuck cancels a stuck op, and continues", async () => {
  const virtual = await scaledCluster({ replicas: 2, partitions: 4, rows: 40, isNew: true });
  const part = virtual.model.tables.find("t0", "db1")?.tablePartition[0];
  const from = part?.partitionMeta.find((meta) => !meta.isLeader)?.endpoint ?? "";
  virtual.model.stickOp("kAddReplica", 1);
  await virtual.clock.run(virtual.cluster.confSet("auto_failover", "false"), 10_000);
  const of = { db: "db1", table: "t0", pids: [0] };
  await virtual.clock.run(virtual.cluster.migrate(from, of, "a:9527"), 10_000);
  const operation = scaleOutOperation({ keepsSurplus: false, concurrency: 4 });
  await expect(operateOn(virtual, operation)).rejects.toMatchObject({ code: "deadline" });
  const report = await operateOn(virtual, operation, { cancelStuck: true });
  expect(report.error).toBeUndefined();
  const ops = await virtual.clock.run(virtual.cluster.showOpStatus(), 10_000);
  expect(ops.filter((op) => op.status === "canceled").length).toBe(1);
});

test("addreplica --cancel_stuck switches auto_failover off for CancelOP, and on again", async () => {
  const virtual = await servingTable({ replicas: 2, autoFailover: true });
  const { cluster, clock, model } = virtual;
  const table = model.tables.find("t0", "db1");
  const held = table?.tablePartition[0]?.partitionMeta.map((meta) => meta.endpoint);
  const free = ["a:9527", "b:9527", "c:9527", "d:9527"].filter((one) => !held?.includes(one));
  const [first = "", endpoint = ""] = free;
  model.stickOp("kSendSnapshot", 1);
  const id = { db: "db1", table: "t0", tid: table?.tid ?? 0, pid: 0 };
  await clock.run(cluster.addReplicaNS(id, first), 10_000);
  await virtual.pass(5_000);
  const options = { db: "db1", table: "t0", pids: [0], endpoint, print: () => "" };
  const report = await operateOn(virtual, addReplicaOperation(options), { cancelStuck: true });
  expect(report.results.map((one) => one.outcome.result)).toEqual(["done"]);
  const ops = await clock.run(cluster.showOpStatus(), 10_000);
  expect(ops.map((op) => op.status).sort()).toEqual(["canceled", "done"]);
  expect((await clock.run(cluster.confGet(), 10_000)).get("auto_failover")).toBe("true");
});

test("an op that changes a leader never ends if its nameserver is killed meanwhile: this is detected after 3 min", async () => {
  const virtual = await startVirtualCluster();
  const { model, cluster, clock } = virtual;
  model.createTable({ db: "db1", table: "t1", partitions: 1, replicas: 3 });
  model.put(30);
  await virtual.pass(5_000);
  await clock.run(cluster.confSet("auto_failover", "false"), 10_000);
  const [of] = await clock.run(cluster.showTable(), 10_000);
  const part = of?.partitions[0];
  const follower = part?.replicas.find((one) => !one.isLeader)?.endpoint ?? "";
  const leader = part?.replicas.find((one) => one.isLeader)?.endpoint ?? "";
  const id = { db: "db1", table: "t1", tid: of?.tid ?? 0, pid: 0 };
  await clock.run(cluster.updateTableAlive({ ...id, endpoint: leader }, false), 10_000);
  await clock.run(cluster.changeLeader(id, follower), 10_000);
  const isChanging = () => model.leader?.ops.list()[0]?.tasks[0]?.type === TaskType.kChangeLeader;
  await clock.run(model.until(isChanging, 1_000, 1), 10_000);
  const nameserver = model.leader?.address ?? "";
  model.kill(nameserver);
  model.restart(nameserver);
  await virtual.pass(30_000);
  const began = clock.now();
  const stuck = await virtual.recover();
  expect(stuck).toMatchObject({
    report: { partitions: [{ failure: { step: "wait-ops" } }] },
  });
  expect(clock.now() - began).toBeLessThan(5 * 60_000);
  const [result] = "report" in stuck ? stuck.report.partitions : [];
  expect(result?.next.map((one) => ("command" in one ? one.command : one))).toEqual([
    expect.stringContaining("--cancel_stuck"),
  ]);
  await virtual.recover({ limits: { ...LIMITS, cancelStuck: true } });
  expect(model.healthy()).toEqual([]);
});
