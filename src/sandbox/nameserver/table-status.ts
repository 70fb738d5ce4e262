import type { PartitionMeta, TablePartition } from "../../gen/openmldb/nameserver_pb.js";
import { memoryBytes, recordCount } from "../model/replica.js";
import { metaOf, partitionOf } from "../table-store.js";
import type { Tablet } from "../tablet/tablet.js";
import type { NameserverState } from "./nameserver-state.js";

/**
 * Keeps offsets and counts of ShowTable up to date from the tablets' loaded replicas. Replicas that are
 * not loaded keep their last offset; while no tablet reports anything, nothing changes. Only changed
 * replicas are processed, unless the set of reporting tablets has changed.
 *
 * @see OpenMLDB 0.9 nameserver: UpdateTableStatus
 */
export class TableStatus {
  readonly #server: NameserverState;
  /** The tablets that reported last time, each with its incarnation. */
  #reporters = "";

  constructor(server: NameserverState) {
    this.#server = server;
  }

  /** Makes the next refresh process everything. */
  invalidate(): void {
    this.#reporters = "";
  }

  refresh(): void {
    const tablets = this.#reporting();
    for (const tablet of tablets) tablet.measureDisk();
    if (!tablets.some((tablet) => tablet.loadedCount > 0)) {
      this.invalidate();
      return;
    }
    const reporters = tablets.map((tablet) => `${tablet.endpoint}#${tablet.incarnation}`).join();
    if (reporters !== this.#reporters) this.#refreshAll(tablets);
    else for (const tablet of tablets) this.#refreshChanged(tablet);
    for (const tablet of tablets) tablet.changed.clear();
    this.#reporters = reporters;
  }

  #reporting(): Tablet[] {
    const { tablets, context } = this.#server;
    const healthy = [...tablets].filter(([, state]) => state.isHealthy);
    return healthy.flatMap(([endpoint]) => context.reachable(endpoint) ?? []);
  }

  #refreshAll(tablets: readonly Tablet[]): void {
    const byEndpoint = new Map(tablets.map((tablet) => [tablet.endpoint, tablet]));
    for (const table of this.#server.tables.all()) {
      for (const part of table.tablePartition) {
        for (const meta of part.partitionMeta) {
          update(part, meta, table.tid, byEndpoint.get(meta.endpoint));
        }
      }
    }
  }

  #refreshChanged(tablet: Tablet): void {
    for (const key of tablet.changed) {
      const [tid = 0, pid = 0] = key.split("/").map(Number);
      const table = this.#server.tables.get(tid);
      const part = table && partitionOf(table, pid);
      const meta = metaOf(part, tablet.endpoint);
      if (part !== undefined && meta !== undefined) update(part, meta, tid, tablet);
    }
  }
}

function update(
  part: TablePartition,
  meta: PartitionMeta,
  tid: number,
  tablet: Tablet | undefined,
): void {
  const replica = tablet?.replica(tid, part.pid);
  meta.tabletHasPartition = replica !== undefined;
  if (replica === undefined) return;
  const rows = BigInt(recordCount(replica));
  meta.offset = replica.offset;
  meta.recordCnt = rows;
  const memory = memoryBytes(replica);
  meta.recordByteSize = memory.rows + memory.index;
  meta.diskused = replica.diskUsed;
  if (meta.isAlive && meta.isLeader) {
    part.recordCnt = rows;
    part.recordByteSize = meta.recordByteSize;
    part.diskused = meta.diskused;
  }
}
