import type { Endpoint } from "../../model/cluster-state.js";
import { Faults } from "../model/faults.js";
import { putZnode, TableStore, znodeText } from "../table-store.js";
import { AutoFailover } from "./auto-failover.js";
import { OpQueues } from "./nameserver-ops.js";
import type { NameserverContext, TabletState } from "./nameserver-state.js";
import { TableStatus } from "./table-status.js";

/**
 * One nameserver: a standby until it holds the lock, then, after the takeover, the leader. Its state as
 * leader comes from the znodes; offsets that were only in its predecessor's memory are lost.
 *
 * @see OpenMLDB 0.9 nameserver: name_server_impl.cc, OnLocked, Recover
 */
export class Nameserver {
  readonly endpoint: Endpoint;
  readonly address: string;
  readonly context: NameserverContext;
  readonly faults: Faults;
  /** All tablets that were ever registered, sorted by name. */
  readonly tablets = new Map<Endpoint, TabletState>();
  /** The entries of `map/names`, as read when a tablet registered or went (OpenMLDB 0.9: UpdateTablets). */
  readonly realEndpoints = new Map<Endpoint, string>();
  readonly failover: AutoFailover;
  readonly #isAnswering: () => boolean;
  tables: TableStore;
  ops: OpQueues;
  status: TableStatus;
  /** True if it leads and answers. */
  isRunning = false;
  autoFailover = false;
  /** Offset of its machine's clock. */
  #steppedMs = 0;
  /** Grows with each change of leadership, which identifies timers of an earlier one. */
  #leadership = 0;
  /** Work that came due while the process was stopped. */
  #deferred: (() => void)[] = [];

  /** @param isAnswering Whether the process runs and is not stopped. */
  constructor(
    spec: { readonly endpoint: Endpoint; readonly address: string },
    context: NameserverContext,
    isAnswering: () => boolean,
  ) {
    this.endpoint = spec.endpoint;
    this.address = spec.address;
    this.context = context;
    this.#isAnswering = isAnswering;
    this.faults = new Faults(context.random, context.options.recoverFailure);
    this.failover = new AutoFailover(this);
    this.tables = new TableStore(context.tree, context.root);
    this.ops = new OpQueues(this);
    this.status = new TableStatus(this);
  }

  log(what: string): void {
    this.context.log(`${this.endpoint} ${what}`);
  }

  /** Seconds since the epoch, as ops carry them. */
  seconds(): bigint {
    return BigInt(Math.floor(this.wallTime() / 1000));
  }

  /**
   * The clock of its machine, milliseconds since the epoch; the ages of tablets are measured with it.
   *
   * @see OpenMLDB 0.9 nameserver: TabletInfo::ctime_, which get_micros() is compared with
   */
  wallTime(): number {
    return this.context.clock.wallTime() + this.#steppedMs;
  }

  /** Sets the clock of its machine forward, or back with a negative number. */
  stepClock(ms: number): void {
    this.#steppedMs += ms;
  }

  /** Calls `fn` later, if this leadership still lasts; in a stopped process when it continues. */
  after(ms: number, fn: () => void): void {
    const leadership = this.#leadership;
    const due = () => {
      if (this.#leadership !== leadership) return;
      if (this.#isAnswering()) fn();
      else this.#deferred.push(due);
    };
    this.context.clock.setTimer(ms, due);
  }

  /** The process continues after it was stopped. */
  wake(): void {
    const due = this.#deferred;
    this.#deferred = [];
    for (const fn of due) fn();
  }

  /** The process is gone, or lost the lock: all timers of its leadership are dropped. */
  loseLeadership(): void {
    this.#leadership += 1;
    this.#deferred = [];
    if (this.isRunning) this.log("stops leading");
    this.isRunning = false;
  }

  /** The process starts with empty memory. */
  reset(): void {
    this.loseLeadership();
    this.tablets.clear();
  }

  /** It acquired the lock: after the takeover it leads. */
  takeOver(ms: number): void {
    this.#leadership += 1;
    if (ms === 0) this.#lead();
    else this.after(ms, () => this.#lead());
  }

  #lead(): void {
    const { tree, root, options } = this.context;
    const path = `${root}/config/auto_failover`;
    if (tree.get(path) === undefined) putZnode(tree, path, String(options.autoFailover));
    this.autoFailover = znodeText(tree, path) === "true";
    this.tables = new TableStore(tree, root);
    this.ops = new OpQueues(this);
    this.status = new TableStatus(this);
    this.nodesChanged();
    this.isRunning = true;
    this.log("leads");
    this.status.refresh();
    this.ops.recover();
    this.failover.recover();
    this.#every(options.taskPollMs, () => this.ops.poll());
    this.#every(options.tableStatusMs, () => this.status.refresh());
  }

  #every(ms: number, fn: () => void): void {
    this.after(ms, () => {
      fn();
      this.#every(ms, fn);
    });
  }

  /** Compares the registered tablets with the known ones (standbys do so too). */
  nodesChanged(): void {
    const { tree, root } = this.context;
    const names = tree.children(`${root}/nodes`) ?? [];
    const registered = new Set(names.filter((name) => !name.startsWith("NLTABLET_")));
    for (const endpoint of registered) {
      const address = znodeText(tree, `${root}/map/names/${endpoint}`);
      if (address !== undefined) this.realEndpoints.set(endpoint, address);
    }
    const unknown = [...registered].filter((endpoint) => !this.tablets.has(endpoint));
    this.#addTablets(unknown, { isHealthy: true, since: this.wallTime() });
    for (const endpoint of registered) {
      const state = this.tablets.get(endpoint);
      if (state?.isHealthy === false) {
        state.isHealthy = true;
        state.since = this.wallTime();
        this.log(`${endpoint} is online`);
        this.failover.online(endpoint);
      }
    }
    for (const [endpoint, state] of this.tablets) {
      if (!state.isHealthy || registered.has(endpoint)) continue;
      state.isHealthy = false;
      state.since = this.wallTime();
      this.log(`${endpoint} is offline`);
      this.failover.offline(endpoint);
    }
  }

  #addTablets(endpoints: readonly Endpoint[], { isHealthy, since }: TabletState): void {
    if (endpoints.length === 0) return;
    for (const endpoint of endpoints) this.tablets.set(endpoint, { isHealthy, since });
    const sorted = [...this.tablets].sort(([a], [b]) => (a < b ? -1 : 1));
    this.tablets.clear();
    for (const [name, known] of sorted) this.tablets.set(name, known);
  }

  /** Sets the state of a tablet, for example one that died before a recording was made. */
  installTablet(endpoint: Endpoint, isHealthy: boolean, ageMs: number): void {
    this.#addTablets([endpoint], { isHealthy, since: this.wallTime() - ageMs });
  }

  isHealthy(endpoint: Endpoint): boolean {
    return this.tablets.get(endpoint)?.isHealthy === true;
  }

  setAutoFailover(isOn: boolean): void {
    this.autoFailover = isOn;
    putZnode(this.context.tree, `${this.context.root}/config/auto_failover`, String(isOn));
    this.log(`auto_failover ${isOn}`);
  }

  /** The next op id. */
  nextOpId(): bigint {
    return this.#raise("op/op_index", 0n, 1n) + 1n;
  }

  /**
   * Allocates two terms: one to fence followers with, one for the new leader. @returns The first.
   */
  nextTerms(): bigint {
    return this.#raise("table/term", 1n, 2n) + 1n;
  }

  /** The next table id. */
  nextTableId(): number {
    return Number(this.#raise("table/table_index", 1n, 1n) + 1n);
  }

  /** The first term of a new table's leaders. */
  currentTerm(): bigint {
    return this.#raise("table/term", 1n, 0n);
  }

  #raise(counter: string, initial: bigint, by: bigint): bigint {
    const { tree, root } = this.context;
    const value = BigInt(znodeText(tree, `${root}/${counter}`) ?? initial);
    putZnode(tree, `${root}/${counter}`, String(value + by));
    return value;
  }
}
