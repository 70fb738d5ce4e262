import type { Endpoint, PartitionId } from "../model/cluster-state.js";

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

/** The lines of a statfile in memory or on a disk. */
export interface StatStore {
  /** Where it is, for messages. */
  readonly path: string;
  /** The lines as they are now; undefined if there is no statfile. @throws OpsError `usage` if it cannot be read, or is no statfile of this cluster. */
  read(): readonly StatLine[] | undefined;
  /** Adds a line; it is on the disk when this returns. */
  append(line: StatLine): void;
  /** Makes an empty statfile if there is none. */
  touch(): void;
  /** Takes lines out that match; the statfile itself goes with its last line. */
  remove(matches: (line: StatLine) => boolean): void;
}

/**
 * Whether a line is about a partition: all of its name has to agree. Table ids alone are counted from 1 in
 * every cluster, so that a line of another cluster would fit.
 */
export function isLineOf(line: StatLine, id: PartitionId): boolean {
  return hasNumbersOf(line, id) && line.db === id.db && line.table === id.table;
}

/** Whether a line has the numbers of a partition, and another database or table. */
export function contradicts(line: StatLine, id: PartitionId): boolean {
  return hasNumbersOf(line, id) && !isLineOf(line, id);
}

function hasNumbersOf(line: StatLine, id: PartitionId): boolean {
  return line.tid === id.tid && line.pid === id.pid;
}
