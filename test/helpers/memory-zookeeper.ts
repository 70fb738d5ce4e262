import type { ZooKeeper } from "../../src/cluster/zookeeper.js";

/** A ZooKeeper in memory, whose nodes tests can change at any time. */
export interface MemoryZooKeeper extends ZooKeeper {
  /** The data of each node by path. Parents exist implicitly. */
  readonly nodes: Map<string, Buffer>;
}

/** @param nodes Text or bytes by path. */
export function memoryZooKeeper(nodes: Readonly<Record<string, string | Buffer>>): MemoryZooKeeper {
  const map = new Map<string, Buffer>(
    Object.entries(nodes).map(([path, data]) => [path, Buffer.from(data)]),
  );
  return {
    nodes: map,
    async getChildren(path) {
      const prefix = path === "/" ? "/" : `${path}/`;
      const below = [...map.keys()].filter((key) => key.startsWith(prefix));
      const isThere = below.length > 0 || map.has(path) || path === "/";
      return isThere
        ? [...new Set(below.map((key) => key.slice(prefix.length).split("/")[0] as string))]
        : undefined;
    },
    getData: async (path) => map.get(path),
    isEphemeral: async (path) => (map.has(path) ? true : undefined),
    async create(path, data) {
      map.set(path, data);
      return path;
    },
    async setData(path, data) {
      return map.has(path) && map.set(path, data) !== undefined;
    },
    remove: async (path) => map.delete(path),
    removeIf: async (path, isExpected) => {
      const data = map.get(path);
      return data !== undefined && isExpected(data) && map.delete(path);
    },
    isOwn: async (path) => map.has(path),
    removeOwn: async (path) => map.delete(path),
    async close() {},
  };
}
