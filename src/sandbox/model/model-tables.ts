import { TableState } from "../../gen/openmldb/api_pb.js";
import { StorageMode } from "../../gen/openmldb/common_pb.js";
import type { TableInfo } from "../../gen/openmldb/nameserver_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import type { Nameserver } from "../nameserver/nameserver.js";
import { SYSTEM_DATABASES } from "../nameserver/nameserver-rpc.js";
import { newTable, putZnode } from "../table-store.js";
import { SANDBOX_SCHEMA, type TableSchema } from "./disk.js";
import { schemaWith } from "./indexes.js";
import type { ModelCore } from "./model-core.js";
import { putRows } from "./model-rows.js";
import type { TableSpec } from "./model-types.js";

const STORAGE_MODES = {
  memory: StorageMode.kMemory,
  ssd: StorageMode.kSSD,
  hdd: StorageMode.kHDD,
} as const;

/** The system tables of OpenMLDB 0.9, in the order of their creation, with their first rows. */
const SYSTEM_TABLES = [
  { db: "__INTERNAL_DB", table: "USER", rows: 1 },
  { db: "__INTERNAL_DB", table: "JOB_INFO", rows: 0 },
  { db: "__INTERNAL_DB", table: "PRE_AGG_META_INFO", rows: 0 },
  { db: "INFORMATION_SCHEMA", table: "GLOBAL_VARIABLES", rows: 4 },
  { db: "INFORMATION_SCHEMA", table: "DEPLOY_RESPONSE_TIME", rows: 0 },
] as const;

/**
 * Creates a table, loaded and empty on its tablets. Leaders are spread over the healthy tablets.
 *
 * @returns Its tid.
 * @throws Error without a leading nameserver, with fewer healthy tablets than replicas, or if the
 *   table exists.
 */
export function createTable(model: ModelCore, spec: TableSpec): number {
  const server = model.leader;
  if (server === undefined) throw new Error("no nameserver leads");
  if (server.tables.find(spec.table, spec.db) !== undefined) throw new Error("the table exists");
  const tablets = [...server.tablets].filter(([, state]) => state.isHealthy).map(([name]) => name);
  if (tablets.length < spec.replicas) throw new Error("there are fewer tablets than replicas");
  const tid = server.nextTableId();
  const schema = spec.indexes === undefined ? SANDBOX_SCHEMA : schemaWith(spec.indexes);
  const table = describe(model, server, { ...spec, tid, tablets, schema });
  if (spec.db !== "") putZnode(model.tree, `${model.root}/db/${spec.db}`, "");
  for (const part of table.tablePartition) createPartition(model, table, part.pid, schema);
  server.tables.set(table);
  server.tables.save(table);
  server.status.invalidate();
  return tid;
}

function describe(
  model: ModelCore,
  server: Nameserver,
  spec: TableSpec & {
    readonly tid: number;
    readonly tablets: readonly Endpoint[];
    readonly schema: TableSchema;
  },
): TableInfo {
  const { tid, tablets, partitions, replicas } = spec;
  const term = server.currentTerm();
  const tablePartition = Array.from({ length: partitions }, (_, pid) => {
    const holders = Array.from({ length: replicas }, (__, index) => {
      const endpoint = tablets[(tid + pid + index) % tablets.length] as Endpoint;
      return { endpoint, isLeader: index === 0 };
    });
    // As on real clusters, leaders are not always listed first.
    const turn = model.random.below(replicas);
    return {
      pid,
      partitionMeta: [...holders.slice(turn), ...holders.slice(0, turn)],
      termOffset: [{ term, offset: 0n }],
    };
  });
  return newTable({
    name: spec.table,
    tid,
    db: spec.db,
    partitionNum: partitions,
    replicaNum: replicas,
    storageMode: STORAGE_MODES[spec.storageMode ?? "memory"],
    columnDesc: [...spec.schema.columnDesc],
    columnKey: [...spec.schema.columnKey],
    tablePartition,
  });
}

function createPartition(
  model: ModelCore,
  table: TableInfo,
  pid: number,
  schema: TableSchema,
): void {
  const term = model.leader?.currentTerm() ?? 0n;
  const metas = table.tablePartition.find((part) => part.pid === pid)?.partitionMeta ?? [];
  const followers = metas.filter((meta) => !meta.isLeader).map((meta) => meta.endpoint);
  for (const { endpoint, isLeader } of metas) {
    const tablet = model.tablet(endpoint);
    const role = isLeader ? "leader" : "follower";
    const dir = tablet.disk.writeMeta(table.tid, pid, {
      name: table.name,
      db: table.db,
      mode: role,
      term: isLeader ? term : 0n,
      storageMode: table.storageMode,
      segCount: table.segCnt,
      schema,
    });
    const replica = tablet.add(
      {
        tid: table.tid,
        pid,
        dir,
        role,
        state: TableState.kTableNormal,
        term: isLeader ? term : 0n,
        offset: 0n,
      },
      isLeader ? followers : [],
    );
    tablet.replicator.wake(replica);
  }
}

/**
 * Creates the system databases and their tables (system_table_replica_num 2, if there are enough
 * tablets).
 */
export function createSystemTables(model: ModelCore): void {
  for (const db of SYSTEM_DATABASES) putZnode(model.tree, `${model.root}/db/${db}`, "");
  const replicas = Math.min(2, model.tablets.size);
  for (const { db, table, rows } of SYSTEM_TABLES) {
    createTable(model, { db, table, partitions: 1, replicas });
    if (rows > 0) putRows(model, rows, { db, table });
  }
}
