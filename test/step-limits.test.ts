import { expect, test } from "vitest";
import { scaleOutOperation } from "../src/operations/scaleout.js";
import { operateOn } from "./helpers/operating.js";
import { scaledCluster } from "./helpers/scaling.js";
import { LIMITS, startVirtualCluster } from "./helpers/virtual-cluster.js";

test("--method=documented --op_retries=14: the pauses between tries have an upper bound", async () => {
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

test("scaleout --cancel_stuck cancels an op that stands still, and goes on", async () => {
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
