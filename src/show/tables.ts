import type { PartitionClaim, ReplicaClaim, TableClaim } from "../model/cluster-state.js";
import { isSystemDatabase } from "../model/partition-view.js";
import type { Cell } from "../util/table.js";
import { lazyList } from "../util/text.js";
import { bytesText } from "./readable.js";
import { columns, NOTHING, orNothing, type Shown } from "./shown.js";

/** Every database with its number of tables and partitions; see `databasesOf` for the order. */
export function shownDatabases(databases: readonly string[], tables: readonly TableClaim[]): Shown {
  const rows = databases.map((name) => {
    const own = tables.filter((one) => one.db === name);
    return {
      name,
      system: isSystemDatabase(name),
      tables: own.length,
      partitions: own.reduce((sum, one) => sum + one.partitions.length, 0),
    };
  });
  return {
    columns: columns("database", "kind", ">tables", ">partitions"),
    rows: rows.map((one) => [
      one.name,
      one.system ? "system" : "user",
      String(one.tables),
      String(one.partitions),
    ]),
    empty: "there is no database",
    json: { databases: rows },
  };
}

/**
 * Tables by the nameserver's record, a line for each replica (nameserver.proto, PartitionMeta). Offset,
 * rows and sizes are up to 2 s old, and older if the replica is not loaded.
 *
 * @param tables In the order in which they are shown.
 */
export function shownTables(tables: readonly TableClaim[], empty: string): Shown {
  return {
    columns: columns(
      ...["db", "name", ">tid", ">pid", "endpoint", "role", "is_alive"],
      ...[">offset", "?>record_cnt", "?>memused", "?>diskused"],
    ),
    // Created while they are written: there can be 100,000s.
    rows: {
      *[Symbol.iterator]() {
        for (const one of tables) yield* tableRows(one);
      },
    },
    empty,
    json: { tables: lazyList(tables, tableJson) },
  };
}

const NO_REPLICA: readonly Cell[] = Array.from({ length: 7 }, () => NOTHING);
const NO_PARTITION: readonly Cell[] = [NOTHING, ...NO_REPLICA];

function tableRows(one: TableClaim): Cell[][] {
  return one.partitions.length === 0
    ? [[orNothing(one.db), one.table, String(one.tid), ...NO_PARTITION]]
    : inPidOrder(one).flatMap((partition) => partitionRows(one, partition));
}

function inPidOrder(table: TableClaim): PartitionClaim[] {
  return [...table.partitions].sort((a, b) => a.pid - b.pid);
}

function partitionRows(table: TableClaim, { pid, replicas }: PartitionClaim): Cell[][] {
  const begin = [orNothing(table.db), table.table, String(table.tid), String(pid)];
  if (replicas.length === 0) return [[...begin, ...NO_REPLICA]];
  return replicas.map((one) => [...begin, ...replicaCells(one)]);
}

function replicaCells(one: ReplicaClaim): Cell[] {
  return [
    one.endpoint,
    one.isLeader ? "leader" : "follower",
    one.isAlive ? "yes" : { text: "no", color: "bad" },
    one.offset === undefined ? NOTHING : String(one.offset),
    one.recordCount === undefined ? NOTHING : String(one.recordCount),
    one.memoryBytes === undefined ? NOTHING : bytesText(one.memoryBytes),
    bytesText(one.diskBytes),
  ];
}

function tableJson(one: TableClaim): Record<string, unknown> {
  return {
    db: one.db,
    table: one.table,
    tid: one.tid,
    storageMode: one.storageMode,
    compressType: one.compressType,
    replicaCount: one.replicaCount,
    partitions: inPidOrder(one).map(({ pid, replicas, terms }) => ({
      pid,
      terms,
      replicas: replicas.map((replica) => ({
        endpoint: replica.endpoint,
        role: replica.isLeader ? "leader" : "follower",
        alive: replica.isAlive,
        offset: replica.offset ?? null,
        rows: replica.recordCount ?? null,
        memoryBytes: replica.memoryBytes ?? null,
        diskBytes: replica.diskBytes,
      })),
    })),
  };
}
