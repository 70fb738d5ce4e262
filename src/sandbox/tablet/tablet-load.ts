import { TableState } from "../../gen/openmldb/api_pb.js";
import { StorageMode } from "../../gen/openmldb/common_pb.js";
import { type Endpoint, type PartitionNumbers, replicaKey } from "../../model/cluster-state.js";
import type { Disk, ReplicaDir, TableMetaFile } from "../model/disk.js";
import type { ModelOptions } from "../model/model-types.js";
import { type LoadedReplica, OK, type Outcome, type ReplicaParts } from "../model/replica.js";
import { rowCount } from "../model/runs.js";
import type { SandboxClock } from "../model/virtual-clock.js";

/** The parts of a tablet that loads need. */
export interface LoadingTablet {
  readonly endpoint: Endpoint;
  readonly context: {
    readonly clock: SandboxClock;
    readonly options: ModelOptions;
    log(what: string): void;
  };
  readonly disk: Disk;
  readonly storageModes: ReadonlySet<StorageMode>;
  readonly replicator: { wake(replica: LoadedReplica): void };
  replica(tid: number, pid: number): LoadedReplica | undefined;
  add(parts: ReplicaParts, followers: readonly Endpoint[]): LoadedReplica;
  unload(replica: LoadedReplica): void;
  touch(replica: LoadedReplica): void;
}

/** The fields of LoadTable; undefined if the request has none. */
export interface LoadRequest {
  readonly tid: number;
  readonly pid: number;
  readonly name: string;
  readonly db: string | undefined;
  readonly segCount: number | undefined;
  readonly mode: "leader" | "follower" | undefined;
  readonly term: bigint | undefined;
  readonly storageMode: StorageMode;
  readonly replicas: readonly Endpoint[];
}

interface LoadJob {
  readonly tid: number;
  readonly pid: number;
  readonly dir: ReplicaDir;
  readonly followers: readonly Endpoint[];
  /** Already in memory (memory tables), or undefined until the job runs (disk tables). */
  replica: LoadedReplica | undefined;
  readonly onEnd: (isLoaded: boolean) => void;
}

const ANY = "any";
/** From LoadTable's answer to the start of the load on a free thread. */
const PICKUP_MS = 1;
/** How often a longer load updates its progress. */
const GROWTH_MS = 1_000;

/**
 * The loads of one tablet: as many at a time as it has threads; the others wait in the state
 * kTableUndefined (memory tables) or unlisted (disk tables).
 *
 * @see OpenMLDB 0.9 tablet: LoadTable, LoadTableInternal, LoadDiskTableInternal
 */
export class LoadQueue {
  readonly #tablet: LoadingTablet;
  readonly #waiting: LoadJob[] = [];
  #running = 0;
  #cancels = new Set<() => void>();
  /** How many of the next loads fail, by replica key or for any. */
  readonly #failures = new Map<string, number>();
  /** Extra milliseconds that every load takes. */
  slowMs = 0;

  constructor(tablet: LoadingTablet) {
    this.#tablet = tablet;
  }

  /** The next `times` loads fail, of one replica or of any; the disk is unchanged. */
  fail(times: number, id?: PartitionNumbers): void {
    this.#failures.set(id === undefined ? ANY : replicaKey(id), times);
  }

  /** The process is gone, and its threads with it. */
  reset(): void {
    for (const cancel of this.#cancels) cancel();
    this.#cancels.clear();
    this.#waiting.length = 0;
    this.#running = 0;
  }

  /**
   * Answers LoadTable, and starts the load if it is accepted.
   *
   * @param onEnd Called when the load has ended; not called if the process dies before.
   */
  load(request: LoadRequest, onEnd: (isLoaded: boolean) => void = () => undefined): Outcome {
    const tablet = this.#tablet;
    const { tid, pid, storageMode } = request;
    if (request.name === "") return { code: 129, msg: "table name is empty" };
    if (tid <= 0) return { code: 129, msg: "tid is zero" };
    if (storageMode === StorageMode.kUnknown) return { code: 129, msg: "storage_mode is unknown" };
    if (!tablet.storageModes.has(storageMode)) {
      return { code: 138, msg: "fail to get table db root path" };
    }
    if (tablet.replica(tid, pid) !== undefined) return { code: 101, msg: "table already exists" };
    const meta = mergeMeta(request, tablet.disk.dir(storageMode, tid, pid)?.meta);
    const dir = tablet.disk.writeMeta(tid, pid, meta);
    const job: LoadJob = { tid, pid, dir, followers: request.replicas, replica: undefined, onEnd };
    if (storageMode === StorageMode.kMemory) {
      if (meta.schema === undefined) return { code: 131, msg: "fail to init table" };
      job.replica = this.#create(job, TableState.kTableUndefined);
    }
    this.#waiting.push(job);
    this.#after(PICKUP_MS, () => this.#pump());
    return OK;
  }

  #create(job: LoadJob, state: TableState): LoadedReplica {
    const { tid, pid, dir, followers } = job;
    const role = dir.meta.mode;
    const term = role === "leader" ? dir.meta.term : 0n;
    return this.#tablet.add(
      { tid, pid, dir, role, state, term, offset: 0n },
      role === "leader" ? followers : [],
    );
  }

  #pump(): void {
    while (this.#running < this.#tablet.context.options.loadThreads) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#run(job);
    }
  }

  #run(job: LoadJob): void {
    const { options } = this.#tablet.context;
    const exists = this.#tablet.replica(job.tid, job.pid) !== undefined;
    if (job.replica === undefined && (exists || job.dir.meta.schema === undefined)) {
      // A disk table fails here without an answer; a memory table is refused by LoadTable at once.
      this.#noteFailure(job);
      job.onEnd(false);
      return;
    }
    this.#running += 1;
    const replica = job.replica ?? this.#create(job, TableState.kTableLoading);
    replica.state = TableState.kTableLoading;
    this.#tablet.touch(replica);
    this.#grow(replica, options.loadRowMs);
    const ms = options.loadBaseMs + rowCount(job.dir.runs) * options.loadRowMs + this.slowMs;
    this.#after(ms, () => this.#finish(job, replica));
  }

  /** Rows appear as they are read; additional load time follows after them. */
  #grow(replica: LoadedReplica, rowMs: number): void {
    const rows = rowCount(replica.dir.runs);
    for (let ms = GROWTH_MS; ms < rows * rowMs; ms += GROWTH_MS) {
      this.#after(ms, () => {
        replica.loadedRows = Math.floor(ms / rowMs);
        this.#tablet.touch(replica);
      });
    }
  }

  #finish(job: LoadJob, replica: LoadedReplica): void {
    this.#running -= 1;
    const failed = this.#takeFailure(job);
    // It may have been dropped meanwhile.
    const isCurrent = this.#tablet.replica(job.tid, job.pid) === replica;
    if (isCurrent && failed) {
      this.#noteFailure(job);
      this.#tablet.unload(replica);
    } else if (isCurrent) {
      replica.state = TableState.kTableNormal;
      replica.offset = replica.dir.offset;
      this.#tablet.touch(replica);
      this.#tablet.context.log(
        `${this.#tablet.endpoint} loaded ${replicaKey(job)} as ${replica.role} at ${replica.offset}`,
      );
      this.#tablet.replicator.wake(replica);
    }
    job.onEnd(isCurrent && !failed);
    this.#pump();
  }

  #noteFailure(job: LoadJob): void {
    this.#tablet.context.log(`${this.#tablet.endpoint} load of ${replicaKey(job)} failed`);
  }

  #takeFailure(job: LoadJob): boolean {
    for (const key of [replicaKey(job), ANY]) {
      const left = this.#failures.get(key) ?? 0;
      if (left === 0) continue;
      this.#failures.set(key, left - 1);
      return true;
    }
    return false;
  }

  #after(ms: number, fn: () => void): void {
    const cancel = this.#tablet.context.clock.setTimer(ms, () => {
      this.#cancels.delete(cancel);
      fn();
    });
    this.#cancels.add(cancel);
  }
}

/**
 * Fields that the request lacks come from the file on disk; a new file has no schema. The request's
 * name replaces the one on disk; the database stays (observed with OpenMLDB 0.9.3).
 */
function mergeMeta(request: LoadRequest, old: TableMetaFile | undefined): TableMetaFile {
  return {
    name: request.name,
    db: old?.db ?? request.db ?? "",
    mode: request.mode ?? old?.mode ?? "follower",
    term: request.term ?? old?.term ?? 0n,
    storageMode: request.storageMode,
    segCount: request.segCount ?? old?.segCount ?? 8,
    schema: old?.schema,
  };
}
