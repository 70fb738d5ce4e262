import { create, isFieldSet, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type GetTableStatusRequest,
  GetTableStatusRequestSchema,
  GetTableStatusResponseSchema,
  type LoadTableRequest,
  TableMetaSchema,
  TableMode,
  type TableStatus,
  TableStatusSchema,
  type TabletServer,
} from "../../gen/openmldb/api_pb.js";
import { StorageMode } from "../../gen/openmldb/common_pb.js";
import { CompressType } from "../../gen/openmldb/type_pb.js";
import type { Handlers } from "../model/handlers.js";
import { type LoadedReplica, memoryBytes, NO_TABLE, OK, recordCount } from "../model/replica.js";
import type { Tablet } from "./tablet.js";
import type { LoadRequest } from "./tablet-load.js";
import {
  addReplica,
  changeRole,
  delReplica,
  IS_FOLLOWER,
  manifest,
  recoverSnapshot,
  termPair,
} from "./tablet-tasks.js";
import { traverse } from "./traverse.js";

/** The handlers of a tablet. */
export const TABLET_HANDLERS: Handlers<Tablet, (typeof TabletServer)["method"]> = {
  getTableStatus: (tablet, request) => {
    const answer = create(GetTableStatusResponseSchema, { code: 0 });
    // Assigned after `create`, which would otherwise process each status.
    answer.allTableStatus = wanted(tablet, request).map(statusOf);
    return answer;
  },

  loadTable: (tablet, request) => tablet.loads.load(loadRequestOf(request)),

  getTermPair: (tablet, request) => termPair(tablet, request.tid, request.pid, request.storageMode),

  getManifest: (tablet, request) => {
    const answer = manifest(tablet, request.tid, request.pid, request.storageMode);
    return "code" in answer ? answer : { ...OK, manifest: answer };
  },

  getTableFollower: (tablet, request) => {
    const replica = tablet.replica(request.tid, request.pid);
    if (replica === undefined) return NO_TABLE;
    if (replica.role === "follower") return IS_FOLLOWER;
    if (replica.links.size === 0) {
      return { code: 134, msg: "has no follower", offset: replica.offset };
    }
    const links = [...replica.links].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      ...OK,
      offset: replica.offset,
      followerInfo: links.map(([endpoint, link]) => ({ endpoint, offset: link.sent })),
    };
  },

  changeRole: (tablet, request) =>
    changeRole(tablet, request, {
      role: request.mode === TableMode.kTableLeader ? "leader" : "follower",
      term: request.term,
      followers: request.replicas,
    }),

  addReplica: (tablet, request) => addReplica(tablet, request, request.endpoint),

  delReplica: (tablet, request) => delReplica(tablet, request, request.endpoint),

  recoverSnapshot: (tablet, request) => recoverSnapshot(tablet, request),

  getTableSchema: (tablet, request) => {
    const replica = tablet.replica(request.tid, request.pid);
    return replica === undefined ? NO_TABLE : { ...OK, tableMeta: metaOf(replica) };
  },

  traverse: (tablet, request) =>
    traverse(
      tablet.replica(request.tid, request.pid),
      request,
      tablet.context.clock.wallTime() + tablet.clockAheadMs,
    ),
};

function wanted(tablet: Tablet, request: GetTableStatusRequest): readonly LoadedReplica[] {
  const { tid, pid } = request;
  const { field } = GetTableStatusRequestSchema;
  const byTid = isFieldSet(request, field.tid);
  const byPid = isFieldSet(request, field.pid);
  if (byTid && byPid) {
    const replica = tablet.replica(tid, pid);
    return replica === undefined ? [] : [replica];
  }
  if (!byTid && !byPid) return tablet.loaded();
  return tablet.loaded().filter((replica) => (byTid ? replica.tid === tid : replica.pid === pid));
}

function statusOf(replica: LoadedReplica): TableStatus {
  replica.status ??= Object.freeze(create(TableStatusSchema, describe(replica)));
  return replica.status;
}

function describe(replica: LoadedReplica): MessageInitShape<typeof TableStatusSchema> {
  const { storageMode, name } = replica.dir.meta;
  const rows = BigInt(recordCount(replica));
  const memory = memoryBytes(replica);
  const common = {
    tid: replica.tid,
    pid: replica.pid,
    offset: replica.offset,
    mode: replica.role === "leader" ? TableMode.kTableLeader : TableMode.kTableFollower,
    state: replica.state,
    recordCnt: rows,
    name,
    diskused: replica.diskUsed,
    storageMode,
  };
  if (storageMode === StorageMode.kMemory) {
    return {
      ...common,
      isExpire: true,
      idxCnt: rows,
      recordByteSize: memory.rows,
      recordIdxByteSize: memory.index,
      recordPkCnt: rows,
    };
  }
  const dir = `/db_${StorageMode[storageMode].slice(1).toLowerCase()}/${replica.tid}_${replica.pid}`;
  return { ...common, snapshotPath: `${dir}/snapshot/`, binlogPath: `${dir}/binlog/` };
}

/** The tablet's `table_meta.txt`, with the current role. */
function metaOf(replica: LoadedReplica): MessageInitShape<typeof TableMetaSchema> {
  const { name, db, storageMode, segCount, schema } = replica.dir.meta;
  const isLeader = replica.role === "leader";
  return {
    tid: replica.tid,
    name,
    pid: replica.pid,
    segCnt: segCount,
    replicas: [...replica.links.keys()],
    mode: isLeader ? TableMode.kTableLeader : TableMode.kTableFollower,
    ...(isLeader ? { term: replica.term } : {}),
    compressType: CompressType.kNoCompress,
    columnDesc: [...(schema?.columnDesc ?? [])],
    columnKey: [...(schema?.columnKey ?? [])],
    db,
    storageMode,
  };
}

function loadRequestOf(request: LoadTableRequest): LoadRequest {
  const meta = request.tableMeta;
  const has = (field: "db" | "segCnt" | "mode" | "term") =>
    meta !== undefined && isFieldSet(meta, TableMetaSchema.field[field]);
  return {
    tid: meta?.tid ?? 0,
    pid: meta?.pid ?? 0,
    name: meta?.name ?? "",
    db: has("db") ? meta?.db : undefined,
    segCount: has("segCnt") ? meta?.segCnt : undefined,
    mode: has("mode") ? (meta?.mode === TableMode.kTableLeader ? "leader" : "follower") : undefined,
    term: has("term") ? meta?.term : undefined,
    storageMode: meta?.storageMode ?? StorageMode.kMemory,
    replicas: meta?.replicas ?? [],
  };
}
