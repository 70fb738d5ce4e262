import { isFieldSet } from "@bufbuild/protobuf";
import { OPType, TaskStatus } from "../../gen/openmldb/api_pb.js";
import {
  ChangeLeaderRequestSchema,
  type NameServer,
  OfflineEndpointRequestSchema,
  RecoverEndpointRequestSchema,
  ShowOPStatusRequestSchema,
  type ShowTableRequest,
  ShowTableRequestSchema,
  type TableInfo,
  UpdateTableAliveRequestSchema,
} from "../../gen/openmldb/nameserver_pb.js";
import type { Handlers } from "../model/handlers.js";
import { NO_TABLE, OK, type Outcome } from "../model/replica.js";
import { metaOf, partitionOf } from "../table-store.js";
import { createChangeLeader, offlineEndpoint, recoverEndpoint } from "./auto-failover.js";
import type { Nameserver } from "./nameserver.js";
import { currentTask } from "./nameserver-ops.js";
import {
  addReplicaNs,
  cancelOp,
  deleteOp,
  delReplicaNs,
  getTablePartition,
  INVALID,
  makeSnapshotNs,
  migrate,
  NOT_CREATED,
  setTablePartition,
  UNHEALTHY,
} from "./nameserver-rpc-more.js";

const NO_ENDPOINT: Outcome = { code: 302, msg: "endpoint does not exist" };
const NO_PID: Outcome = { code: 308, msg: "pid does not exist" };

/** Databases that ShowDatabase does not list. */
export const SYSTEM_DATABASES: readonly string[] = [
  "__INTERNAL_DB",
  "INFORMATION_SCHEMA",
  "__PRE_AGG_DB",
];

/** The answer to every method on a standby, and on a leader before its takeover. */
export const NOT_LEADER: Outcome = { code: 300, msg: "nameserver is not leader" };

/** The answer to {@link MANUAL_METHODS} while auto_failover is on. */
export const AUTO_FAILOVER_ON: Outcome = { code: 301, msg: "auto_failover is enabled" };
/** Methods, by local name, that are refused while auto_failover is on. */
export const MANUAL_METHODS: ReadonlySet<string> = new Set([
  "updateTableAliveStatus",
  "recoverTable",
  "changeLeader",
  "offlineEndpoint",
  "recoverEndpoint",
  "migrate",
  "cancelOP",
  "setTablePartition",
]);

/**
 * The handlers of a leading nameserver.
 *
 * @see OpenMLDB 0.9 nameserver: name_server_impl.cc
 */
export const NAMESERVER_HANDLERS: Handlers<Nameserver, (typeof NameServer)["method"]> = {
  showTablet: (server) => ({
    tablets: [...server.tablets].map(([endpoint, state]) => ({
      endpoint,
      state: state.isHealthy ? "kHealthy" : "kOffline",
      // Unsigned, as there: after its clock was set back it can be huge.
      age: BigInt.asUintN(64, BigInt(Math.floor(server.wallTime() - state.since))),
      ...(server.context.hasServerNames
        ? { realEndpoint: server.realEndpoints.get(endpoint) ?? "-" }
        : {}),
    })),
    ...OK,
  }),

  showTable: (server, request) => ({
    // Copies: an answer must not change with later updates.
    tableInfo: wanted(server, request).map((table) => server.tables.copyOf(table)),
    ...OK,
  }),

  showDatabase: (server) => {
    const { tree, root } = server.context;
    const names = tree.children(`${root}/db`) ?? [];
    return { ...OK, db: names.filter((name) => !SYSTEM_DATABASES.includes(name)) };
  },

  confGet: (server) => ({
    ...OK,
    conf: [{ key: "auto_failover", value: String(server.autoFailover) }],
  }),

  confSet: (server, request) => {
    const value = request.conf?.value.toLowerCase();
    if (request.conf?.key !== "auto_failover" || (value !== "true" && value !== "false"))
      return INVALID;
    server.setAutoFailover(value === "true");
    return OK;
  },

  updateTableAliveStatus: (server, request) => {
    if (!server.tablets.has(request.endpoint)) return NO_ENDPOINT;
    const table = server.tables.find(request.name, request.db);
    if (table === undefined) return NO_TABLE;
    const byPid = isFieldSet(request, UpdateTableAliveRequestSchema.field.pid);
    const parts = table.tablePartition.filter((part) => !byPid || part.pid === request.pid);
    const metas = parts.flatMap((part) => metaOf(part, request.endpoint) ?? []);
    if (metas.length === 0) return { code: 321, msg: "no pid has update" };
    for (const meta of metas) meta.isAlive = request.isAlive;
    server.tables.save(table);
    return OK;
  },

  recoverTable: (server, request) => {
    const { name, db, pid, endpoint } = request;
    if (!server.tablets.has(endpoint)) return NO_ENDPOINT;
    if (!server.isHealthy(endpoint)) return UNHEALTHY;
    const table = server.tables.find(name, db);
    if (table === undefined) return NO_TABLE;
    const meta = metaOf(partitionOf(table, pid), endpoint);
    if (meta === undefined) return NO_PID;
    if (meta.isAlive) return { code: 311, msg: "table is alive, need not recover" };
    // The answer does not show whether the op was created.
    server.ops.create(
      OPType.kRecoverTableOP,
      { name, db, pid },
      { endpoint, isLeader: meta.isLeader },
    );
    return OK;
  },

  changeLeader: (server, request) => {
    const { name, db, pid } = request;
    const table = server.tables.find(name, db);
    if (table === undefined) return NO_TABLE;
    const part = partitionOf(table, pid);
    if (part === undefined) return NO_PID;
    if (part.partitionMeta.length === 1) return { code: 134, msg: "no follower" };
    const hasCandidate = isFieldSet(request, ChangeLeaderRequestSchema.field.candidateLeader);
    const alive = part.partitionMeta.filter((meta) => meta.isAlive);
    if (!hasCandidate && alive.some((meta) => meta.isLeader)) {
      return { code: 309, msg: "leader is alive" };
    }
    if (alive.every((meta) => meta.isLeader)) return { code: 310, msg: "no alive follower" };
    const named =
      hasCandidate && request.candidateLeader !== "auto" && request.candidateLeader !== "";
    const how = named ? { candidate: request.candidateLeader } : {};
    const isCreated = createChangeLeader(server, { name, db, pid }, part, how);
    return isCreated ? OK : NOT_CREATED;
  },

  offlineEndpoint: (server, request) => {
    const { taskConcurrency, taskConcurrencyMax } = server.context.options;
    const isGiven = isFieldSet(request, OfflineEndpointRequestSchema.field.concurrency);
    if (isGiven && request.concurrency > taskConcurrencyMax) return INVALID;
    if (!server.tablets.has(request.endpoint)) return NO_ENDPOINT;
    offlineEndpoint(server, request.endpoint, isGiven ? request.concurrency : taskConcurrency);
    return OK;
  },

  recoverEndpoint: (server, request) => {
    const { taskConcurrency, taskConcurrencyMax } = server.context.options;
    const isGiven = isFieldSet(request, RecoverEndpointRequestSchema.field.concurrency);
    if (isGiven && request.concurrency > taskConcurrencyMax) return INVALID;
    if (!server.tablets.has(request.endpoint)) return NO_ENDPOINT;
    if (!server.isHealthy(request.endpoint)) return UNHEALTHY;
    const concurrency = isGiven ? request.concurrency : taskConcurrency;
    recoverEndpoint(server, request.endpoint, request.needRestore, concurrency);
    return OK;
  },

  showOPStatus: (server, request) => {
    const { field } = ShowOPStatusRequestSchema;
    const matches = (name: "name" | "pid" | "db" | "opId", value: unknown) =>
      !isFieldSet(request, field[name]) || request[name] === value;
    const ops = server.ops.list().filter(({ info }) => {
      const { name, pid, db, opId } = info;
      return (
        matches("name", name) && matches("pid", pid) && matches("db", db) && matches("opId", opId)
      );
    });
    return {
      ...OK,
      opStatus: ops.map((op) => ({
        opId: op.info.opId,
        opType: OPType[op.info.opType],
        status: TaskStatus[op.info.taskStatus],
        startTime: op.info.startTime,
        endTime: op.info.endTime,
        taskType: currentTask(op),
        name: op.info.name,
        pid: op.info.pid,
        forReplicaCluster: 0,
        db: op.info.db,
      })),
    };
  },

  cancelOP: cancelOp,
  deleteOP: deleteOp,
  migrate,
  addReplicaNS: addReplicaNs,
  delReplicaNS: delReplicaNs,
  makeSnapshotNS: makeSnapshotNs,
  getTablePartition,
  setTablePartition,
};

function wanted(server: Nameserver, request: ShowTableRequest): readonly TableInfo[] {
  const { name, db, showAll } = request;
  const { tables } = server;
  const byName = isFieldSet(request, ShowTableRequestSchema.field.name);
  if (showAll) return tables.all().filter((table) => !byName || table.name === name);
  if (!byName) return tables.all().filter((table) => table.db === "" || table.db === db);
  return [...new Set(["", db])].flatMap((one) => tables.find(name, one) ?? []);
}
