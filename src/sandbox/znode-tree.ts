import type { CreateMode, ZooKeeper } from "../cluster/zookeeper.js";

/** ZooKeeper's error numbers (the `err` of a reply) that a tree returns. */
export const ZNODE_ERRORS = {
  "bad-arguments": -8,
  "no-node": -101,
  "bad-version": -103,
  "no-children-for-ephemerals": -108,
  "node-exists": -110,
  "not-empty": -111,
} as const;

/** Why a tree refused an operation. */
export type ZnodeErrorReason = keyof typeof ZNODE_ERRORS;

/** Thrown by {@link ZnodeTree} when an operation is refused; the tree is unchanged then. */
export class ZnodeError extends Error {
  readonly reason: ZnodeErrorReason;

  constructor(reason: ZnodeErrorReason, path: string) {
    super(`${reason}: ${path}`);
    this.name = "ZnodeError";
    this.reason = reason;
  }
}

/** One entry of an access list. The tree stores lists and does not enforce them. */
export interface ZnodeAcl {
  /** Bits: read 1, write 2, create 4, delete 8, admin 16. */
  readonly perms: number;
  readonly scheme: string;
  readonly id: string;
}

/** The access list of a node that every client may access. */
const OPEN_ACL: readonly ZnodeAcl[] = [{ perms: 31, scheme: "world", id: "anyone" }];

/** ZooKeeper's Stat record of a node. Times in milliseconds of the tree's clock. */
export interface ZnodeStat {
  readonly czxid: bigint;
  readonly mzxid: bigint;
  readonly pzxid: bigint;
  readonly ctime: number;
  readonly mtime: number;
  /** Number of data changes. */
  readonly version: number;
  /** Number of changes to the set of children. */
  readonly cversion: number;
  /** Session that owns the node; 0 if it is persistent. */
  readonly ephemeralOwner: bigint;
  readonly dataLength: number;
  readonly numChildren: number;
}

/** A node at the moment of the call. */
export interface Znode {
  readonly data: Buffer;
  readonly stat: ZnodeStat;
  readonly acl: readonly ZnodeAcl[];
}

/** One change of the tree. `children` means that the set of children of `path` changed. */
export interface ZnodeEvent {
  readonly type: "created" | "deleted" | "changed" | "children";
  readonly path: string;
}

/** How a node is created; by default it is plain. */
export interface ZnodeCreateOptions {
  /** The session whose end removes the node; 0 or absent: persistent. */
  readonly ephemeralOwner?: bigint;
  /** Appends a number of ten digits that grows with each child ever created in the parent. */
  readonly sequential?: boolean;
  readonly acl?: readonly ZnodeAcl[];
  /** Creates missing parents (persistent, empty, open to every client) instead of refusing. */
  readonly parents?: boolean;
}

interface Entry {
  data: Buffer;
  readonly acl: readonly ZnodeAcl[];
  readonly children: Set<string>;
  readonly ephemeralOwner: bigint;
  readonly czxid: bigint;
  readonly ctime: number;
  mzxid: bigint;
  pzxid: bigint;
  mtime: number;
  version: number;
  /** How many children were ever created here: the source of sequence numbers, as in ZooKeeper. */
  childrenCreated: number;
}

/**
 * The znodes of one ZooKeeper, in memory. All operations are synchronous, and equal calls give
 * equal trees: ids and counters start at 1, and time comes from the clock that is passed in.
 * Paths are absolute ("/" is the root, which always exists). Refusals throw {@link ZnodeError}.
 */
export class ZnodeTree {
  readonly #entries = new Map<string, Entry>();
  readonly #ephemerals = new Map<bigint, Set<string>>();
  readonly #listeners = new Set<(event: ZnodeEvent) => void>();
  readonly #now: () => number;
  #zxid = 0n;
  #lastSession = 0n;

  /** @param now Clock for the times in stats, milliseconds; left out, all times are 0. */
  constructor(now: () => number = () => 0) {
    this.#now = now;
    this.#entries.set("/", this.#newEntry(Buffer.alloc(0), OPEN_ACL, 0n));
  }

  /** Number of the last change; 0 in a new tree. */
  get zxid(): bigint {
    return this.#zxid;
  }

  /** Returns a new session id. */
  newSession(): bigint {
    this.#lastSession += 1n;
    return this.#lastSession;
  }

  /** The node at `path`; undefined if there is none. */
  get(path: string): Znode | undefined {
    const entry = this.#entries.get(path);
    return entry && { data: entry.data, acl: entry.acl, stat: statOf(entry) };
  }

  /** Names of the children, sorted; undefined if there is no such node. */
  children(path: string): readonly string[] | undefined {
    const entry = this.#entries.get(path);
    return entry && [...entry.children].sort();
  }

  /** All paths but the root, sorted, so that parents come before their children. */
  paths(): readonly string[] {
    return [...this.#entries.keys()].filter((path) => path !== "/").sort();
  }

  /**
   * Creates a node.
   *
   * @returns The path of the new node: `path`, plus the number if it is sequential.
   * @throws ZnodeError `node-exists`, `no-node` (no parent), `no-children-for-ephemerals`,
   *   `bad-arguments` (not a path).
   */
  create(path: string, data: Buffer, options: ZnodeCreateOptions = {}): string {
    const { ephemeralOwner = 0n, sequential = false, acl = OPEN_ACL } = options;
    checkPath(sequential ? `${path}0` : path);
    const parentPath = parentOf(path);
    if (options.parents && !this.#entries.has(parentPath)) {
      this.create(parentPath, Buffer.alloc(0), { parents: true });
    }
    const parent = this.#need(parentPath);
    if (parent.ephemeralOwner !== 0n) throw new ZnodeError("no-children-for-ephemerals", path);
    const number = String(parent.childrenCreated).padStart(10, "0");
    const full = sequential ? path + number : path;
    if (this.#entries.has(full)) throw new ZnodeError("node-exists", full);
    this.#zxid += 1n;
    parent.children.add(nameOf(full));
    parent.childrenCreated += 1;
    parent.pzxid = this.#zxid;
    this.#entries.set(full, this.#newEntry(Buffer.from(data), acl, ephemeralOwner));
    if (ephemeralOwner !== 0n) this.#ownedBy(ephemeralOwner).add(full);
    this.#emit({ type: "created", path: full });
    this.#emit({ type: "children", path: parentPath });
    return full;
  }

  /**
   * Replaces the data of a node.
   *
   * @param version Refused unless the node has this version; -1 accepts any.
   * @throws ZnodeError `no-node`, `bad-version`.
   */
  setData(path: string, data: Buffer, version = -1): ZnodeStat {
    const entry = this.#need(path);
    if (version !== -1 && version !== entry.version) throw new ZnodeError("bad-version", path);
    this.#zxid += 1n;
    entry.data = Buffer.from(data);
    entry.version += 1;
    entry.mzxid = this.#zxid;
    entry.mtime = this.#now();
    this.#emit({ type: "changed", path });
    return statOf(entry);
  }

  /**
   * Removes a node without children.
   *
   * @param version Refused unless the node has this version; -1 accepts any.
   * @throws ZnodeError `no-node`, `bad-version`, `not-empty`, `bad-arguments` (the root).
   */
  remove(path: string, version = -1): void {
    if (path === "/") throw new ZnodeError("bad-arguments", path);
    const entry = this.#need(path);
    if (version !== -1 && version !== entry.version) throw new ZnodeError("bad-version", path);
    if (entry.children.size > 0) throw new ZnodeError("not-empty", path);
    const parent = this.#need(parentOf(path));
    this.#zxid += 1n;
    this.#entries.delete(path);
    if (entry.ephemeralOwner !== 0n) this.#ownedBy(entry.ephemeralOwner).delete(path);
    parent.children.delete(nameOf(path));
    parent.pzxid = this.#zxid;
    this.#emit({ type: "deleted", path });
    this.#emit({ type: "children", path: parentOf(path) });
  }

  /** Ends a session: removes the ephemeral nodes it owns, in the order of their paths. */
  closeSession(session: bigint): void {
    const owned = [...(this.#ephemerals.get(session) ?? [])].sort();
    for (const path of owned) {
      // A listener that reacts to one removal may have removed another.
      if (this.#entries.has(path)) this.remove(path);
    }
    this.#ephemerals.delete(session);
  }

  /**
   * Calls `listener` after each change, before the changing call returns.
   *
   * @returns A function that ends it.
   */
  onChange(listener: (event: ZnodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #emit(event: ZnodeEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  #need(path: string): Entry {
    const entry = this.#entries.get(path);
    if (entry === undefined) throw new ZnodeError("no-node", path);
    return entry;
  }

  #ownedBy(session: bigint): Set<string> {
    const owned = this.#ephemerals.get(session) ?? new Set<string>();
    this.#ephemerals.set(session, owned);
    return owned;
  }

  #newEntry(data: Buffer, acl: readonly ZnodeAcl[], ephemeralOwner: bigint): Entry {
    const time = this.#now();
    return {
      data,
      acl,
      children: new Set(),
      ephemeralOwner,
      czxid: this.#zxid,
      ctime: time,
      mzxid: this.#zxid,
      pzxid: this.#zxid,
      mtime: time,
      version: 0,
      childrenCreated: 0,
    };
  }
}

function statOf(entry: Entry): ZnodeStat {
  return {
    czxid: entry.czxid,
    mzxid: entry.mzxid,
    pzxid: entry.pzxid,
    ctime: entry.ctime,
    mtime: entry.mtime,
    version: entry.version,
    // Creations plus removals.
    cversion: entry.childrenCreated * 2 - entry.children.size,
    ephemeralOwner: entry.ephemeralOwner,
    dataLength: entry.data.length,
    numChildren: entry.children.size,
  };
}

function parentOf(path: string): string {
  const cut = path.lastIndexOf("/");
  return cut <= 0 ? "/" : path.slice(0, cut);
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function checkPath(path: string): void {
  const names = path.split("/").slice(1);
  const bad = (name: string) => name === "" || name === "." || name === ".." || name.includes("\0");
  if (path === "/") throw new ZnodeError("node-exists", path);
  if (!path.startsWith("/") || names.some(bad)) throw new ZnodeError("bad-arguments", path);
}

/**
 * A separate session on a tree in the same process, with the interface of a ZooKeeper client. For
 * simulations: no network, and answers come in the order of the calls.
 */
export function treeZooKeeper(tree: ZnodeTree): ZooKeeper {
  const session = tree.newSession();
  const isOwn = (path: string) => tree.get(path)?.stat.ephemeralOwner === session;
  const changed = (change: () => void) =>
    unless("no-node", false, () => {
      change();
      return true;
    });
  const removed = (path: string) => changed(() => tree.remove(path));
  return {
    getChildren: async (path) => tree.children(path),
    getData: async (path) => {
      const node = tree.get(path);
      return node && Buffer.from(node.data);
    },
    isEphemeral: async (path) => {
      const node = tree.get(path);
      return node && node.stat.ephemeralOwner !== 0n;
    },
    create: async (path, data, mode) =>
      unless("node-exists", undefined, () => tree.create(path, data, createOptions(mode, session))),
    setData: async (path, data) => changed(() => tree.setData(path, data)),
    remove: async (path) => removed(path),
    removeIf: async (path, isExpected) => {
      const node = tree.get(path);
      return node !== undefined && isExpected(Buffer.from(node.data)) && removed(path);
    },
    isOwn: async (path) => isOwn(path),
    removeOwn: async (path) => isOwn(path) && removed(path),
    close: async () => tree.closeSession(session),
  };
}

function createOptions(mode: CreateMode, session: bigint): ZnodeCreateOptions {
  return {
    ephemeralOwner: mode === "persistent" ? 0n : session,
    sequential: mode === "ephemeral-sequential",
    parents: true,
  };
}

function unless<T, U>(reason: ZnodeErrorReason, otherwise: U, action: () => T): T | U {
  try {
    return action();
  } catch (error) {
    if (error instanceof ZnodeError && error.reason === reason) return otherwise;
    throw error;
  }
}
