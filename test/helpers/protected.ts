import { expect } from "vitest";
import type { RecoverOptions, RecoverResult } from "../../src/execution/recover.js";
import { opsPath } from "../../src/run/owner.js";
import { type Leftover, settleLeftover } from "../../src/run/take-over.js";
import type { ToolProcess } from "./tool-process.js";
import { startVirtualCluster, type VirtualCluster } from "./virtual-cluster.js";

/** The lock of the cluster. */
export const LOCK = opsPath("/openmldb", "lock");
/** The marker of auto_failover. */
export const MARKER = opsPath("/openmldb", "auto_failover");
/** The limit of a run in virtual time, milliseconds. */
export const HOUR = 3_600_000;

/** db1.t0 with two partitions of 30 rows; auto_failover on. */
export async function healthyCluster(): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({ model: { autoFailover: true } });
  virtual.model.createTable({ db: "db1", table: "t0", partitions: 2, replicas: 3 });
  virtual.model.put(30);
  await virtual.pass(5_000);
  return virtual;
}

/** The same after all tablets were killed and restarted at once; each load takes `loadMs`. */
export async function brokenCluster(loadMs = 100): Promise<VirtualCluster> {
  const virtual = await healthyCluster();
  virtual.model.outage();
  for (const name of virtual.model.tablets.keys()) virtual.model.slowLoad(name, loadMs);
  await virtual.pass(30_000);
  expect(virtual.model.healthy()).not.toEqual([]);
  expect(isOn(virtual)).toBe(true);
  return virtual;
}

/** The value of auto_failover at the leading nameserver. */
export function isOn({ model }: VirtualCluster): boolean | undefined {
  return model.leader?.autoFailover;
}

/** Whether there is a znode. */
export function has({ model }: VirtualCluster, path: string): boolean {
  return model.tree.get(path) !== undefined;
}

/** Runs a recoverdata to its end. */
export function recover(
  virtual: VirtualCluster,
  tool: ToolProcess,
  more: Partial<RecoverOptions> = {},
) {
  return virtual.clock.run(tool.recover(more), HOUR);
}

/** Reads and removes what a killed run left, as `inspect` and `restore` do. */
export function settle(
  virtual: VirtualCluster,
  tool: ToolProcess,
  which: "dead" | "all" = "dead",
): Promise<Leftover> {
  return virtual.clock.run(settleLeftover(tool.parts, which), HOUR);
}

/** The texts of the tool's events, one per line. */
export function texts(tool: ToolProcess): string {
  return tool.events.map((event) => ("text" in event ? event.text : "")).join("\n");
}

/** The error with which a run ended early. */
export function errorOf(result: RecoverResult | "died"): unknown {
  expect(result).toHaveProperty("error");
  return (result as { error: unknown }).error;
}

/** Runs until the tool has made its first change to a partition, so that the value is off. */
export async function untilWorking(virtual: VirtualCluster, tool: ToolProcess): Promise<void> {
  for (let step = 0; step < 1_000; step += 1) {
    if (tool.changes.some((one) => one.method !== "ConfSet")) return;
    await virtual.pass(20);
  }
  throw new Error("the tool has changed nothing");
}

/** Checks that the value is on, and that neither lock nor marker is left. */
export function expectAllBack(virtual: VirtualCluster): void {
  expect({ on: isOn(virtual), marker: has(virtual, MARKER), lock: has(virtual, LOCK) }).toEqual({
    on: true,
    marker: false,
    lock: false,
  });
}
