import type { StorageMode } from "../../gen/openmldb/common_pb.js";
import { append, lastOffset, type Run, rowCount, slice, truncate } from "./runs.js";

/** The fields of a replica's `table_meta.txt` that recovery depends on. */
export interface TableMetaFile {
  readonly name: string;
  readonly db: string;
  readonly mode: "leader" | "follower";
  readonly term: bigint;
  readonly storageMode: StorageMode;
  readonly segCount: number;
  /** Columns and keys. LoadTable does not supply them, so without them no table starts. */
  readonly schema: TableSchema | undefined;
}

/** Columns and keys of a table, as serialized messages of openmldb.common. */
export interface TableSchema {
  readonly columnDesc: readonly Uint8Array[];
  readonly columnKey: readonly Uint8Array[];
}

/**
 * The schema of every table that the sandbox creates: a string `k`, a timestamp `ts` and a string
 * `v`, with an index over `k` and `ts` whose rows never expire (bytes as recorded from OpenMLDB 0.9.3).
 */
export const SANDBOX_SCHEMA: TableSchema = {
  columnDesc: ["0a016b100e", "0a0274731008", "0a0176100e"].map(bytesOf),
  columnKey: ["0a0369647812016b1a0274732a0408011000"].map(bytesOf),
};

/** Not a Buffer: messages contain and are compared with plain Uint8Arrays. */
function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

/** The MANIFEST of a snapshot: it contains the entries up to `offset`, made in the term `term`. */
export interface SnapshotFile {
  readonly offset: bigint;
  readonly term: bigint;
  readonly name: string;
}

/** The contents of a disk for one replica; absent parts do not exist. */
export interface DiskContent {
  readonly tid: number;
  readonly pid: number;
  readonly meta: TableMetaFile;
  readonly snapshot?: SnapshotFile;
  /** Entries of snapshot and binlog together. */
  readonly runs: readonly Run[];
  /** First entry that the binlog still has; default 1. */
  readonly binlogFrom?: bigint;
}

/**
 * The directory of one replica on a tablet's disk. Snapshot and binlog are one list of entries:
 * the snapshot holds those up to its offset, the binlog those from `binlogFrom` on.
 */
export class ReplicaDir {
  meta: TableMetaFile;
  snapshot: SnapshotFile | undefined;
  runs: Run[] = [];
  binlogFrom = 1n;
  /** Entries that survive a power loss: all up to here, and later ones after the flush interval. */
  #flushed = { offset: 0n, at: Number.NEGATIVE_INFINITY };

  constructor(meta: TableMetaFile) {
    this.meta = meta;
  }

  /** Last entry that a load will find. */
  get offset(): bigint {
    const last = lastOffset(this.runs);
    return this.snapshot !== undefined && this.snapshot.offset > last ? this.snapshot.offset : last;
  }

  /** Writes entries to the binlog. */
  write(entries: readonly Run[], now: number, flushMs: number): void {
    if (now - this.#flushed.at >= flushMs) {
      this.#flushed = { offset: lastOffset(this.runs), at: now };
    }
    for (const run of entries) append(this.runs, run);
  }

  /** Entries at the end that a power loss at `now` may take. */
  unflushed(now: number, flushMs: number): number {
    if (now - this.#flushed.at >= flushMs) return 0;
    const kept = truncate(this.runs, this.#flushed.offset);
    return rowCount(this.runs) - rowCount(kept);
  }

  /** Makes a snapshot of everything; the binlog keeps its entries. */
  makeSnapshot(term: bigint): void {
    this.snapshot = { offset: this.offset, term, name: `${this.offset}.sdb` };
  }

  /** Deletes the binlog up to the snapshot, as OpenMLDB does with whole old files. */
  trimBinlog(): void {
    if (this.snapshot !== undefined) this.binlogFrom = this.snapshot.offset + 1n;
  }

  /** Removes the binlog; only the snapshot stays. */
  dropBinlog(): void {
    const kept = this.snapshot?.offset ?? 0n;
    this.runs = truncate(this.runs, kept);
    this.binlogFrom = kept + 1n;
  }

  /** Removes the last `entries` entries from the binlog; the snapshot's entries stay. */
  cutBinlog(entries: number): void {
    const wanted = this.offset - BigInt(entries);
    const kept = this.snapshot?.offset ?? 0n;
    this.runs = truncate(this.runs, wanted > kept ? wanted : kept);
  }

  /**
   * Replaces the snapshot by a copy of another directory's. The own binlog stays; entries that only the
   * replaced snapshot had are gone.
   */
  receiveSnapshot(from: ReplicaDir): void {
    if (from.snapshot === undefined) return;
    const snapshot = from.snapshot;
    const begin = this.binlogFrom - 1n > snapshot.offset ? this.binlogFrom - 1n : snapshot.offset;
    const tail = slice(this.runs, begin, this.offset);
    this.snapshot = snapshot;
    this.runs = truncate(from.runs, snapshot.offset);
    for (const run of tail) append(this.runs, run);
    if (tail.length === 0) this.binlogFrom = snapshot.offset + 1n;
  }
}

/** A directory with its replica. */
export interface PlacedDir {
  readonly tid: number;
  readonly pid: number;
  readonly dir: ReplicaDir;
}

/**
 * The disk of one tablet, which outlives the process. One directory per storage mode, tid and pid.
 */
export class Disk {
  readonly #dirs = new Map<string, PlacedDir>();
  /** The contents of the recycle bin, oldest first, such as `7_0_binlog`. */
  readonly recycled: string[] = [];

  /** The directory of a replica; undefined if there is none in that storage mode. */
  dir(mode: StorageMode, tid: number, pid: number): ReplicaDir | undefined {
    return this.#dirs.get(`${mode}/${tid}_${pid}`)?.dir;
  }

  /** Writes `table_meta.txt`; creates the directory if it does not exist. */
  writeMeta(tid: number, pid: number, meta: TableMetaFile): ReplicaDir {
    const existing = this.dir(meta.storageMode, tid, pid);
    const dir = existing ?? new ReplicaDir(meta);
    dir.meta = meta;
    if (existing === undefined) this.#put(tid, pid, dir);
    return dir;
  }

  /** Places a whole directory, replacing an existing one. */
  install(content: DiskContent): ReplicaDir {
    const dir = new ReplicaDir(content.meta);
    dir.snapshot = content.snapshot;
    dir.runs = [...content.runs];
    dir.binlogFrom = content.binlogFrom ?? 1n;
    this.#put(content.tid, content.pid, dir);
    return dir;
  }

  #put(tid: number, pid: number, dir: ReplicaDir): void {
    this.#dirs.set(`${dir.meta.storageMode}/${tid}_${pid}`, { tid, pid, dir });
  }

  /** Moves the whole directory to the recycle bin. */
  recycle(mode: StorageMode, tid: number, pid: number): void {
    if (this.#dirs.delete(`${mode}/${tid}_${pid}`)) this.recycled.push(`${tid}_${pid}`);
  }

  /** Moves the binlog of a replica to the recycle bin; does nothing without a directory. */
  recycleBinlog(mode: StorageMode, tid: number, pid: number): void {
    const dir = this.dir(mode, tid, pid);
    if (dir === undefined) return;
    dir.dropBinlog();
    this.recycled.push(`${tid}_${pid}_binlog`);
  }

  /** All directories. */
  dirs(): Iterable<PlacedDir> {
    return this.#dirs.values();
  }

  /** Replaces the disk by an empty one. */
  wipe(): void {
    this.#dirs.clear();
  }
}
