import { runOperation } from "../../src/execution/run-operation.js";
import type { LowerBounds } from "../../src/model/cluster-state.js";
import type { OperationReport } from "../../src/model/report.js";
import { verbOf } from "../../src/model/step.js";
import type { Operation } from "../../src/operations/operation.js";
import { createGuard } from "../../src/run/guard.js";
import { metaOf, partitionOf } from "../../src/sandbox/table-store.js";
import type { Limits } from "../../src/steps/step-context.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./virtual-cluster.js";

/** The limit of an operation in virtual time, milliseconds. */
const HOURS = 3 * 3_600_000;

/** Tablets a, b, c and d; db1.t0 with `partitions` of 30 rows and `replicas`, all healthy. */
export async function servingTable(
  options: { partitions?: number; replicas?: number; autoFailover?: boolean } = {},
): Promise<VirtualCluster> {
  const { partitions = 1, replicas = 3, autoFailover = false } = options;
  const virtual = await startVirtualCluster({ tablets: 4, model: { autoFailover } });
  virtual.model.createTable({ db: "db1", table: "t0", partitions, replicas });
  virtual.model.put(30);
  await virtual.pass(5_000);
  return virtual;
}

/**
 * Runs an operation to its end, as the commands that change the cluster do.
 *
 * @param remembered The evidence that an earlier run stored, by `replicaKey` of the partition.
 */
export function operateOn(
  virtual: VirtualCluster,
  operation: Operation,
  limits: Partial<Limits> = {},
  remembered: ReadonlyMap<string, LowerBounds> = new Map(),
): Promise<OperationReport> {
  const { cluster, clock, events } = virtual;
  const onEvent = (event: (typeof events)[number]) => void events.push(event);
  return clock.run(
    runOperation(cluster, operation, {
      limits: { ...LIMITS, ...limits },
      signal: new AbortController().signal,
      onEvent,
      knownOffsetsStore: {
        read: () => Promise.resolve(remembered),
        remember: () => Promise.resolve(),
        forget: () => Promise.resolve(),
      },
      createGuard: (before) => Promise.resolve(createGuard({ cluster, before, onEvent })),
      review: () => Promise.resolve(false),
    }),
    HOURS,
  );
}

/** The result of each action: `verb tablet result: detail`. */
export function resultsOf(report: OperationReport): string[] {
  return report.results.map(({ step, outcome }) => {
    const detail = "detail" in outcome && outcome.detail !== "" ? `: ${outcome.detail}` : "";
    return `${verbOf(step)} ${short(step.endpoint ?? "-")} ${outcome.result}${short(detail)}`;
  });
}

/** Endpoints without their ports. */
export function short(text: string): string {
  return text.replaceAll(/\b([a-h]|n\d):\d{4}\b/g, "$1");
}

/** The record of a partition of db1.t0: `tablet leader|follower alive|dead`, sorted. */
export function recordOf({ model }: VirtualCluster, pid = 0): string[] {
  const table = model.tables.find("t0", "db1");
  const metas = (table && partitionOf(table, pid))?.partitionMeta ?? [];
  return metas
    .map((one) => `${short(one.endpoint)} ${role(one.isLeader)} ${one.isAlive ? "alive" : "dead"}`)
    .sort();
}

/**
 * The leader of a partition of db1.t0 by the record, its followers, and the tablets without a replica
 * of it.
 */
export function placesOf(virtual: VirtualCluster, pid = 0) {
  const record = recordOf(virtual, pid).map((line) => line.split(" "));
  const at = (wanted: string) =>
    record.filter(([, is]) => is === wanted).map(([tablet]) => `${tablet}:9527`);
  const held = record.map(([tablet]) => `${tablet}:9527`);
  const all = [...virtual.model.tablets.keys()];
  return {
    leader: at("leader")[0] ?? "",
    followers: at("follower"),
    outsiders: all.filter((one) => !held.includes(one)),
  };
}

function role(isLeader: boolean): string {
  return isLeader ? "leader" : "follower";
}

/** Sets flags in the nameserver's record directly, without a call of a client. */
export function setFlags(
  { model }: VirtualCluster,
  endpoint: string,
  flags: { readonly isLeader?: boolean; readonly isAlive?: boolean },
  pid = 0,
): void {
  const table = model.tables.find("t0", "db1");
  const meta = table && metaOf(partitionOf(table, pid), endpoint);
  if (table === undefined || meta === undefined) throw new Error(`${endpoint} has no replica`);
  Object.assign(meta, flags);
  model.tables.save(table);
}
