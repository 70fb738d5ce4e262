import type { Cluster } from "../../src/cluster/cluster.js";
import type { ZooKeeper } from "../../src/cluster/zookeeper.js";
import { gatherFacts } from "../../src/commands/inspect-facts.js";
import type { PartitionMeta, TableInfo } from "../../src/gen/openmldb/nameserver_pb.js";
import type { InspectFacts } from "../../src/inspect/facts.js";
import { type Inspection, inspectFacts } from "../../src/inspect/inspection.js";
import { subjectText } from "../../src/inspect/rule.js";
import { partitionName } from "../../src/model/partition-view.js";
import { finish } from "../../src/model/work.js";
import { createKnownOffsetsStore } from "../../src/run/known-offsets-store.js";
import type { LoadedReplica } from "../../src/sandbox/model/replica.js";
import { metaOf, partitionOf } from "../../src/sandbox/table-store.js";
import { treeZooKeeper } from "../../src/sandbox/znode-tree.js";
import { print } from "./printing.js";
import { startVirtualCluster, type VirtualCluster } from "./virtual-cluster.js";

const HOUR = 3_600_000;

/** Three tablets a, b, c; db1.t0 with two partitions of three replicas and 30 rows; all healthy. */
export async function wellCluster(): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({ model: { autoFailover: true } });
  virtual.model.createTable({ db: "db1", table: "t0", partitions: 2, replicas: 3 });
  virtual.model.put(30);
  await virtual.pass(5_000);
  return virtual;
}

/** The parts of {@link InspectFacts} that a test can set. */
export type LookChoice = Partial<Pick<InspectFacts, "maxLag" | "scope" | "nowMs">> & {
  readonly lost?: readonly string[];
};

/** Observes a virtual cluster through the real clients. */
export function factsOf(
  virtual: VirtualCluster,
  choice: LookChoice = {},
  answers: Partial<Cluster> = {},
  zk: ZooKeeper = treeZooKeeper(virtual.model.tree),
): Promise<InspectFacts> {
  return virtual.clock.run(
    gatherFacts({
      cluster: { ...virtual.cluster, ...answers },
      zk,
      rootPath: "/openmldb",
      zkHosts: ["zk1:2181"],
      db: choice.scope?.db,
      table: choice.scope?.table,
      lost: choice.lost ?? [],
      maxLag: choice.maxLag ?? 10_000n,
      knownOffsetsStore: createKnownOffsetsStore({
        zk,
        clock: virtual.clock,
        rootPath: "/openmldb",
        onEvent: () => undefined,
      }),
      signal: new AbortController().signal,
      print,
    }),
    HOUR,
  );
}

/** Observes a virtual cluster and inspects it. */
export async function inspectionOf(
  virtual: VirtualCluster,
  choice: LookChoice = {},
): Promise<Inspection> {
  return finish(inspectFacts(await factsOf(virtual, choice)));
}

/** The result of an inspection as text: one line for each unhealthy partition, and one for each finding. */
export function summaryOf({ partitions, findings, isHealthy }: Inspection): string[] {
  return [
    isHealthy ? "healthy" : "NOT healthy",
    ...partitions.map(({ grade, id, problems }) => {
      const found = problems.map(({ code, endpoint }) => `${code} ${endpoint ?? ""}`.trim());
      return `${grade} ${partitionName(id)}: ${found.join(", ")}`;
    }),
    ...findings.map(({ code, level, subject }) => `${level} ${code} ${subjectText(subject)}`),
  ];
}

/** The nameserver's record of db1.t0, to be changed in place. */
export function tableOf({ model }: VirtualCluster, name = "t0"): TableInfo {
  const table = model.leader?.tables.find(name, "db1");
  if (table === undefined) throw new Error(`there is no db1.${name}`);
  return table;
}

/** The nameserver's record of one replica of db1.t0, to be changed in place. */
export function recordOf(virtual: VirtualCluster, endpoint: string, pid = 0): PartitionMeta {
  const meta = metaOf(partitionOf(tableOf(virtual), pid), endpoint);
  if (meta === undefined) throw new Error(`there is no replica at ${endpoint}`);
  return meta;
}

/** A replica of db1.t0 in the memory of its tablet, to be changed in place. */
export function loadedOf(virtual: VirtualCluster, endpoint: string, pid = 0): LoadedReplica {
  const replica = virtual.model.tablet(endpoint).replica(tableOf(virtual).tid, pid);
  if (replica === undefined) throw new Error(`${endpoint} has not loaded it`);
  return replica;
}

/** Writes the nameserver's record to ZooKeeper, as it does after changes of its own. */
export function save(virtual: VirtualCluster): void {
  virtual.model.leader?.tables.save(tableOf(virtual));
}
