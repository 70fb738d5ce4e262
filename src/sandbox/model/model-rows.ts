import type { TableInfo, TablePartition } from "../../gen/openmldb/nameserver_pb.js";
import type { PartitionNumbers } from "../../model/cluster-state.js";
import { SYSTEM_DATABASES } from "../nameserver/nameserver-rpc.js";
import { aliveLeader } from "../table-store.js";
import type { Tablet } from "../tablet/tablet.js";
import type { ModelCore } from "./model-core.js";
import type { PartitionFilter, PartitionRows, PutResult, ReplicaRows } from "./model-types.js";
import { isServing, recordCount } from "./replica.js";
import { type Run, rowCount, subtract } from "./runs.js";

function* partitions(
  model: ModelCore,
  filter: PartitionFilter | undefined,
): Generator<[TableInfo, TablePartition]> {
  for (const table of model.tables.all()) {
    if (filter === undefined && SYSTEM_DATABASES.includes(table.db)) continue;
    if (filter?.db !== undefined && filter.db !== table.db) continue;
    if (filter?.table !== undefined && filter.table !== table.name) continue;
    for (const part of table.tablePartition) {
      if (filter?.pid === undefined || filter.pid === part.pid) yield [table, part];
    }
  }
}

/**
 * Puts the same number of rows into each partition, as a client does: at the replica flagged leader and
 * alive.
 */
export function putRows(model: ModelCore, rows: number, filter?: PartitionFilter): PutResult[] {
  const results: PutResult[] = [];
  for (const [table, part] of partitions(model, filter)) {
    const endpoint = aliveLeader(part)?.endpoint;
    const refused = putInto(model, { tid: table.tid, pid: part.pid }, endpoint, rows);
    results.push({
      db: table.db,
      table: table.name,
      pid: part.pid,
      accepted: refused === undefined ? rows : 0,
      leader: endpoint,
      refused,
    });
  }
  return results;
}

/** @returns Why the put is refused, or undefined. */
function putInto(
  model: ModelCore,
  id: PartitionNumbers,
  endpoint: string | undefined,
  rows: number,
): string | undefined {
  if (endpoint === undefined) return "no alive leader";
  const process = model.findProcess(endpoint);
  if (process?.tablet === undefined || !process.isAnswering)
    return "the leader's tablet does not answer";
  const replica = process.tablet.replica(id.tid, id.pid);
  if (replica === undefined) return "the leader is not loaded";
  if (replica.role !== "leader") return "the tablet runs it as follower";
  if (!isServing(replica)) return "the leader is loading";
  if (rows > 0) model.ledger.acknowledge(id, process.tablet.put(replica, rows));
  return undefined;
}

/** Counts rows, acknowledged rows and lost rows of each partition. */
export function countRows(model: ModelCore, filter?: PartitionFilter): PartitionRows[] {
  return [...partitions(model, filter)].map(([table, part]) => {
    const id = { tid: table.tid, pid: part.pid };
    const acknowledged = model.ledger.of(id);
    const leader = servingLeader(model, id, part);
    const leaderRuns = leader?.replica(id.tid, id.pid)?.dir.runs;
    let lost: readonly Run[] = acknowledged;
    const replicas = part.partitionMeta.map(({ endpoint }): ReplicaRows => {
      const runs =
        model.tablets.get(endpoint)?.disk.dir(table.storageMode, id.tid, id.pid)?.runs ?? [];
      lost = subtract(lost, runs);
      return replicaRows(model, endpoint, id, { runs, acknowledged });
    });
    return {
      db: table.db,
      table: table.name,
      ...id,
      acknowledged: rowCount(acknowledged),
      leader: leader?.endpoint,
      served: leaderRuns && heldOf(acknowledged, leaderRuns),
      lost: rowCount(lost),
      replicas,
    };
  });
}

/** The tablet that serves a partition now. */
export function servingLeader(
  model: ModelCore,
  id: PartitionNumbers,
  part: TablePartition,
): Tablet | undefined {
  const endpoint = aliveLeader(part)?.endpoint;
  const process = endpoint === undefined ? undefined : model.findProcess(endpoint);
  const replica = process?.isAnswering ? process.tablet?.replica(id.tid, id.pid) : undefined;
  return replica?.role === "leader" && isServing(replica) ? process?.tablet : undefined;
}

function heldOf(acknowledged: readonly Run[], runs: readonly Run[]): number {
  return rowCount(acknowledged) - rowCount(subtract(acknowledged, runs));
}

function replicaRows(
  model: ModelCore,
  endpoint: string,
  id: PartitionNumbers,
  log: { readonly runs: readonly Run[]; readonly acknowledged: readonly Run[] },
): ReplicaRows {
  const process = model.findProcess(endpoint);
  const replica = process?.isUp ? process.tablet?.replica(id.tid, id.pid) : undefined;
  return {
    endpoint,
    isLoaded: replica !== undefined && isServing(replica),
    role: replica?.role,
    held: rowCount(log.runs),
    acknowledged: heldOf(log.acknowledged, log.runs),
    counted: replica && recordCount(replica),
  };
}
