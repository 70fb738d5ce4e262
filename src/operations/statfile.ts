import type { Endpoint } from "../model/cluster-state.js";

/**
 * One line of a statfile: a partition whose leader `pre-upgrade` took off a tablet. The format is that
 * of `openmldb_ops.py`: `endpoint,db,name,tid,pid,added`, no quotes, no header.
 */
export interface StatLine {
  /** The tablet that led. */
  readonly endpoint: Endpoint;
  readonly db: string;
  readonly table: string;
  readonly tid: number;
  readonly pid: number;
  /** Where a replica was added, as the partition had only one; the empty string if none was. */
  readonly added: Endpoint;
}

/** The line as it is written, without its line break. */
export function statText({ endpoint, db, table, tid, pid, added }: StatLine): string {
  return [endpoint, db, table, tid, pid, added].join(",");
}

/**
 * Reads one line. A table name may hold commas: the two fields before it and the three behind it
 * cannot.
 *
 * @returns Undefined if it is no line of a statfile.
 */
export function parseStatLine(text: string): StatLine | undefined {
  const fields = text.split(",").map((field) => field.trim());
  if (fields.length < 6) return undefined;
  const [endpoint = "", db = ""] = fields;
  const [tid = "", pid = "", added = ""] = fields.slice(-3);
  const table = fields.slice(2, -3).join(",");
  const isNumber = (digits: string) => /^\d{1,10}$/.test(digits);
  if (endpoint === "" || table === "" || !isNumber(tid) || !isNumber(pid)) return undefined;
  return { endpoint, db, table, tid: Number(tid), pid: Number(pid), added };
}

/** The lines of a statfile in memory or on a disk. */
export interface StatStore {
  /** Where it is, for messages. */
  readonly path: string;
  /** The lines as they are now; undefined if there is no statfile. @throws OpsError `usage` if it cannot be read. */
  read(): readonly StatLine[] | undefined;
  /** Adds a line; it is on the disk when this returns. */
  append(line: StatLine): void;
  /** Makes an empty statfile if there is none. */
  touch(): void;
  /** Takes lines out that match; the statfile itself goes with its last line. */
  remove(matches: (line: StatLine) => boolean): void;
}

/** Whether a line is about a partition. */
export function isLineOf(
  line: StatLine,
  id: { readonly tid: number; readonly pid: number },
): boolean {
  return line.tid === id.tid && line.pid === id.pid;
}
