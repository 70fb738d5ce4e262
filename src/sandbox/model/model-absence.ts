import { putZnode } from "../table-store.js";
import { Disk } from "./disk.js";
import type { ModelCore } from "./model-core.js";
import type { ProcessSpec } from "./model-types.js";
import type { SandboxProcess } from "./process.js";

/**
 * Restarts a tablet under another address, with its disk.
 *
 * Without server names the new address is a new endpoint: the old one stays on record and never comes
 * back. With server names the endpoint stays, and `map/names` has the new address.
 *
 * @param to The new address; with server names its endpoint is the old one.
 * @param options `isStale`: `map/names` keeps the old address (clusters with server names).
 */
export function moveTablet(
  model: ModelCore,
  name: string,
  to: ProcessSpec,
  { isStale = false }: { readonly isStale?: boolean },
): void {
  const process = model.process(name);
  const tablet = model.tablet(name);
  process.kill();
  model.log(`${name} moves to ${to.address}`);
  if (to.endpoint === tablet.endpoint) {
    process.endSession();
    model.changeAddress(name, to.address);
    if (!isStale) putZnode(model.tree, `${model.root}/map/names/${to.endpoint}`, to.address);
    process.start();
    return;
  }
  const moved = model.addTablet(to);
  moved.disk = tablet.disk;
  tablet.disk = new Disk();
  model.process(to.endpoint).start();
}

/**
 * Starts a new tablet at an address, with an empty disk. If the other tablets have names, it gets the
 * next one (`tablet-4`) and an entry in `map/names`.
 *
 * @returns Its process, which is up unless its endpoint is already registered.
 */
export function startTablet(model: ModelCore, address: string): SandboxProcess {
  const isNamed = [...model.tablets.values()].some((other) => other.endpoint !== other.address);
  const endpoint = isNamed ? `tablet-${model.tablets.size + 1}` : address;
  if (model.tree.get(`${model.root}/map/names`) !== undefined) {
    putZnode(model.tree, `${model.root}/map/names/${endpoint}`, isNamed ? address : "");
  }
  model.addTablet({ endpoint, address });
  const process = model.process(endpoint);
  process.start();
  return process;
}

/** Writer of all entries on the disk of a foreign tablet; no leader of the model has it. */
export const FOREIGN_WRITER = -1_000_000;

/** The database of all tables on the disk of a foreign tablet. */
export const FOREIGN_DB = "foreign_db";

/**
 * Lets a tablet of another cluster answer at a tablet's address from now on: it has replicas with the
 * same tid and pid and as many rows, of tables with other names. For the nameserver it is registered
 * and healthy, as happens if a registration outlives its machine or a server name resolves there.
 *
 * @param options `hasLoaded`: its tables are loaded (default), so that GetTableStatus shows their
 *   names.
 */
export function putForeignTablet(
  model: ModelCore,
  name: string,
  { hasLoaded = true }: { readonly hasLoaded?: boolean },
): void {
  const process = model.process(name);
  const tablet = model.tablet(name);
  process.kill();
  process.endSession();
  const disk = new Disk();
  for (const { tid, pid, dir } of tablet.disk.dirs()) {
    const { offset: to } = dir;
    disk.install({
      tid,
      pid,
      meta: { ...dir.meta, name: `foreign_${tid}`, db: FOREIGN_DB },
      runs: to === 0n ? [] : [{ from: 1n, to, term: 1n, writer: FOREIGN_WRITER }],
    });
  }
  tablet.ownDisk = tablet.disk;
  tablet.disk = disk;
  model.log(`a foreign tablet answers for ${name}`);
  process.start();
  for (const { tid, pid, dir } of hasLoaded ? disk.dirs() : []) {
    const { mode, term } = dir.meta;
    tablet.addLoaded({ tid, pid, dir, role: mode, term });
  }
}

/**
 * Removes the foreign tablet; the tablet has its own disk again.
 *
 * @throws Error if there is no foreign tablet.
 */
export function removeForeignTablet(model: ModelCore, name: string): void {
  const tablet = model.tablet(name);
  if (tablet.ownDisk === undefined) throw new Error(`no foreign tablet answers for ${name}`);
  model.process(name).kill();
  model.process(name).endSession();
  tablet.disk = tablet.ownDisk;
  tablet.ownDisk = undefined;
  model.log(`the foreign tablet at ${name} is gone`);
}

/** Persistent znodes of a cluster: data by path. */
export type ZooKeeperCopy = ReadonlyMap<string, Buffer>;

/** Copies all persistent znodes below the root path. */
export function copyZooKeeper(model: ModelCore): ZooKeeperCopy {
  const copy = new Map<string, Buffer>();
  for (const path of persistentPaths(model)) {
    copy.set(path, model.tree.get(path)?.data ?? Buffer.alloc(0));
  }
  return copy;
}

/**
 * Restores the persistent znodes of a copy: the record of all partitions, the counters of terms, ops
 * and tables.
 *
 * @throws Error while a nameserver runs, which would overwrite them.
 */
export function restoreZooKeeper(model: ModelCore, copy: ZooKeeperCopy): void {
  const running = model.processes.find((one) => one.nameserver !== undefined && one.isUp);
  if (running !== undefined) throw new Error(`${running.name} is running; kill it first`);
  const newer = persistentPaths(model).filter((path) => !copy.has(path));
  // Children are removed before their parents.
  for (const path of newer.reverse()) model.tree.remove(path);
  for (const [path, data] of copy) putZnode(model.tree, path, data);
  model.log("ZooKeeper is restored from an old copy");
}

function persistentPaths({ tree, root }: ModelCore): string[] {
  const isOwn = (path: string) => path.startsWith(`${root}/`);
  const paths = tree.paths().filter((path) => isOwn(path));
  return paths.filter((path) => tree.get(path)?.stat.ephemeralOwner === 0n).sort();
}
