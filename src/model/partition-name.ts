import type { PartitionId } from "./cluster-state.js";

/** What a partition is called by: its database (empty: none), its table, and its number. */
export type PartitionRef = Pick<PartitionId, "db" | "table" | "pid">;

/** A name that needs no quotes: it cannot be taken for two names, nor for a list of them. */
const PLAIN = /^[\p{L}\p{N}\p{M}_-]+$/u;
const PART = "[\\p{L}\\p{N}\\p{M}_-]+|`(?:[^`]|``)*`";
/** A partition as `partitionName` writes it. */
const PARTITION = new RegExp(`^(?:(${PART})\\.)?(${PART}):(\\d{1,10})$`, "su");

/** A database or table where both stand in one text: in back quotes, as in SQL, unless it is plain. */
function quotedName(name: string): string {
  return PLAIN.test(name) ? name : `\`${name.replaceAll("`", "``")}\``;
}

/**
 * `db.table`, or the table alone if it has no database. Names that hold anything but letters, digits, `_`
 * and `-` stand in back quotes, so that no two tables share it: it is an identity.
 */
export function tableName({ db, table }: Pick<PartitionRef, "db" | "table">): string {
  return `${db === "" ? "" : `${quotedName(db)}.`}${quotedName(table)}`;
}

/** Reads back what `partitionName` wrote; undefined if the text is not of that form. */
export function parsePartitionName(text: string): PartitionRef | undefined {
  const [, db, table, pid] = PARTITION.exec(text) ?? [];
  if (table === undefined) return undefined;
  return { db: db === undefined ? "" : unquoted(db), table: unquoted(table), pid: Number(pid) };
}

function unquoted(part: string): string {
  return part.startsWith("`") ? part.slice(1, -1).replaceAll("``", "`") : part;
}

/** Takes a list of names apart at its commas; those inside back quotes belong to a name. */
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

/** The partitions that a text without quotes could mean, such as `a.b.c:0`: each way to read its dots. */
export function readingsOf(text: string): PartitionRef[] {
  const [, names, pid] = /^([^`]+):(\d{1,10})$/s.exec(text) ?? [];
  if (names === undefined) return [];
  const dots = [...names.matchAll(/\./g)].map(({ index }) => index);
  const pairs = dots.map((at) => ({ db: names.slice(0, at), table: names.slice(at + 1) }));
  return [...pairs, { db: "", table: names }]
    .filter(({ db, table }) => table !== "" && !names.startsWith(".") && db !== ".")
    .map((one) => ({ ...one, pid: Number(pid) }));
}
