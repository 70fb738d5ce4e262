import type { Cluster } from "../../src/cluster/cluster.js";
import { OpsError } from "../../src/errors.js";
import { runOperation } from "../../src/execution/run-operation.js";
import type { OperationReport } from "../../src/model/report.js";
import { verbOf } from "../../src/model/step.js";
import type { Operation } from "../../src/operations/operation.js";
import { createGuard } from "../../src/run/guard.js";
import { metaOf, partitionOf } from "../../src/sandbox/table-store.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./virtual-cluster.js";

/** The tablets. */
export const [A, B, C] = ["a:9527", "b:9527", "c:9527"];

/** db1.t0, led by c in partition 0 (by a in 1, by b in 2), with 30 rows in each partition. */
export async function clusterWith(
  spec: { readonly partitions?: number; readonly replicas?: number } = {},
): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({ model: { autoFailover: true } });
  const { partitions = 1, replicas = 3 } = spec;
  virtual.model.createTable({ db: "db1", table: "t0", partitions, replicas });
  virtual.model.put(30);
  await virtual.pass(5_000);
  return virtual;
}

/** The result of each action. */
export function resultsOf(report: OperationReport): string[] {
  return report.results.map(
    ({ step, outcome }) => `${verbOf(step)} ${step.endpoint} ${outcome.result}`,
  );
}

/** Acknowledged rows that no replica holds any more. */
export function lost({ model }: VirtualCluster): number {
  return model.rows().reduce((sum, one) => sum + one.lost, 0);
}

/**
 * Kills the tablet c and waits until the nameserver has noticed; auto_failover is off, so nothing else
 * changes.
 */
export async function withoutC(virtual: VirtualCluster): Promise<void> {
  await virtual.clock.run(virtual.cluster.confSet("auto_failover", "false"), 10_000);
  virtual.model.kill("tablet3");
  await virtual.pass(15_000);
}

/** Restarts c, which then has its data on disk and nothing loaded. */
export async function withC(virtual: VirtualCluster): Promise<void> {
  virtual.model.restart("tablet3");
  await virtual.pass(15_000);
}

/** The leader c takes rows, whose offset the nameserver records and which no follower gets. */
export async function loseTail(virtual: VirtualCluster, rows: number): Promise<void> {
  await disconnectFollower(virtual, A);
  await disconnectFollower(virtual, B);
  virtual.model.put(rows);
  await virtual.pass(5_000);
  await withoutC(virtual);
}

/** Removes the follower from the follower list of the leader c of partition 0. */
export async function disconnectFollower(virtual: VirtualCluster, follower: string): Promise<void> {
  const table = virtual.model.tables.find("t0", "db1");
  const id = { tid: table?.tid ?? 0, pid: 0 };
  await virtual.clock.run(virtual.cluster.delReplica(C, id, follower), 10_000);
}

/** Runs an operation in virtual time, bounded by two virtual hours; without lock and journal. */
export function operateOn(
  virtual: VirtualCluster,
  operation: Operation,
  changed: Partial<Cluster> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<OperationReport> {
  const cluster = { ...virtual.cluster, ...changed };
  const work = runOperation(cluster, operation, {
    limits: LIMITS,
    signal,
    onEvent: (event) => virtual.events.push(event),
    createGuard: (before) =>
      Promise.resolve(
        createGuard({ cluster, before, onEvent: (event) => virtual.events.push(event) }),
      ),
    review: () => Promise.resolve(false),
  });
  return virtual.clock.run(work, 7_200_000);
}

/** The refusal of an operation: message, hint and details as one text. */
export async function refusalOf(virtual: VirtualCluster, operation: Operation): Promise<string> {
  try {
    await operateOn(virtual, operation);
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "refused") throw thrown;
    return [thrown.message, thrown.hint ?? "", ...thrown.details].join("\n");
  }
  throw new Error("it was not refused");
}

/** The flags of all replicas of a partition of db1, such as `a leader alive`, by tablet. */
export function flagsOf({ model }: VirtualCluster, table = "t0", pid = 0): string[] {
  const info = model.tables.find(table, "db1");
  const part = info && partitionOf(info, pid);
  return (part?.partitionMeta ?? [])
    .map((meta) => {
      const flags = `${meta.isLeader ? "leader" : "follower"} ${meta.isAlive ? "alive" : "dead"}`;
      return `${meta.endpoint.replace(":9527", "")} ${flags}`;
    })
    .sort();
}

/** Sets the flags of a replica of db1.t0 at the nameserver, as another client would. */
export function setFlag(
  { model }: VirtualCluster,
  pid: number,
  endpoint: string,
  flags: { readonly isAlive?: boolean; readonly isLeader?: boolean },
): void {
  const info = model.tables.find("t0", "db1");
  const meta = info && metaOf(partitionOf(info, pid), endpoint);
  if (info === undefined || meta === undefined) throw new Error("there is no such replica");
  Object.assign(meta, flags);
  model.tables.save(info);
}

/** Writes a row into every partition of db1.t0 each 50 ms for a while, as clients do. */
export function writeFor({ model, clock }: VirtualCluster, ms: number): void {
  const end = clock.now() + ms;
  const write = () => {
    model.put(1, { db: "db1", table: "t0" });
    if (clock.now() < end) clock.setTimer(50, write);
  };
  write();
}

/** A call whose answer is lost after it had its effect, the first time. */
export function losingAnswer<A extends readonly unknown[]>(
  call: (...args: A) => Promise<void>,
): (...args: A) => Promise<void> {
  let isFirst = true;
  return async (...args) => {
    await call(...args);
    if (!isFirst) return;
    isFirst = false;
    throw new OpsError({ code: "unreachable", message: "the answer was lost", retryable: true });
  };
}
