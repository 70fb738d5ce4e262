import { TableState } from "../../gen/openmldb/api_pb.js";
import type { PartitionMeta, TableInfo, TablePartition } from "../../gen/openmldb/nameserver_pb.js";
import type { PartitionNumbers } from "../../model/cluster-state.js";
import { tableName } from "../../model/partition-name.js";
import type { ModelCore } from "./model-core.js";
import { servingLeader } from "./model-rows.js";
import type { LoadedReplica } from "./replica.js";
import { rowCount, subtract } from "./runs.js";

/**
 * Checks the whole cluster from the inside, independently of the calls of clients.
 *
 * @returns One line for each fault. Empty: every replica is flagged alive, loaded, normal, in the role
 *   of its flags, in the replication list of its leader, and has the same entries as its leader.
 */
export function complaints(model: ModelCore): string[] {
  const found: string[] = [];
  const server = model.leader;
  if (server === undefined) found.push("no nameserver leads");
  for (const process of model.processes) {
    if (!process.isAnswering) found.push(`${process.name} does not answer`);
    const { tablet } = process;
    if (tablet !== undefined && server?.isHealthy(tablet.endpoint) === false) {
      found.push(`${process.name} is not healthy for the nameserver`);
    }
  }
  for (const table of model.tables.all()) {
    for (const part of table.tablePartition) {
      for (const one of partitionComplaints(model, table, part)) found.push(one);
    }
  }
  return found;
}

function partitionComplaints(model: ModelCore, table: TableInfo, part: TablePartition): string[] {
  const id = { tid: table.tid, pid: part.pid };
  const found: string[] = [];
  const flagged = part.partitionMeta.filter((meta) => meta.isLeader).length;
  if (flagged !== 1) found.push(`${flagged} replicas are flagged leader`);
  const leader = servingLeader(model, id, part)?.replica(id.tid, id.pid);
  if (leader === undefined) found.push("no leader serves");
  for (const meta of part.partitionMeta) {
    const wrong = replicaComplaint(model, id, meta, leader);
    if (wrong !== undefined) found.push(`${meta.endpoint} ${wrong}`);
  }
  const name = `${tableName({ db: table.db, table: table.name })}/${part.pid}`;
  return found.map((what) => `${name}: ${what}`);
}

function replicaComplaint(
  model: ModelCore,
  id: PartitionNumbers,
  meta: PartitionMeta,
  leader: LoadedReplica | undefined,
): string | undefined {
  if (!meta.isAlive) return "is flagged not alive";
  const process = model.findProcess(meta.endpoint);
  const replica = process?.isAnswering ? process.tablet?.replica(id.tid, id.pid) : undefined;
  if (replica === undefined) return "is not loaded";
  if (process?.tablet?.ownDisk !== undefined) return "is a tablet of another cluster";
  if (replica.state !== TableState.kTableNormal) return `is in state ${TableState[replica.state]}`;
  if ((replica.role === "leader") !== meta.isLeader) return `is loaded as ${replica.role}`;
  if (replica.extraRows > 0) return `has ${replica.extraRows} rows twice`;
  if (leader === undefined || replica === leader) return undefined;
  const link = leader.links.get(meta.endpoint);
  if (link === undefined) return "its leader does not replicate to it";
  // No follower is behind an empty leader.
  const isThere = link.isMatched && link.sent >= leader.offset;
  if (!isThere && leader.offset > 0n) return "is behind its leader";
  return differs(replica, leader) ? "has other entries than its leader" : undefined;
}

function differs(replica: LoadedReplica, leader: LoadedReplica): boolean {
  const [mine, its] = [replica.dir.runs, leader.dir.runs];
  return rowCount(mine) !== rowCount(its) || subtract(mine, its).length > 0;
}
