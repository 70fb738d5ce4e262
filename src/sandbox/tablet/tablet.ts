import { TableState } from "../../gen/openmldb/api_pb.js";
import { StorageMode } from "../../gen/openmldb/common_pb.js";
import { type Endpoint, type PartitionNumbers, replicaKey } from "../../model/cluster-state.js";
import { Disk } from "../model/disk.js";
import type { ModelOptions } from "../model/model-types.js";
import { LoadedReplica, type ReplicaParts } from "../model/replica.js";
import { type Run, rowCount } from "../model/runs.js";
import type { SandboxClock } from "../model/virtual-clock.js";
import { Replicator } from "./replication.js";
import { LoadQueue } from "./tablet-load.js";

/** The parts of the model that a tablet needs. */
export interface TabletContext {
  readonly clock: SandboxClock;
  readonly options: ModelOptions;
  /** The tablet with that endpoint, if its process runs and answers. */
  reachable(endpoint: Endpoint): Tablet | undefined;
  /** True if the process of this tablet runs and answers. */
  isRunning(): boolean;
  nextWriter(): number;
  log(what: string): void;
}

/** get_table_diskused_interval. */
const MEASURE_MS = 600_000;
/** Sizes of an empty replica's directory and of a row in its binlog, as OpenMLDB's documents show them. */
const DIR_BYTES = 8_853n;
const LOGGED_ROW_BYTES = 110n;

/**
 * One tablet: the process (its loaded replicas, lost on a kill) and its disk, which is kept.
 *
 * @see OpenMLDB 0.9 tablet: tablet_impl.cc
 */
export class Tablet {
  readonly endpoint: Endpoint;
  /** How far the clock of its machine is ahead, milliseconds; negative if it is behind. */
  clockAheadMs = 0;
  /** Where it listens; another one after a move (clusters with server names). */
  address: string;
  disk = new Disk();
  /** Its own disk while a foreign tablet answers at its address; `disk` is then the foreign one. */
  ownDisk: Disk | undefined;
  readonly context: TabletContext;
  readonly replicator: Replicator;
  readonly loads: LoadQueue;
  /** Storage modes with a root path on this tablet. */
  readonly storageModes = new Set<StorageMode>([
    StorageMode.kMemory,
    StorageMode.kSSD,
    StorageMode.kHDD,
  ]);
  /** Steps of ops that ran here and that the nameserver has not deleted, by `op id/task type`. */
  readonly opTasks = new Map<string, "doing" | "done" | "failed">();
  /** Keys of replicas whose figures changed since the nameserver's last refresh. */
  readonly changed = new Set<string>();
  /** Grows with each crash, which identifies work of an earlier process. */
  incarnation = 0;
  /** In the order of tid and pid. */
  readonly #loaded: LoadedReplica[] = [];
  /** When the sizes on disk are measured again. */
  #measuresAt: number;

  constructor(
    spec: { readonly endpoint: Endpoint; readonly address: string },
    context: TabletContext,
  ) {
    this.endpoint = spec.endpoint;
    this.address = spec.address;
    this.context = context;
    this.replicator = new Replicator(this);
    this.loads = new LoadQueue(this);
    this.#measuresAt = context.clock.now() + MEASURE_MS;
  }

  /** All loaded replicas, in the order of tid and pid: the live list, which changes with the tablet. */
  loaded(): readonly LoadedReplica[] {
    return this.#loaded;
  }

  get loadedCount(): number {
    return this.#loaded.length;
  }

  /** One loaded replica. */
  replica(tid: number, pid: number): LoadedReplica | undefined {
    const found = this.#loaded[this.#placeOf(tid, pid)];
    return found?.tid === tid && found.pid === pid ? found : undefined;
  }

  /** Index of a loaded replica, or where it would be inserted. */
  #placeOf(tid: number, pid: number): number {
    let from = 0;
    let to = this.#loaded.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      const other = this.#loaded[middle] as LoadedReplica;
      if (other.tid < tid || (other.tid === tid && other.pid < pid)) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /** Adds a replica to memory; a leader gets a new writer. */
  add(parts: ReplicaParts, followers: readonly Endpoint[]): LoadedReplica {
    const { tid, pid, role } = parts;
    const replica = new LoadedReplica(parts, role === "leader" ? this.context.nextWriter() : 0);
    for (const endpoint of followers) replica.links.set(endpoint, { sent: 0n, isMatched: false });
    this.#loaded.splice(this.#placeOf(tid, pid), this.replica(tid, pid) ? 1 : 0, replica);
    this.touch(replica);
    return replica;
  }

  /**
   * Adds a replica to memory as if it had been loaded before: normal, with all entries of its
   * directory.
   */
  addLoaded(parts: Omit<ReplicaParts, "state" | "offset">): LoadedReplica {
    const { offset } = parts.dir;
    return this.add({ ...parts, state: TableState.kTableNormal, offset }, []);
  }

  /** Removes a replica from memory. */
  unload(replica: LoadedReplica): void {
    const { tid, pid } = replica;
    if (this.replica(tid, pid)) this.#loaded.splice(this.#placeOf(tid, pid), 1);
    this.replicator.forget(replica);
    this.touch(replica);
  }

  /** Marks a replica for the nameserver's next refresh. */
  touch(replica: PartitionNumbers): void {
    this.changed.add(replicaKey(replica));
  }

  /** The process is gone: memory is lost, the disk is kept. */
  crash(): void {
    this.incarnation += 1;
    for (const replica of this.#loaded) this.touch(replica);
    this.#loaded.length = 0;
    this.opTasks.clear();
    this.replicator.reset();
    this.loads.reset();
    this.#measuresAt = this.context.clock.now() + MEASURE_MS;
  }

  /**
   * Measures the size of loaded replicas on disk, if it is due.
   *
   * @see OpenMLDB 0.9 tablet: GetDiskused, every get_table_diskused_interval (10 min)
   */
  measureDisk(): void {
    const now = this.context.clock.now();
    if (now < this.#measuresAt) return;
    this.#measuresAt = now + MEASURE_MS;
    for (const replica of this.#loaded) {
      replica.diskUsed = DIR_BYTES + BigInt(rowCount(replica.dir.runs)) * LOGGED_ROW_BYTES;
      this.touch(replica);
    }
  }

  /** Writes entries to a loaded replica's log. */
  write(replica: LoadedReplica, entries: readonly Run[]): void {
    replica.dir.write(entries, this.context.clock.now(), this.context.options.binlogFlushMs);
    const last = entries.at(-1);
    if (last !== undefined) replica.offset = last.to;
    this.touch(replica);
  }

  /**
   * A client's put.
   *
   * @returns The acknowledged entries.
   */
  put(replica: LoadedReplica, rows: number): Run {
    const run: Run = {
      from: replica.offset + 1n,
      to: replica.offset + BigInt(rows),
      term: replica.term,
      writer: replica.writer,
    };
    this.write(replica, [run]);
    this.replicator.wake(replica);
    return run;
  }
}
