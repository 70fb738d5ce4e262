import {
  type ClusterState,
  type Endpoint,
  followerKey,
  type PartitionClaim,
  type PartitionNumbers,
  type ReplicaClaim,
  type ReplicaReport,
  replicaKey,
  type TableClaim,
} from "../model/cluster-state.js";
import { tableName } from "../model/partition-name.js";
import { tabletHealth } from "../model/partition-view.js";
import { each, mapped, type Work } from "../model/work.js";
import type { Cell } from "../util/table.js";
import { bytesText } from "./readable.js";
import { STATE_WORDS } from "./replicas.js";
import { columns, orNothing, type Shown } from "./shown.js";

/** The status of one table, as in SQL's `SHOW TABLE STATUS`. */
export interface TableStatus {
  readonly table: TableClaim;
  /** Rows, memory and disk of the leaders only, as last seen by the nameserver. */
  readonly rows: bigint;
  readonly memoryBytes: bigint;
  readonly diskBytes: bigint;
  /** Replicas marked not alive, in all partitions together: OpenMLDB's Partition_unalive. */
  readonly unalive: number;
  readonly warnings: readonly string[];
}

/** The state that tables are compared with. */
interface Known {
  readonly state: ClusterState;
  /** Number of tablets that have loaded each partition, by `replicaKey`; absent means none. */
  readonly loaded: ReadonlyMap<string, number>;
}

/**
 * Sums up tables and compares nameserver and tablets, as OpenMLDB's SQL client does; may yield between
 * tables.
 *
 * @see OpenMLDB 0.9: ExecuteShowTableStatus and CheckTableStatus in sql_cluster_router.cc
 */
export function* tableStatuses(
  state: ClusterState,
  tables: readonly TableClaim[],
): Work<TableStatus[]> {
  const loaded = new Map<string, number>();
  yield* each(state.tablets.values(), ({ reports }) => {
    for (const key of reports?.keys() ?? []) loaded.set(key, (loaded.get(key) ?? 0) + 1);
  });
  return yield* mapped(tables, (table) => tableStatus({ state, loaded }, table));
}

function tableStatus(known: Known, table: TableClaim): TableStatus {
  const leaders = table.partitions.flatMap((one) => counted(one) ?? []);
  const sum = (of: (one: ReplicaClaim) => bigint) =>
    leaders.reduce((total, one) => total + of(one), 0n);
  return {
    table,
    rows: sum((one) => one.recordCount ?? 0n),
    memoryBytes: sum((one) => one.memoryBytes ?? 0n),
    diskBytes: sum((one) => one.diskBytes),
    unalive: table.partitions.flatMap((one) => one.replicas).filter((one) => !one.isAlive).length,
    warnings: [...table.partitions]
      .sort((a, b) => a.pid - b.pid)
      .flatMap((partition) => partitionWarnings(known, table, partition)),
  };
}

/**
 * The replica whose figures are shown for the partition: its alive leader, else the first one flagged leader.
 */
function counted({ replicas }: PartitionClaim): ReplicaClaim | undefined {
  return aliveLeader(replicas) ?? replicas.find((one) => one.isLeader);
}

function aliveLeader(replicas: readonly ReplicaClaim[]): ReplicaClaim | undefined {
  return replicas.find((one) => one.isLeader && one.isAlive);
}

function partitionWarnings(
  { state, loaded: counts }: Known,
  table: TableClaim,
  { pid, replicas }: PartitionClaim,
): string[] {
  const id = { tid: table.tid, pid };
  const key = replicaKey(id);
  const loaded = counts.get(key) ?? 0;
  const mismatch = `[pid=${pid}]: real replica number ${loaded} does not match the configured replicanum ${replicas.length}`;
  const own =
    loaded === 0
      ? []
      : replicas.flatMap((one) => {
          const report = state.tablets.get(one.endpoint)?.reports?.get(key);
          return replicaWarnings(state, pid, one, report);
        });
  return [
    ...(loaded === replicas.length ? [] : [mismatch]),
    ...own,
    ...linkWarnings(state, id, replicas),
  ];
}

function replicaWarnings(
  state: ClusterState,
  pid: number,
  claim: ReplicaClaim,
  report: ReplicaReport | undefined,
): string[] {
  const warning = (isLeader: boolean, text: string) =>
    `[pid=${pid}][${isLeader ? "leader" : "follower"}][${claim.endpoint}]: ${text}`;
  if (report === undefined) {
    const { tabletDetail } = tabletHealth(state.tablets.get(claim.endpoint));
    const why = tabletDetail === "" ? "" : ` (${tabletDetail})`;
    return [warning(claim.isLeader, `state is kNotFound${why}`)];
  }
  const isLeader = report.role === undefined ? claim.isLeader : report.role === "leader";
  // A follower may still be loading; a leader must not.
  const isOdd =
    report.state === "undefined" ||
    report.state === "other" ||
    (isLeader && report.state === "loading");
  return [
    ...(isLeader === claim.isLeader
      ? []
      : [warning(isLeader, "leader/follower mode inconsistent")]),
    ...(isOdd ? [warning(isLeader, `state is ${STATE_WORDS[report.state]}`)] : []),
  ];
}

/** Followers that the serving leader does not replicate to; unknown without a serving leader. */
function linkWarnings(
  state: ClusterState,
  id: PartitionNumbers,
  replicas: readonly ReplicaClaim[],
): string[] {
  const leader = aliveLeader(replicas);
  const report = leader && state.tablets.get(leader.endpoint)?.reports?.get(replicaKey(id));
  if (leader === undefined || report?.role !== "leader") return [];
  const list = state.followers.get(followerKey(leader.endpoint, id));
  if (list === undefined) {
    return [
      `[pid=${id.pid}]: fail to get from tablet: ${leader.endpoint} did not report its replication list`,
    ];
  }
  const notConnected = (endpoint: Endpoint) =>
    `[pid=${id.pid}][follower][${endpoint}]: not connected to leader`;
  return replicas
    .filter((one) => !one.isLeader && !list.followers.has(one.endpoint))
    .map((one) => notConnected(one.endpoint));
}

/** The status of tables in the given order; each warning on its own line after the table. */
export function shownTableStatus(statuses: readonly TableStatus[], empty: string): Shown {
  return {
    columns: columns(
      ...[">table_id", "table_name", "database_name", "?storage_type", ">rows"],
      ...["?>memory_data_size", "?>disk_data_size", "?>partition", ">partition_unalive"],
      ...["?>replica", ">warnings"],
    ),
    rows: statuses.map(({ table, ...one }) => [
      String(table.tid),
      table.table,
      orNothing(table.db),
      table.storageMode,
      String(one.rows),
      bytesText(one.memoryBytes),
      bytesText(one.diskBytes),
      String(table.partitions.length),
      countCell(one.unalive, "bad"),
      String(table.replicaCount),
      countCell(one.warnings.length, "doubtful"),
    ]),
    empty,
    notes: statuses.flatMap(({ table, warnings }) =>
      warnings.map((text) => `${tableName(table)} ${text}`),
    ),
    json: { tables: statuses.map(statusJson) },
  };
}

function countCell(count: number, color: "bad" | "doubtful"): Cell {
  return count === 0 ? "0" : { text: String(count), color };
}

function statusJson({ table, ...one }: TableStatus): Record<string, unknown> {
  return {
    tid: table.tid,
    table: table.table,
    db: table.db,
    storageMode: table.storageMode,
    rows: one.rows,
    memoryBytes: one.memoryBytes,
    diskBytes: one.diskBytes,
    partitions: table.partitions.length,
    partitionUnalive: one.unalive,
    replicas: table.replicaCount,
    warnings: one.warnings,
  };
}
