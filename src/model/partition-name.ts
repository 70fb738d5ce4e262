import type { PartitionId } from "./cluster-state.js";

/** A partition by name: database (empty: none), table, and pid. */
export type PartitionRef = Pick<PartitionId, "db" | "table" | "pid">;

/** A name that needs no quotes: it contains neither a dot nor a comma. */
const PLAIN = /^[\p{L}\p{N}\p{M}_-]+$/u;
const PART = "[\\p{L}\\p{N}\\p{M}_-]+|`(?:[^`]|``)*`";
/** The output of `partitionName`. */
const PARTITION = new RegExp(`^(?:(${PART})\\.)?(${PART}):(\\d{1,10})$`, "su");

/** The name of a database or table, in back quotes (as in SQL) unless it is plain. */
function quotedName(name: string): string {
  return PLAIN.test(name) ? name : `\`${name.replaceAll("`", "``")}\``;
}

/**
 * `db.table`, or the table alone if it has no database. Names with characters other than letters, digits, `_`
 * and `-` are put in back quotes, so the result is unique: no two tables share it.
 */
export function tableName({ db, table }: Pick<PartitionRef, "db" | "table">): string {
  return `${db === "" ? "" : `${quotedName(db)}.`}${quotedName(table)}`;
}

/** Selects tables by name; undefined means any. */
export interface TableScope {
  readonly db?: string | undefined;
  readonly table?: string | undefined;
}

/** True if a table, or an object of one, is among the selected ones. */
export function isInScope(
  { db, table }: TableScope,
  of: { readonly db: string; readonly table: string },
): boolean {
  return (db === undefined || db === of.db) && (table === undefined || table === of.table);
}

/** The key of a partition by name, for maps and sets; `replicaKey` is the one by table id. */
export function partitionKey({ db, table, pid }: PartitionRef): string {
  return JSON.stringify([db, table, pid]);
}

/** Parses the output of `partitionName`; undefined for any other text. */
export function parsePartitionName(text: string): PartitionRef | undefined {
  const [, db, table, pid] = PARTITION.exec(text) ?? [];
  if (table === undefined) return undefined;
  return { db: db === undefined ? "" : unquoted(db), table: unquoted(table), pid: Number(pid) };
}

function unquoted(part: string): string {
  return part.startsWith("`") ? part.slice(1, -1).replaceAll("``", "`") : part;
}

/** Splits a list of names at its commas; commas inside back quotes belong to a name. */
export function splitNames(text: string): string[] {
  const parts = [""];
  let isQuoted = false;
  for (const char of text) {
    if (char === "`") isQuoted = !isQuoted;
    if (char === "," && !isQuoted) parts.push("");
    else parts[parts.length - 1] += char;
  }
  return parts;
}

/** All partitions that an unquoted text such as `a.b.c:0` can mean: each dot may separate db and table. */
export function readingsOf(text: string): PartitionRef[] {
  const [, names, pid] = /^([^`]+):(\d{1,10})$/s.exec(text) ?? [];
  if (names === undefined) return [];
  const dots = [...names.matchAll(/\./g)].map(({ index }) => index);
  const pairs = dots.map((at) => ({ db: names.slice(0, at), table: names.slice(at + 1) }));
  return [...pairs, { db: "", table: names }]
    .filter(({ db, table }) => table !== "" && !names.startsWith(".") && db !== ".")
    .map((one) => ({ ...one, pid: Number(pid) }));
}
