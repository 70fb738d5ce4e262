import { isDeepStrictEqual } from "node:util";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type PartitionMeta,
  type TableInfo,
  TableInfoSchema,
  type TablePartition,
} from "../gen/openmldb/nameserver_pb.js";
import type { Endpoint } from "../model/cluster-state.js";
import type { ZnodeTree } from "./znode-tree.js";

/** Writes a persistent znode, with its parents, whether it exists or not. */
export function putZnode(tree: ZnodeTree, path: string, data: Buffer | string): void {
  const bytes = Buffer.from(data);
  if (tree.get(path) === undefined) tree.create(path, bytes, { parents: true });
  else tree.setData(path, bytes);
}

/** The text of a znode; undefined if it does not exist. */
export function znodeText(tree: ZnodeTree, path: string): string | undefined {
  return tree.get(path)?.data.toString("utf8");
}

/**
 * The table infos of a leading nameserver: read from the znodes at takeover, changed in memory, written
 * back where OpenMLDB writes them. Offsets change in memory only.
 */
export class TableStore {
  readonly #tree: ZnodeTree;
  readonly #root: string;
  readonly #byTid = new Map<number, TableInfo>();
  readonly #byName = new Map<string, TableInfo>();
  readonly #copies = new Map<number, TableInfo>();
  #ordered: TableInfo[] | undefined;

  constructor(tree: ZnodeTree, root: string) {
    this.#tree = tree;
    this.#root = root;
    this.#read(`${root}/table/table_data`);
    this.#read(`${root}/table/db_table_data`);
  }

  #read(parent: string): void {
    for (const name of this.#tree.children(parent) ?? []) {
      const data = this.#tree.get(`${parent}/${name}`)?.data;
      if (data === undefined) continue;
      try {
        // Not the Buffer itself: the bytes of columns would be Buffers too, and equal to no copy.
        this.set(fromBinary(TableInfoSchema, new Uint8Array(data)));
      } catch {
        // OpenMLDB skips znodes that it cannot parse, and so does the model.
      }
    }
  }

  /**
   * All tables: those without a database first, then by database and name, as OpenMLDB iterates them.
   */
  all(): readonly TableInfo[] {
    this.#ordered ??= [...this.#byTid.values()].sort((a, b) => {
      const [left, right] = a.db === b.db ? [a.name, b.name] : [a.db, b.db];
      return left < right ? -1 : 1;
    });
    return this.#ordered;
  }

  find(name: string, db: string): TableInfo | undefined {
    return this.#byName.get(`${db}\n${name}`);
  }

  get(tid: number): TableInfo | undefined {
    return this.#byTid.get(tid);
  }

  /** Adds a table in memory, or replaces it. */
  set(table: TableInfo): void {
    this.#byTid.set(table.tid, table);
    this.#byName.set(`${table.db}\n${table.name}`, table);
    this.#ordered = undefined;
  }

  /**
   * A frozen copy of a table; the same object as before if nothing has changed since, as a recovery
   * asks for each table many times.
   */
  copyOf(table: TableInfo): TableInfo {
    const known = this.#copies.get(table.tid);
    if (known !== undefined && isDeepStrictEqual(known, table)) return known;
    const copy = deepFreeze(copyTable(table));
    this.#copies.set(table.tid, copy);
    return copy;
  }

  /** Writes a table as it is in memory, with its offsets, and notifies the clients. */
  save(table: TableInfo): void {
    const table_ = `${this.#root}/table`;
    const path =
      table.db === ""
        ? `${table_}/table_data/${table.name}`
        : `${table_}/db_table_data/${table.tid}`;
    putZnode(this.#tree, path, Buffer.from(toBinary(TableInfoSchema, table)));
    const notified = Number(znodeText(this.#tree, `${table_}/notify`) ?? "1");
    putZnode(this.#tree, `${table_}/notify`, String(notified + 1));
  }
}

/** A partition of a table. */
export function partitionOf(table: TableInfo, pid: number): TablePartition | undefined {
  const guess = table.tablePartition[pid];
  return guess?.pid === pid ? guess : table.tablePartition.find((part) => part.pid === pid);
}

/** The record of one replica. */
export function metaOf(
  part: TablePartition | undefined,
  endpoint: Endpoint,
): PartitionMeta | undefined {
  return part?.partitionMeta.find((meta) => meta.endpoint === endpoint);
}

/** The replica that is flagged leader and alive, which clients write to. */
export function aliveLeader(part: TablePartition | undefined): PartitionMeta | undefined {
  return part?.partitionMeta.find((meta) => meta.isLeader && meta.isAlive);
}

/** A copy of a table info that shares nothing with the original and has all its fields. */
export function copyTable(table: TableInfo): TableInfo {
  return fromBinary(TableInfoSchema, toBinary(TableInfoSchema, table));
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) {
    // Bytes cannot be frozen.
    if (typeof part === "object" && !ArrayBuffer.isView(part)) deepFreeze(part as object);
  }
  return Object.freeze(value);
}

/** An empty table info with the given fields. */
export function newTable(fields: Parameters<typeof create<typeof TableInfoSchema>>[1]): TableInfo {
  return create(TableInfoSchema, fields);
}
