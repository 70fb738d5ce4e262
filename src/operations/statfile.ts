import type { Endpoint, PartitionId } from "../model/cluster-state.js";

/**
 * One line of a statfile: a partition whose leader `pre-upgrade` moved off a tablet. The format is that
 * of `openmldb_ops.py`: `endpoint,db,name,tid,pid,added`, without quotes and header.
 */
export interface StatLine {
  /** The tablet that led. */
  readonly endpoint: Endpoint;
  readonly db: string;
  readonly table: string;
  readonly tid: number;
  readonly pid: number;
  /** The tablet where a replica was added because the partition had only one; empty if none was. */
  readonly added: Endpoint;
}

/** Formats a line, without its line break. */
export function statText({ endpoint, db, table, tid, pid, added }: StatLine): string {
  return [endpoint, db, table, tid, pid, added].join(",");
}

/** The lines of a statfile in memory or on a disk. */
export interface StatStore {
  /** Where it is, for messages. */
  readonly path: string;
  /**
   * Reads the current lines; undefined if there is no statfile.
   *
   * @throws OpsError `usage` if it cannot be read or is not a statfile of this cluster.
   */
  read(): readonly StatLine[] | undefined;
  /** Adds a line, which is on disk when this returns. */
  append(line: StatLine): void;
  /** Creates an empty statfile if there is none. */
  touch(): void;
  /** Removes matching lines; the statfile is deleted with its last line. */
  remove(matches: (line: StatLine) => boolean): void;
}

/**
 * True if a line is about a partition: database, table, tid and pid must all match. Table ids are
 * counted from 1 in every cluster, so alone they would match a line of another cluster.
 */
export function isLineOf(line: StatLine, id: PartitionId): boolean {
  return hasNumbersOf(line, id) && line.db === id.db && line.table === id.table;
}

/** True if a line has the tid and pid of a partition, and another database or table. */
export function contradicts(line: StatLine, id: PartitionId): boolean {
  return hasNumbersOf(line, id) && !isLineOf(line, id);
}

function hasNumbersOf(line: StatLine, id: PartitionId): boolean {
  return line.tid === id.tid && line.pid === id.pid;
}
