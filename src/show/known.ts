import { type Endpoint, replicaKey, type TableClaim } from "../model/cluster-state.js";
import { isInScope, type TableScope } from "../model/partition-name.js";
import { compareDatabases, compareText } from "../model/partition-view.js";
import { unknownName } from "../util/nearest.js";

/**
 * The databases of a cluster: those of ShowDatabase and those of tables, system databases first. Tables
 * without a database are ignored.
 */
export function databasesOf(listed: readonly string[], tables: readonly TableClaim[]): string[] {
  return [...new Set([...listed, ...tables.map((one) => one.db)])]
    .filter((db) => db !== "")
    .sort(compareDatabases);
}

/**
 * The selected tables, system databases first, then by database and name.
 *
 * @param listed Databases as listed by ShowDatabase.
 * @throws OpsError `refused` for a database or table that does not exist, with the nearest one.
 */
export function selectTables(
  tables: readonly TableClaim[],
  listed: readonly string[],
  { db, table }: TableScope,
): TableClaim[] {
  const databases = databasesOf(listed, tables);
  if (db !== undefined && db !== "" && !databases.includes(db))
    throw unknownName("database", db, databases);
  const inDatabase = tables.filter((one) => isInScope({ db }, one));
  const selected = inDatabase.filter((one) => isInScope({ table }, one));
  if (table !== undefined && selected.length === 0) {
    const names = [...new Set(inDatabase.map((one) => one.table))].sort(compareText);
    const place = db === undefined ? "" : ` in the database ${JSON.stringify(db)}`;
    throw unknownName(`table${place} named`, table, names);
  }
  return selected.sort((a, b) => compareDatabases(a.db, b.db) || compareText(a.table, b.table));
}

/**
 * Tables with the selected partitions; tables without any of them are left out.
 *
 * @param pids Empty for all.
 * @throws OpsError `refused` for a partition that none of the tables has.
 */
export function selectPartitions(
  tables: readonly TableClaim[],
  pids: readonly number[],
): readonly TableClaim[] {
  if (pids.length === 0) return tables;
  const known = new Set(tables.flatMap((one) => one.partitions.map(({ pid }) => pid)));
  for (const pid of pids) {
    const names = [...known].sort((a, b) => a - b).map(String);
    if (!known.has(pid)) throw unknownName("partition", String(pid), names);
  }
  return tables.flatMap((one) => {
    const partitions = one.partitions.filter(({ pid }) => pids.includes(pid));
    return partitions.length === 0 ? [] : [{ ...one, partitions }];
  });
}

/**
 * Database and name of each replica's table by `replicaKey`, for lists that have tid and pid only.
 */
export function tableNames(
  tables: readonly TableClaim[],
  on: Endpoint,
): ReadonlyMap<string, { readonly db: string; readonly table: string }> {
  return new Map(
    tables.flatMap(({ db, table, tid, partitions }) =>
      partitions
        .filter(({ replicas }) => replicas.some((one) => one.endpoint === on))
        .map(({ pid }) => [replicaKey({ tid, pid }), { db, table }] as const),
    ),
  );
}
