import { expect, test } from "vitest";
import type { Inspection } from "../src/inspect/inspection.js";
import { inspectionScreen } from "../src/inspect/text-overview.js";
import { finish } from "../src/model/work.js";
import { inspectionOf } from "./helpers/inspected.js";
import { startVirtualCluster } from "./helpers/virtual-cluster.js";

const EFFORT = { tookMs: 100, calls: 7 };
const SCREEN = { hasColor: false, columns: 80, rows: 24 };

/** Tables on six tablets that have all been killed and restarted: nothing is loaded. */
async function restarted(tables: number, partitions: number): Promise<Inspection> {
  const virtual = await startVirtualCluster({ tablets: 6, model: { autoFailover: false } });
  for (let index = 0; index < tables; index += 1) {
    virtual.model.createTable({ db: "db1", table: `t${index}`, partitions, replicas: 3 });
  }
  await virtual.pass(5_000);
  for (const name of virtual.model.processes.flatMap((one) => one.tablet?.endpoint ?? [])) {
    virtual.model.kill(name);
    virtual.model.restart(name);
  }
  await virtual.pass(60_000);
  return inspectionOf(virtual);
}

test.each([
  [2, 2],
  [5, 60],
])("%d tables of %d partitions fit one screen, grouped by cause", async (tables, partitions) => {
  const inspection = await restarted(tables, partitions);
  const lines = finish(inspectionScreen(inspection, EFFORT, SCREEN, false));
  expect(lines.length).toBeLessThanOrEqual(24);
  expect(lines.join("\n")).toContain(
    `${tables * partitions} NOT SERVING: every replica not loaded on its tablet`,
  );
  expect(lines.join("\n")).toContain(": run: openmldb-ops --cmd=recoverdata");
  expect(lines.at(-1)).toMatch(/^inspect: \d+ partitions NOT healthy/);
});

test("with details asked for, partitions are shown one by one", async () => {
  const inspection = await restarted(1, 5);
  const lines = finish(inspectionScreen(inspection, EFFORT, SCREEN, true));
  expect(
    lines.filter((line) => /^\d+\. \S+ {2}NOT SERVING/.test(line)).length,
  ).toBeGreaterThanOrEqual(5);
});
