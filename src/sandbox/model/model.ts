import { TaskType } from "../../gen/openmldb/api_pb.js";
import type { PartitionNumbers } from "../../model/cluster-state.js";
import type { Tablet } from "../tablet/tablet.js";
import {
  copyZooKeeper,
  moveTablet,
  putForeignTablet,
  removeForeignTablet,
  restoreZooKeeper,
  startTablet,
  type ZooKeeperCopy,
} from "./model-absence.js";
import { ModelCore } from "./model-core.js";
import { complaints } from "./model-health.js";
import { expireRows, plantRow, type ReplicaPlace } from "./model-plant.js";
import { countRows, putRows } from "./model-rows.js";
import { createSystemTables, createTable } from "./model-tables.js";
import type {
  PartitionFilter,
  PartitionRows,
  ProcessSpec,
  PutResult,
  TableSpec,
} from "./model-types.js";
import type { SandboxProcess } from "./process.js";

/**
 * An OpenMLDB cluster in memory: tablets with disks, nameservers, and their znodes, on any clock. Equal
 * configurations and equal calls at equal times give equal clusters. This class adds to {@link
 * ModelCore} the actions of operators and tests.
 */
export class SandboxModel extends ModelCore {
  /**
   * Kills a process; it stays down.
   *
   * @param options `leavesNodes`: its session never ends, so its nodes stay in ZooKeeper and the
   *   nameserver keeps counting it as healthy, until {@link endSession}.
   */
  kill(name: string, options: { readonly leavesNodes?: boolean } = {}): void {
    this.process(name).kill(options.leavesNodes);
  }

  /** Ends the session of a killed process at once, and removes its nodes. */
  endSession(name: string): void {
    this.process(name).endSession();
  }

  /** Restarts a tablet under another address with its disk; see {@link moveTablet}. */
  move(name: string, to: ProcessSpec, options: { readonly isStale?: boolean } = {}): void {
    moveTablet(this, name, to, options);
  }

  /** A tablet of another cluster answers at a tablet's address; see {@link putForeignTablet}. */
  putForeignTablet(name: string, options: { readonly hasLoaded?: boolean } = {}): void {
    putForeignTablet(this, name, options);
  }

  /** Ends {@link putForeignTablet}; the tablet itself is not started. */
  removeForeignTablet(name: string): void {
    removeForeignTablet(this, name);
  }

  /** The persistent znodes of the cluster, as in a backup. */
  copyZooKeeper(): ZooKeeperCopy {
    return copyZooKeeper(this);
  }

  /** Restores the persistent znodes of a copy. @throws Error while a nameserver runs. */
  restoreZooKeeper(copy: ZooKeeperCopy): void {
    restoreZooKeeper(this, copy);
  }

  /** Sets the clock of a nameserver's machine forward, or back with a negative number. */
  stepClock(name: string, ms: number): void {
    const { nameserver } = this.process(name);
    if (nameserver === undefined) throw new Error(`${name} is not a nameserver`);
    nameserver.stepClock(ms);
    this.log(`the clock of ${name} is set by ${ms} ms`);
  }

  /** Starts a process, killing it first if it runs; a foreign tablet at its address is removed. */
  restart(name: string): void {
    const process = this.process(name);
    if (process.tablet?.ownDisk !== undefined) removeForeignTablet(this, name);
    process.kill();
    process.start();
  }

  /** Starts a new tablet at an address, with an empty disk; see {@link startTablet}. */
  startTablet(address: string): SandboxProcess {
    return startTablet(this, address);
  }

  /** Stops a process without killing it: it accepts calls and does not answer. */
  hang(name: string): void {
    this.process(name).hang();
  }

  /** Ends {@link hang}. */
  resume(name: string): void {
    this.process(name).resume();
  }

  /** Kills all tablets at once, and the nameservers if requested, and starts them again. */
  outage(options: { readonly withNameservers?: boolean } = {}): void {
    const hit = this.processes.filter(
      (process) => process.tablet !== undefined || options.withNameservers === true,
    );
    for (const process of hit) process.kill();
    for (const process of hit) process.start();
  }

  /** Replaces a tablet's disk by an empty one. @throws Error while its process runs. */
  wipe(name: string): void {
    this.#stopped(name).disk.wipe();
    this.log(`${name} is wiped`);
  }

  #stopped(name: string): Tablet {
    if (this.process(name).isUp) throw new Error(`${name} is running; kill it first`);
    return this.tablet(name);
  }

  /**
   * Removes entries from the end of a binlog, as a power loss does.
   *
   * @param entries How many, or `all` for the whole binlog, as after a move to the recycle bin.
   * @throws Error if there is no such replica on the disk, or if it is loaded.
   */
  cutBinlog(
    name: string,
    of: { readonly db: string; readonly table: string; readonly pid: number },
    entries: number | "all",
  ): void {
    const tablet = this.tablet(name);
    const table = this.tables.find(of.table, of.db);
    const dir = table && tablet.disk.dir(table.storageMode, table.tid, of.pid);
    if (table === undefined || dir === undefined) throw new Error(`${name} has no such replica`);
    if (tablet.replica(table.tid, of.pid) !== undefined) throw new Error("the replica is loaded");
    if (entries === "all") dir.dropBinlog();
    else dir.cutBinlog(entries);
    this.log(`${name} lost ${entries} entries of ${table.tid}/${of.pid}`);
  }

  /** Kills a tablet and removes a random part of the unflushed entries of its binlogs. */
  powerLoss(name: string): void {
    this.kill(name);
    const { binlogFlushMs } = this.options;
    for (const { dir } of this.tablet(name).disk.dirs()) {
      const unflushed = dir.unflushed(this.clock.now(), binlogFlushMs);
      if (unflushed > 0) dir.cutBinlog(this.random.below(unflushed + 1));
    }
  }

  /** The next loads on a tablet fail: of one replica, or of any. */
  failLoad(name: string, times: number, id?: PartitionNumbers): void {
    this.tablet(name).loads.fail(times, id);
  }

  /** Makes every load on a tablet take that much longer. */
  slowLoad(name: string, ms: number): void {
    this.tablet(name).loads.slowMs = ms;
  }

  /**
   * The next steps of a type fail, such as `kDelReplica`, on any nameserver.
   *
   * @throws Error if there is no such type.
   */
  failOp(task: string, times: number): void {
    for (const server of this.nameservers.values()) server.faults.failNext(taskTypeOf(task), times);
  }

  /** The next steps of a type start and never end, until {@link unstickOps}. */
  stickOp(task: string, times: number): void {
    for (const server of this.nameservers.values())
      server.faults.stickNext(taskTypeOf(task), times);
  }

  unstickOps(): void {
    this.leader?.ops.unstick();
  }

  /** Creates a table, loaded and empty, through the leading nameserver. */
  createTable(spec: TableSpec): number {
    return createTable(this, spec);
  }

  /** Creates the system databases and their tables, with 2 replicas if there are 2 tablets. */
  createSystemTables(): void {
    createSystemTables(this);
  }

  /** Puts rows into every selected partition (without a filter: all user tables). */
  put(rows: number, filter?: PartitionFilter): PutResult[] {
    return putRows(this, rows, filter);
  }

  /** The exact row counts of every selected partition (without a filter: all user tables). */
  rows(filter?: PartitionFilter): PartitionRows[] {
    return countRows(this, filter);
  }

  /** Makes one replica differ from the others; see {@link plantRow}. */
  plantRow(at: ReplicaPlace, number: bigint, how: "lost" | "other" | "doubled"): void {
    plantRow(this, at, number, how);
  }

  /** Expires rows up to `number` on one replica; see {@link expireRows}. */
  expireRows(at: ReplicaPlace, number: bigint): void {
    expireRows(this, at, number);
  }

  /** All faults, one line each; empty if the whole cluster is healthy. */
  healthy(): string[] {
    return complaints(this);
  }

  /**
   * Waits for a condition.
   *
   * @throws Error if it does not hold within `limitMs` of the model's clock.
   */
  async until(holds: () => boolean, limitMs: number, everyMs = 100): Promise<void> {
    const end = this.clock.now() + limitMs;
    while (!holds()) {
      if (this.clock.now() >= end) throw new Error(`it did not come true within ${limitMs} ms`);
      await this.clock.sleep(everyMs);
    }
  }
}

function taskTypeOf(name: string): TaskType {
  const type: unknown = (TaskType as Readonly<Record<string, unknown>>)[name];
  if (typeof type !== "number") throw new Error(`there is no task type ${name}`);
  return type;
}
