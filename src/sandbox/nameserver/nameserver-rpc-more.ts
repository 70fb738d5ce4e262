import { clone, isFieldSet } from "@bufbuild/protobuf";
import { OPType, TaskStatus } from "../../gen/openmldb/api_pb.js";
import {
  type AddReplicaNSRequest,
  type CancelOPRequest,
  type DeleteOPRequest,
  DeleteOPRequestSchema,
  type DelReplicaNSRequest,
  type GetTablePartitionRequest,
  type MakeSnapshotNSRequest,
  type MigrateRequest,
  type SetTablePartitionRequest,
  type TableInfo,
  TablePartitionSchema,
} from "../../gen/openmldb/nameserver_pb.js";
import { NO_TABLE, OK, type Outcome } from "../model/replica.js";
import { aliveLeader, metaOf, partitionOf } from "../table-store.js";
import { makeSnapshot } from "../tablet/tablet-tasks.js";
import type { Nameserver } from "./nameserver.js";

/** A named tablet does not answer the nameserver. */
export const UNHEALTHY: Outcome = { code: 303, msg: "tablet is not healthy" };
/** The op cannot run, such as without an alive leader. */
export const NOT_CREATED: Outcome = { code: 305, msg: "create op failed" };
/** A field of the request has an impossible value. */
export const INVALID: Outcome = { code: 307, msg: "invalid parameter" };

/** CancelOP: the op ends at its current step; the effects of its steps stay. */
export function cancelOp(server: Nameserver, request: CancelOPRequest): Outcome {
  if (server.ops.cancel(request.opId)) return OK;
  return { code: 312, msg: "op status is not kDoing or kInited" };
}

/** DeleteOP: deletes one op, or all of one status (default kInited is refused) and database. */
export function deleteOp(server: Nameserver, request: DeleteOPRequest): Outcome {
  const byId = isFieldSet(request, DeleteOPRequestSchema.field.opId);
  const byDb = isFieldSet(request, DeleteOPRequestSchema.field.db);
  const { status } = request;
  if (!byId && (status === TaskStatus.kInited || status === TaskStatus.kDoing)) {
    return { code: 307, msg: "cannot delete the Inited OP" };
  }
  const count = server.ops.delete(({ info }) =>
    byId
      ? info.opId === request.opId
      : info.taskStatus === status && (!byDb || info.db === request.db),
  );
  return byId && count === 0 ? { code: 136, msg: "op id does not exist" } : OK;
}

/** GetTablePartition: the partition in the nameserver's memory; absent if there is no such pid. */
export function getTablePartition(server: Nameserver, request: GetTablePartitionRequest) {
  const table = server.tables.find(request.name, request.db);
  if (table === undefined) return NO_TABLE;
  const part = partitionOf(table, request.pid);
  return part === undefined ? OK : { ...OK, tablePartition: clone(TablePartitionSchema, part) };
}

/** SetTablePartition: replaces the whole record of the partition. */
export function setTablePartition(server: Nameserver, request: SetTablePartitionRequest): Outcome {
  const table = server.tables.find(request.name, request.db);
  if (table === undefined) return NO_TABLE;
  const given = request.tablePartition;
  const index = table.tablePartition.findIndex((part) => part.pid === given?.pid);
  if (given === undefined || index < 0) return OK;
  table.tablePartition[index] = clone(TablePartitionSchema, given);
  server.tables.save(table);
  server.status.invalidate();
  return OK;
}

/** MakeSnapshotNS: an op at the leader; with an offset it runs at once, without an op. */
export function makeSnapshotNs(server: Nameserver, request: MakeSnapshotNSRequest): Outcome {
  const { name, db, pid, offset } = request;
  const table = server.tables.find(name, db);
  if (table === undefined) return NO_TABLE;
  if (offset > 0n) {
    const leader = aliveLeader(partitionOf(table, pid));
    const tablet = leader && server.context.reachable(leader.endpoint);
    if (tablet !== undefined) makeSnapshot(tablet, { tid: table.tid, pid });
    return OK;
  }
  const isCreated = server.ops.create(OPType.kMakeSnapshotOP, { name, db, pid }, { endpoint: "" });
  return isCreated ? OK : NOT_CREATED;
}

/** Migrate: moves followers to another tablet. */
export function migrate(server: Nameserver, request: MigrateRequest): Outcome {
  const { srcEndpoint, desEndpoint, name, db } = request;
  if (!server.isHealthy(srcEndpoint)) {
    return { code: 318, msg: "src_endpoint does not exist or not healthy" };
  }
  if (!server.isHealthy(desEndpoint)) {
    return { code: 319, msg: "des_endpoint does not exist or not healthy" };
  }
  const table = server.tables.find(name, db);
  if (table === undefined) return NO_TABLE;
  for (const pid of request.pid) {
    const reason = whyNotMigrate(server, table, pid, request);
    if (reason !== undefined) return { code: 320, msg: reason };
  }
  for (const pid of request.pid) {
    const data = { endpoint: srcEndpoint, target: desEndpoint };
    server.ops.create(OPType.kMigrateOP, { name, db, pid }, data);
  }
  return OK;
}

function whyNotMigrate(
  server: Nameserver,
  table: TableInfo,
  pid: number,
  { srcEndpoint, desEndpoint, name }: MigrateRequest,
): string | undefined {
  const part = partitionOf(table, pid);
  const leader = aliveLeader(part)?.endpoint;
  if (leader === undefined) return `leader endpoint is empty. name[${name}] pid[${pid}]`;
  if (leader === srcEndpoint) return `cannot migrate leader. name[${name}] pid[${pid}]`;
  if (!server.isHealthy(leader)) return `leader[${leader}] is offline. name[${name}] pid[${pid}]`;
  if (metaOf(part, srcEndpoint)?.isAlive !== true) {
    return `src_endpoint[${srcEndpoint}] has not partition[${pid}]. name[${name}]`;
  }
  if (metaOf(part, desEndpoint)?.isAlive === true) {
    return `partition[${pid}] is already in des_endpoint[${desEndpoint}]. name[${name}]`;
  }
  return undefined;
}

function pidsOf(request: AddReplicaNSRequest | DelReplicaNSRequest): number[] {
  const pids = request.pidGroup.length > 0 ? request.pidGroup : [request.pid];
  return [...new Set(pids)].sort((a, b) => a - b);
}

/** AddReplicaNS: one op per partition, all in one queue. */
export function addReplicaNs(server: Nameserver, request: AddReplicaNSRequest): Outcome {
  const { name, db, endpoint } = request;
  if (!server.isHealthy(endpoint)) return UNHEALTHY;
  const table = server.tables.find(name, db);
  if (table === undefined) return NO_TABLE;
  const pids = pidsOf(request);
  if (pids.some((pid) => partitionOf(table, pid) === undefined)) return INVALID;
  const taken = pids.find((pid) => metaOf(partitionOf(table, pid), endpoint) !== undefined);
  if (taken !== undefined) return { code: 317, msg: `pid ${taken} is exist in ${endpoint}` };
  for (const pid of pids) {
    const place = { concurrency: 1 };
    if (!server.ops.create(OPType.kAddReplicaOP, { name, db, pid }, { endpoint }, place)) {
      return NOT_CREATED;
    }
  }
  return OK;
}

/** DelReplicaNS: followers only. */
export function delReplicaNs(server: Nameserver, request: DelReplicaNSRequest): Outcome {
  const { name, db, endpoint } = request;
  const table = server.tables.find(name, db);
  if (table === undefined) return NO_TABLE;
  if (!server.isHealthy(endpoint)) return UNHEALTHY;
  const pids = pidsOf(request);
  if (pids.some((pid) => partitionOf(table, pid) === undefined)) {
    return { code: 307, msg: "max pid is greater than partition size" };
  }
  for (const pid of pids) {
    const meta = metaOf(partitionOf(table, pid), endpoint);
    if (meta === undefined) return { code: 308, msg: `pid ${pid} is not in ${endpoint}` };
    if (meta.isLeader)
      return { code: 102, msg: `can not del leader. pid ${pid} endpoint ${endpoint}` };
  }
  for (const pid of pids) {
    if (!server.ops.create(OPType.kDelReplicaOP, { name, db, pid }, { endpoint })) {
      return NOT_CREATED;
    }
  }
  return OK;
}
