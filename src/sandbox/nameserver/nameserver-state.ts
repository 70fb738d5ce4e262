import type { OPType } from "../../gen/openmldb/api_pb.js";
import type { TableInfo } from "../../gen/openmldb/nameserver_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import type { Faults } from "../model/faults.js";
import type { ModelOptions } from "../model/model-types.js";
import type { Random } from "../model/random.js";
import type { SandboxClock } from "../model/virtual-clock.js";
import type { TableStore } from "../table-store.js";
import type { Tablet } from "../tablet/tablet.js";
import type { ZnodeTree } from "../znode-tree.js";
import type { OpData, QueuedOp } from "./ops.js";

/** The parts of the model that a nameserver needs. */
export interface NameserverContext {
  readonly clock: SandboxClock;
  readonly options: ModelOptions;
  readonly random: Random;
  readonly tree: ZnodeTree;
  /** `zk_root_path`. */
  readonly root: string;
  readonly hasServerNames: boolean;
  /** The endpoints of all tablets of the model. */
  endpoints(): readonly Endpoint[];
  /** The tablet with that endpoint, if its process runs and answers. */
  reachable(endpoint: Endpoint): Tablet | undefined;
  log(what: string): void;
}

/** The state of a tablet at a nameserver. */
export interface TabletState {
  isHealthy: boolean;
  /** Since when, milliseconds since the epoch by the nameserver's wall clock. */
  since: number;
}

/**
 * The interface of a nameserver for its parts (queues, failover, refresh of figures, steps of ops).
 */
export interface NameserverState {
  readonly context: NameserverContext;
  readonly faults: Faults;
  /** All tablets that were ever registered, sorted by name. */
  readonly tablets: ReadonlyMap<Endpoint, TabletState>;
  readonly tables: TableStore;
  readonly ops: OpMaker;
  /** True if it leads and answers. */
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
  /**
   * Allocates two terms: one to fence followers with, one for the new leader. @returns The first.
   */
  nextTerms(): bigint;
}

/** Creates ops and queues them. */
export interface OpMaker {
  /**
   * Creates an op and queues it.
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

/** The op whose steps are run, with its table. */
export interface OpScope {
  readonly server: NameserverState;
  readonly op: QueuedOp;
  readonly table: TableInfo;
  readonly tid: number;
  readonly pid: number;
}
