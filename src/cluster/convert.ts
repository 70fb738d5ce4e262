import { createHash } from "node:crypto";
import { type DescField, fromBinary, type Message } from "@bufbuild/protobuf";
import { OpsError, usageError } from "../errors.js";
import {
  type GetTableFollowerResponse,
  type GetTermPairResponse,
  type Manifest,
  type TableMeta,
  TableMode,
  TableState,
  type TableStatus,
  TableStatusSchema,
  TaskStatus,
  type TraverseResponse,
} from "../gen/openmldb/api_pb.js";
import {
  type ColumnKey,
  ColumnKeySchema,
  type TTLSt,
  TTLStSchema,
  StorageMode as WireStorageMode,
} from "../gen/openmldb/common_pb.js";
import {
  type OPStatus,
  type PartitionMeta,
  PartitionMetaSchema,
  type TableInfo,
  TableInfoSchema,
  type TablePartition,
  type TabletStatus,
} from "../gen/openmldb/nameserver_pb.js";
import { CompressType, TTLType } from "../gen/openmldb/type_pb.js";
import type {
  DiskClaim,
  Endpoint,
  FollowerList,
  IndexClaim,
  Op,
  OpStatus,
  PartitionClaim,
  ReplicaClaim,
  ReplicaReport,
  ReplicaState,
  Role,
  SchemaClaim,
  SnapshotClaim,
  StorageMode,
  TableClaim,
  TabletClaim,
  Ttl,
} from "../model/cluster-state.js";
import type { RowPage } from "../model/rows.js";
import { interned } from "../util/interned.js";
import { takeTurns } from "../util/yielding.js";
import { madeOnce } from "./decode.js";
import { isSet } from "./required-fields.js";

// Messages are read field by field and never spread: default values are properties of the message's prototype,
// which `{...message}` does not copy.

const storageModes: Readonly<Record<WireStorageMode, StorageMode>> = {
  [WireStorageMode.kUnknown]: "unknown",
  [WireStorageMode.kMemory]: "memory",
  [WireStorageMode.kSSD]: "ssd",
  [WireStorageMode.kHDD]: "hdd",
};

const wireStorageModes: Readonly<Record<StorageMode, WireStorageMode>> = {
  unknown: WireStorageMode.kUnknown,
  memory: WireStorageMode.kMemory,
  ssd: WireStorageMode.kSSD,
  hdd: WireStorageMode.kHDD,
};

const states: Readonly<Record<TableState, ReplicaState>> = {
  [TableState.kTableUndefined]: "undefined",
  [TableState.kTableNormal]: "normal",
  [TableState.kTableLoading]: "loading",
  [TableState.kMakingSnapshot]: "making-snapshot",
  [TableState.kSnapshotPaused]: "snapshot-paused",
};

const wireOpStatuses: ReadonlyMap<OpStatus, TaskStatus> = new Map([
  ["inited", TaskStatus.kInited],
  ["doing", TaskStatus.kDoing],
  ["done", TaskStatus.kDone],
  ["failed", TaskStatus.kFailed],
  ["canceled", TaskStatus.kCanceled],
]);

/** By the name of the value, as answers carry it. */
const opStatuses: ReadonlyMap<string, OpStatus> = new Map(
  [...wireOpStatuses].map(([status, wire]) => [TaskStatus[wire], status]),
);

/** Number of replicas that {@link toTableClaims} converts before it yields: a few milliseconds of work. */
const replicasPerTurn = 5000;

/** True if the field has an enumeration value that the schema lacks: proto2 keeps it as an unknown field. */
function hasUnknownValue(message: Message, field: DescField): boolean {
  return message.$unknown?.some((unknown) => unknown.no === field.number) ?? false;
}

/** The storage mode as requests carry it (common.proto, StorageMode). */
export function toWireStorageMode(mode: StorageMode): WireStorageMode {
  return wireStorageModes[mode];
}

/** The role as requests carry it (api.proto, TableMode). */
export function toWireRole(role: Role): TableMode {
  return role === "leader" ? TableMode.kTableLeader : TableMode.kTableFollower;
}

function toStorageMode(info: TableInfo): StorageMode {
  // Absent means memory (tables of old versions, system tables). An unknown value must not be taken for memory.
  return hasUnknownValue(info, TableInfoSchema.field.storageMode)
    ? "unknown"
    : storageModes[info.storageMode];
}

const metaField = PartitionMetaSchema.field;

function toReplicaClaim(meta: PartitionMeta): ReplicaClaim {
  return {
    endpoint: interned(meta.endpoint),
    isLeader: meta.isLeader,
    isAlive: meta.isAlive,
    offset: isSet(meta, metaField.offset) ? meta.offset : undefined,
    recordCount: isSet(meta, metaField.recordCnt) ? meta.recordCnt : undefined,
    memoryBytes: isSet(meta, metaField.recordByteSize) ? meta.recordByteSize : undefined,
    diskBytes: sharedZero(meta.diskused),
  };
}

/** Returns one shared zero, which saves memory: each bigint is an object, and most of these values are zero. */
function sharedZero(value: bigint): bigint {
  return value === 0n ? 0n : value;
}

function toPartitionClaim(partition: TablePartition): PartitionClaim {
  return {
    pid: partition.pid,
    replicas: partition.partitionMeta.map(toReplicaClaim),
    terms: partition.termOffset.map(({ term, offset }) => ({ term, offset })),
  };
}

/**
 * Converts one table from the nameserver's answer or from ZooKeeper (nameserver.proto, TableInfo). Partitions and
 * replicas keep their order; replicas in other clusters are left out.
 */
export function toTableClaim(info: TableInfo): TableClaim {
  return {
    db: interned(info.db),
    table: interned(info.name),
    tid: info.tid,
    segCount: info.segCnt,
    storageMode: toStorageMode(info),
    replicaCount: info.replicaNum,
    compressType: CompressType[info.compressType] ?? String(info.compressType),
    columns: columnsDigest(info.columnDesc),
    partitions: info.tablePartition.map(toPartitionClaim),
  };
}

/** Converts many tables, in their order. Yields to the event loop in between. */
export async function toTableClaims(infos: readonly TableInfo[]): Promise<TableClaim[]> {
  const tables: TableClaim[] = [];
  const turn = takeTurns(replicasPerTurn);
  for (const info of infos) {
    const table = toTableClaim(info);
    tables.push(table);
    let rest: Promise<void> | undefined;
    for (const { replicas } of table.partitions) for (const _ of replicas) rest = turn() ?? rest;
    if (rest !== undefined) await rest;
  }
  return tables;
}

/**
 * An age beyond this is a negative number sent as unsigned. The nameserver computes the age as a difference of wall
 * times (OpenMLDB 0.9 nameserver: ShowTablet), which is negative after its clock was set back.
 */
const AGE_MAX_MS = 2n ** 63n;

/** Converts a tablet's status (nameserver.proto, TabletStatus). Before OpenMLDB 0.5 the state was `kTabletHealthy`. */
export function toTabletClaim(status: TabletStatus): TabletClaim {
  return {
    endpoint: status.endpoint,
    isHealthy: status.state === "kHealthy" || status.state === "kTabletHealthy",
    state: status.state,
    ageMs: status.age > AGE_MAX_MS ? 0n : status.age,
    realEndpoint: status.realEndpoint === "-" ? "" : status.realEndpoint,
  };
}

/** Converts one op (nameserver.proto, OPStatus). */
export function toOp(status: OPStatus): Op {
  return {
    id: status.opId,
    type: status.opType,
    status: opStatuses.get(status.status) ?? "other",
    db: status.db,
    table: status.name,
    pid: status.pid,
    task: status.taskType,
    startTime: status.startTime,
    endTime: status.endTime,
  };
}

/**
 * Converts one loaded replica (api.proto, TableStatus). The tablet omits `state` if the value is outside the
 * enumeration, and `offset` if the replica has no replicator; the offset is 0 then.
 */
export function toReplicaReport(status: TableStatus): ReplicaReport {
  return madeOnce(status, toReport);
}

function toReport(status: TableStatus): ReplicaReport {
  const { mode, state } = TableStatusSchema.field;
  return {
    tid: status.tid,
    pid: status.pid,
    role: isSet(status, mode)
      ? status.mode === TableMode.kTableLeader
        ? "leader"
        : "follower"
      : undefined,
    state: isSet(status, state) ? states[status.state] : "other",
    offset: status.offset,
    recordCount: status.recordCnt,
    memoryBytes: status.recordByteSize,
    indexBytes: status.recordIdxByteSize,
    diskBytes: sharedZero(status.diskused),
    table: status.name === "" ? undefined : interned(status.name),
  };
}

/** Converts a leader's replication list; empty after response code 134 (no follower). */
export function toFollowerList(response: GetTableFollowerResponse): FollowerList {
  return {
    offset: response.offset,
    followers: new Map(
      response.followerInfo.map(({ endpoint, offset }) => [interned(endpoint), offset]),
    ),
  };
}

/** Converts term and offset of a replica (api.proto, GetTermPairResponse); see {@link DiskClaim}. */
export function toDiskClaim(response: GetTermPairResponse): DiskClaim {
  return {
    isLoaded: response.hasTable,
    isLeader: response.isLeader,
    term: response.term,
    offset: response.offset,
  };
}

/** Converts a table's schema (api.proto, TableMeta); missing names become empty. @throws OpsError `bad-answer`. */
export function toSchemaClaim(endpoint: Endpoint, meta: TableMeta | undefined): SchemaClaim {
  return {
    table: meta?.name ?? "",
    db: meta?.db ?? "",
    columns: columnsDigest(meta?.columnDesc ?? []),
    segCount: meta?.segCnt ?? 0,
    indexes: (meta?.columnKey ?? []).map((bytes) => toIndexClaim(endpoint, bytes)),
  };
}

/** Digest of a list of columns, each given as encoded ColumnDesc (common.proto); undefined for an empty list. */
function columnsDigest(columns: readonly Uint8Array[]): string | undefined {
  if (columns.length === 0) return undefined;
  const ends = Uint32Array.from(columns, (column) => column.length);
  const text = Buffer.concat([new Uint8Array(ends.buffer), ...columns]);
  return createHash("sha256").update(text).digest("base64");
}

/** Converts an index. Column names are joined as the tablet does it (OpenMLDB 0.9: TableIndex::FillIndexVal). */
function toIndexClaim(endpoint: Endpoint, bytes: Uint8Array): IndexClaim {
  const { indexName, colName, flag, ttl } = indexOf(endpoint, bytes);
  const [first = indexName, ...more] = colName;
  return {
    name: indexName,
    columns: more.length === 0 ? first : colName.map((one) => `${one}|`).join(""),
    isDeleted: flag !== 0,
    ttl: {
      kind: ttl === undefined ? "absolute" : ttlKindOf(ttl),
      absMs: (ttl?.absTtl ?? 0n) * MINUTE_MS,
      latest: ttl?.latTtl ?? 0n,
    },
  };
}

const MINUTE_MS = 60_000n;

function indexOf(endpoint: Endpoint, bytes: Uint8Array): ColumnKey {
  try {
    return fromBinary(ColumnKeySchema, bytes);
  } catch (cause) {
    throw new OpsError({
      code: "bad-answer",
      message: `GetTableSchema at ${endpoint}: an index of the table cannot be read`,
      endpoint,
      cause,
    });
  }
}

/** An unknown kind must not be taken for the default. */
function ttlKindOf(ttl: TTLSt): Ttl["kind"] {
  if (hasUnknownValue(ttl, TTLStSchema.field.ttlType)) return "unknown";
  return ttlKinds[ttl.ttlType];
}

const ttlKinds: Readonly<Record<TTLType, Ttl["kind"]>> = {
  [TTLType.kAbsoluteTime]: "absolute",
  [TTLType.kRelativeTime]: "unknown",
  [TTLType.kLatestTime]: "latest",
  [TTLType.kAbsAndLat]: "absandlat",
  [TTLType.kAbsOrLat]: "absorlat",
};

/** Converts a page of rows (api.proto, TraverseResponse). */
export function toRowPage({ pairs, count, pk, ts, isFinish }: TraverseResponse): RowPage {
  return { pairs, count, stoppedAt: isFinish ? undefined : { pk, ts } };
}

/** Converts a snapshot on disk (api.proto, Manifest). */
export function toSnapshotClaim(manifest: Manifest): SnapshotClaim {
  return { offset: manifest.offset, term: manifest.term, recordCount: manifest.count };
}

/**
 * An op's status as requests carry it (api.proto, TaskStatus).
 *
 * @throws OpsError `usage` for `other`, which has no value in the enumeration.
 */
export function toWireOpStatus(status: OpStatus): TaskStatus {
  const found = wireOpStatuses.get(status);
  if (found !== undefined) return found;
  throw usageError(`op status ${status} cannot be requested`);
}
