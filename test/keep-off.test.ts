import { expect, test } from "vitest";
import type { RunReport } from "../src/model/report.js";
import { reportText } from "../src/report/recovery-report.js";
import { encode } from "../src/run/owner.js";
import { withRun } from "../src/run/with-run.js";
import { allLines } from "./helpers/all-lines.js";
import {
  expectAllBack,
  HOUR,
  has,
  isOn,
  MARKER,
  recover,
  settle,
  texts,
} from "./helpers/protected.js";
import { startTool, type ToolProcess } from "./helpers/tool-process.js";
import { startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const [A, B, C] = ["a:9527", "b:9527", "c:9527"] as const;
const OWNER = {
  runId: "run-dead",
  host: "elsewhere",
  pid: 4711,
  user: "u",
  command: "openmldb-ops recoverdata",
  time: "2026-01-02T03:04:05.000Z",
};

/**
 * db1.t0 with three partitions, each led by another tablet. A run was killed while auto_failover was off. Then
 * `a` takes five rows that no follower gets and is killed, and the others return.
 *
 * @param nameserversToo Whether the nameservers restart while `a` is away.
 */
async function undecided(nameserversToo = false): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({ model: { autoFailover: false } });
  const { model } = virtual;
  model.createTable({ db: "db1", table: "t0", partitions: 3, replicas: 3 });
  model.put(30);
  await virtual.pass(30_000);
  model.tree.create("/openmldb/ops_tool", Buffer.alloc(0));
  model.tree.create(MARKER, encode(OWNER, { original: true }));
  for (const one of [B, C]) model.kill(one);
  await virtual.pass(15_000);
  model.put(5);
  await virtual.pass(5_000);
  model.kill(A);
  await virtual.pass(60_000);
  const nameservers = nameserversToo ? ["n1:6527", "n2:6527"] : [];
  for (const one of nameservers) model.kill(one);
  await virtual.pass(30_000);
  for (const one of nameservers) model.restart(one);
  for (const one of [B, C]) model.restart(one);
  await virtual.pass(60_000);
  return virtual;
}

async function recovered(
  virtual: VirtualCluster,
  tool: ToolProcess,
  keepsOff = false,
): Promise<RunReport> {
  const asked: number[] = [];
  const ended = await recover(virtual, tool, {
    keepsOff: (count) => {
      asked.push(count);
      return Promise.resolve(keepsOff);
    },
  });
  await tool.endSession();
  if (ended === "died" || "error" in ended) throw new Error("the run did not end");
  const open = ended.report.partitions.filter((one) => one.status === "needs-decision").length;
  expect(asked.every((count) => count === open)).toBe(true);
  return ended.report;
}

/** The number of acknowledged rows of all partitions that no log holds any more. */
function lost({ model }: VirtualCluster): number {
  return model.rows().reduce((sum, one) => sum + one.lost, 0);
}

const statuses = (report: RunReport) => report.partitions.map((one) => one.status).sort();

test("if it is restored while a decision is open, the nameserver discards the rows that only the returning tablet holds", async () => {
  const virtual = await undecided();
  const report = await recovered(virtual, await startTool(virtual, "first"));
  expect(statuses(report)).toContain("needs-decision");
  expectAllBack(virtual);
  virtual.model.restart(A);
  await virtual.pass(300_000);
  expect(lost(virtual)).toBe(5);
});

test("if left off, it stays off until no decision is open, and no row is lost", async () => {
  const virtual = await undecided();
  const report = await recovered(virtual, await startTool(virtual, "first"), true);
  expect(report.autoFailover).toEqual({
    before: true,
    after: false,
    notRestored: undefined,
    isLeftOff: true,
  });
  expect(allLines(reportText(report)).join("\n")).toContain("auto_failover is left off on purpose");
  expect({ on: isOn(virtual), marker: has(virtual, MARKER) }).toEqual({ on: false, marker: true });

  // Commands that only read leave it off, and so does a second recovery that finds the same decision.
  const look = await startTool(virtual, "look");
  expect(await settle(virtual, look)).toMatchObject({ kind: "left-off" });
  const second = await startTool(virtual, "second");
  expect((await recovered(virtual, second)).autoFailover.isLeftOff).toBe(true);
  expect(texts(second)).toContain("auto_failover stays off on purpose since");
  expect(isOn(virtual)).toBe(false);

  virtual.model.restart(A);
  await virtual.pass(300_000);
  const third = await recovered(virtual, await startTool(virtual, "third"));
  expect(statuses(third)).toEqual(statuses(third).map(() => "recovered"));
  expectAllBack(virtual);
  await virtual.pass(60_000);
  expect(virtual.model.healthy()).toEqual([]);
  expect(lost(virtual)).toBe(0);
});

test("a planned operation leaves it off; the command restore ends that", async () => {
  const virtual = await undecided();
  await recovered(virtual, await startTool(virtual, "first"), true);
  const tool = await startTool(virtual, "operation");
  const ended = await virtual.clock.run(
    withRun(tool.parts, async (attempt) => {
      const guard = await attempt.createGuard(false);
      await guard.engage();
      return guard.restore();
    }),
    HOUR,
  );
  expect(ended).toBeUndefined();
  await tool.endSession();
  expect({ on: isOn(virtual), marker: has(virtual, MARKER) }).toEqual({ on: false, marker: true });
  const restore = await startTool(virtual, "restore");
  expect(await settle(virtual, restore, "all")).toMatchObject({ kind: "restored", value: true });
  expectAllBack(virtual);
});

test("a nameserver that never saw the absent tablet does nothing when it registers: restoring auto_failover loses no row", async () => {
  const virtual = await undecided(true);
  const report = await recovered(virtual, await startTool(virtual, "first"));
  expect(statuses(report)).toContain("needs-decision");
  expect(isOn(virtual)).toBe(true);
  virtual.model.restart(A);
  await virtual.pass(300_000);
  const healed = await recovered(virtual, await startTool(virtual, "second"));
  expect(statuses(healed)).toEqual(statuses(healed).map(() => "recovered"));
  expect(lost(virtual)).toBe(0);
});
