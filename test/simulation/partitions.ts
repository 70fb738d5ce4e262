import type {
  PartitionMeta,
  TableInfo,
  TablePartition,
} from "../../src/gen/openmldb/nameserver_pb.js";
import { tableName } from "../../src/model/partition-name.js";
import { partitionName } from "../../src/model/partition-view.js";
import type { ReplicaDir } from "../../src/sandbox/model/disk.js";
import type { SandboxModel } from "../../src/sandbox/model/model.js";
import { FOREIGN_DB } from "../../src/sandbox/model/model-absence.js";
import { isServing, type LoadedReplica } from "../../src/sandbox/model/replica.js";
import { append, type Run, subtract } from "../../src/sandbox/model/runs.js";

/** One partition as the model has it. */
export interface Part {
  readonly table: TableInfo;
  readonly part: TablePartition;
  readonly id: { readonly tid: number; readonly pid: number };
  /** Its name as in commands, such as `db1.t0:3`. */
  readonly name: string;
}

/** The name of a partition in the faults that the model reports (`complaints` of the sandbox). */
export function nameInFaults({ table, part }: Part): string {
  return `${tableName({ db: table.db, table: table.name })}/${part.pid}`;
}

/** All partitions of a model. */
export function partsOf(model: SandboxModel): Part[] {
  return model.tables.all().flatMap((table) =>
    table.tablePartition.map((part) => ({
      table,
      part,
      id: { tid: table.tid, pid: part.pid },
      name: partitionName({ db: table.db, table: table.name, pid: part.pid }),
    })),
  );
}

/** The partition of that name in a database. */
export function findPart(
  model: SandboxModel,
  of: { readonly db: string; readonly table: string; readonly pid: number },
): Part | undefined {
  return partsOf(model).find(
    ({ table, part }) => table.db === of.db && table.name === of.table && part.pid === of.pid,
  );
}

/** A replica in the memory of a tablet that runs and answers. */
export function loadedAt(
  model: SandboxModel,
  of: Part,
  endpoint: string,
): LoadedReplica | undefined {
  const process = model.findProcess(endpoint);
  if (process?.isAnswering !== true || isForeignTablet(model, endpoint)) return undefined;
  return process.tablet?.replica(of.id.tid, of.id.pid);
}

/** A replica's directory on its tablet's own disk, whether that tablet runs or not. */
export function dirAt(model: SandboxModel, of: Part, endpoint: string): ReplicaDir | undefined {
  const tablet = model.tablets.get(endpoint);
  const disk = tablet?.ownDisk ?? tablet?.disk;
  return disk?.dir(of.table.storageMode, of.id.tid, of.id.pid);
}

/** Whether a tablet of another cluster answers at a tablet's address. */
export function isForeignTablet(model: SandboxModel, endpoint: string): boolean {
  return model.tablets.get(endpoint)?.ownDisk !== undefined;
}

/**
 * True if a tablet cannot be distinguished from one of another cluster. Either one answers at its address, or an op of the
 * nameserver, which never checks identities, copied a replica of another cluster to it: both give the same answers. The same
 * holds for a tablet whose name leads to another address, or whose address belongs to another registered name too.
 */
export function seemsForeign(model: SandboxModel, endpoint: string): boolean {
  const dirs = [...(model.tablets.get(endpoint)?.disk.dirs() ?? [])];
  const isCopied = dirs.some(({ dir }) => dir.meta.db === FOREIGN_DB);
  return isForeignTablet(model, endpoint) || isCopied || isAddressAmbiguous(model, endpoint);
}

/** Whether a tablet's name leads to another address, or its address belongs to another registered name too. */
export function isAddressAmbiguous(model: SandboxModel, endpoint: string): boolean {
  const address = model.findProcess(endpoint)?.address;
  const isRegistered = (other: string) =>
    model.tree.get(`${model.root}/nodes/${other}`) !== undefined;
  return [...model.tablets.keys()].some(
    (other) =>
      (other === endpoint || isRegistered(other)) &&
      (model.addressOf(other) === address) !== (other === endpoint),
  );
}

/** Whether clients can write to this replica: flagged leader and alive, and running as leader. */
export function acceptsWrites(model: SandboxModel, of: Part, meta: PartitionMeta): boolean {
  if (!(meta.isLeader && meta.isAlive)) return false;
  const replica = loadedAt(model, of, meta.endpoint);
  return replica?.role === "leader" && isServing(replica);
}

/** The entries that at least one disk holds, on record or not. */
export function heldOf(model: SandboxModel, of: Part): Run[] {
  let held: Run[] = [];
  for (const endpoint of model.tablets.keys()) {
    const runs = dirAt(model, of, endpoint)?.runs ?? [];
    held = held.concat(subtract(runs, held));
  }
  return held;
}

/** The entries that both hold. */
export function intersect(runs: readonly Run[], other: readonly Run[]): Run[] {
  return subtract(runs, subtract(runs, other));
}

/**
 * The entries of the surviving history, that of the newest term: entries of an older term from the offset on with which a newer
 * one began were given up by that election.
 */
export function surviving(part: TablePartition, runs: readonly Run[]): Run[] {
  const kept: Run[] = [];
  for (const run of runs) {
    const next = part.termOffset
      .filter((pair) => pair.term > run.term)
      .reduce<bigint | undefined>(
        (least, { offset }) => (least === undefined || offset < least ? offset : least),
        undefined,
      );
    if (next === undefined || run.to < next) append(kept, run);
    else if (run.from < next) append(kept, { ...run, to: next - 1n });
  }
  return kept;
}
