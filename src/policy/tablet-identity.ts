import type {
  Endpoint,
  ReplicaReport,
  SchemaClaim,
  TableClaim,
  TabletView,
} from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";

/** The nameserver's record, indexed for the comparison with what tablets have loaded. */
export interface RecordedTables {
  readonly tables: ReadonlyMap<number, TableClaim>;
  /** Tablets with a replica on record. */
  readonly endpoints: ReadonlySet<Endpoint>;
}

/** Indexes the nameserver's record by table id, and collects the tablets on record. */
export function recordedTables(tables: readonly TableClaim[]): RecordedTables {
  const endpoints = new Set<Endpoint>();
  for (const { partitions } of tables) {
    for (const { replicas } of partitions) for (const one of replicas) endpoints.add(one.endpoint);
  }
  return { tables: new Map(tables.map((one) => [one.tid, one])), endpoints };
}

/**
 * Compares what a tablet has loaded with the record, to detect a tablet of another cluster behind a
 * recycled address or an old entry of `map/names`.
 *
 * A table id always stands for the same table name: ids are never reused and OpenMLDB renames no table.
 * So another name under a known id is proof. Ids that are not on record can belong to tables created a
 * moment ago or to leftovers. They count only if the tablet has replicas on record and has loaded none
 * of them.
 *
 * @returns What contradicts the record, in words, and whether it is proof; undefined if nothing does.
 */
export function foreignTables(
  endpoint: Endpoint,
  reports: readonly ReplicaReport[],
  { tables, endpoints }: RecordedTables,
): { readonly text: string; readonly isProof: boolean } | undefined {
  let unknown: ReplicaReport | undefined;
  let isOurs = false;
  for (const report of reports) {
    const table = tables.get(report.tid);
    if (table === undefined) unknown ??= report;
    else if (report.table !== undefined && report.table !== table.table) {
      const names = [report.table, table.table].map((name) => JSON.stringify(name));
      const text = `it has loaded table ${names[0]} as tid ${report.tid}, which is ${names[1]} here`;
      return { text, isProof: true };
    } else isOurs ||= isOnRecord(endpoint, report, table);
  }
  if (isOurs || unknown === undefined || !endpoints.has(endpoint)) return undefined;
  const name = unknown.table === undefined ? "a table" : `table ${JSON.stringify(unknown.table)}`;
  return {
    text: `it has loaded ${name} with tid ${unknown.tid}, which is not a table on record here, and nothing that is on record there`,
    isProof: false,
  };
}

function isOnRecord(endpoint: Endpoint, { pid }: ReplicaReport, table: TableClaim): boolean {
  const partition = table.partitions.find((one) => one.pid === pid);
  return partition?.replicas.some((one) => one.endpoint === endpoint) === true;
}

/**
 * Compares the schema of a loaded replica with the record. LoadTable accepts any table name for a
 * replica, while database and columns stay as they are on the disk (OpenMLDB 0.9 tablet: LoadTable).
 *
 * @returns What differs, in words; undefined if nothing does. A value that either side leaves out is no
 *   difference.
 */
export function foreignSchema(record: TableClaim, schema: SchemaClaim): string | undefined {
  const { tid, columns } = record;
  const what = `its replica of tid ${tid}, which is ${tableName(record)} here,`;
  if (schema.table !== "" && schema.table !== record.table) {
    return `${what} is of table ${tableName(schema)}`;
  }
  if (schema.db !== "" && schema.db !== record.db) {
    return `${what} is of ${tableName(schema)}`;
  }
  if (schema.columns === undefined || columns === undefined) return undefined;
  return schema.columns === columns ? undefined : `${what} has other columns than the record`;
}

function tableName({ db, table }: { readonly db: string; readonly table: string }): string {
  return JSON.stringify(db === "" ? table : `${db}.${table}`);
}

/**
 * By how much a candidate's uptime may exceed the time that the missing tablet has been away: a tablet
 * that comes back at another address registers at once, while its old registration ends with its
 * ZooKeeper session.
 */
const SLACK_MS = 30_000n;

/**
 * Finds tablets that may have come back at another address. For each unregistered tablet with replicas
 * on record: the registered tablets that answer, have no replica on record, and did not start long
 * before the other one went away. Both ages are the nameserver's.
 *
 * @param recorded Tablets with a replica on record.
 * @returns Only tablets with a candidate; candidates are sorted by name.
 */
export function moveCandidates(
  tablets: ReadonlyMap<Endpoint, TabletView>,
  recorded: ReadonlySet<Endpoint>,
): ReadonlyMap<Endpoint, readonly Endpoint[]> {
  const views = [...tablets.values()];
  const spare = views
    .filter((one) => one.isRegistered && one.reports !== undefined && !recorded.has(one.endpoint))
    .sort((a, b) => compareText(a.endpoint, b.endpoint));
  const found = new Map<Endpoint, readonly Endpoint[]>();
  if (spare.length === 0) return found;
  for (const { endpoint, claim, isRegistered } of views) {
    if (isRegistered || !recorded.has(endpoint) || claim?.isHealthy === true) continue;
    const may = spare.filter((one) => {
      const upMs = one.claim?.ageMs;
      return upMs === undefined || claim === undefined || upMs <= claim.ageMs + SLACK_MS;
    });
    if (may.length > 0)
      found.set(
        endpoint,
        may.map((one) => one.endpoint),
      );
  }
  return found;
}
