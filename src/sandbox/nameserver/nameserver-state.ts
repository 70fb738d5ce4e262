import type { OPType } from "../../gen/openmldb/api_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import type { Faults } from "../model/faults.js";
import type { ModelOptions } from "../model/model-types.js";
import type { Random } from "../model/random.js";
import type { SandboxClock } from "../model/virtual-clock.js";
import type { TableStore } from "../table-store.js";
import type { Tablet } from "../tablet/tablet.js";
import type { ZnodeTree } from "../znode-tree.js";
import type { OpData } from "./ops.js";

/** What a nameserver needs from the model around it. */
export interface NameserverContext {
  readonly clock: SandboxClock;
  readonly options: ModelOptions;
  readonly random: Random;
  readonly tree: ZnodeTree;
  /** `zk_root_path`. */
  readonly root: string;
  readonly hasServerNames: boolean;
  /** Names of all tablets that the model has. */
  endpoints(): readonly Endpoint[];
  /** The tablet of that name, if its process runs and answers. */
  reachable(endpoint: Endpoint): Tablet | undefined;
  log(what: string): void;
}

/** A tablet as a nameserver sees it. */
export interface TabletState {
  isHealthy: boolean;
  /** When that began, milliseconds since the epoch of the nameserver's wall clock. */
  since: number;
}

/** A nameserver as its parts (queues, failover, refresh of figures, steps of ops) see it. */
export interface NameserverState {
  readonly context: NameserverContext;
  readonly faults: Faults;
  /** What it ever saw registered, in the order of names. */
  readonly tablets: ReadonlyMap<Endpoint, TabletState>;
  readonly tables: TableStore;
  readonly ops: OpMaker;
  /** Whether it leads and answers. */
  readonly isRunning: boolean;
  readonly autoFailover: boolean;
  log(what: string): void;
  /** The clock of its machine, milliseconds since the epoch. */
  wallTime(): number;
  /** Seconds since the epoch, as ops carry them. */
  seconds(): bigint;
  /** Calls `fn` later, if this leadership still lasts. */
  after(ms: number, fn: () => void): void;
  isHealthy(endpoint: Endpoint): boolean;
  /** The next op id. */
  nextOpId(): bigint;
  /** Two new terms: one to fence followers with, one more for the new leader. @returns The first. */
  nextTerms(): bigint;
}

/** Makes ops and queues them. */
export interface OpMaker {
  /**
   * Makes an op and queues it.
   *
   * @returns False if it cannot be created; OpenMLDB's callers mostly do not report it.
   */
  create(
    type: OPType,
    of: { readonly name: string; readonly db: string; readonly pid: number },
    data: OpData,
    place?: { readonly concurrency?: number; readonly parentId?: bigint },
  ): boolean;
}
