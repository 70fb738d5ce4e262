import type { ZooKeeper } from "../../cluster/zookeeper.js";
import { messageOf, refused } from "../../errors.js";
import type { ZnodeTree } from "../znode-tree.js";

/** A tree that is copied into a ZooKeeper. */
export interface ZkMirror {
  /**
   * Resolves when the ZooKeeper has everything that the tree had at the time of the call.
   *
   * @throws The first error of a copy, wrapped in an Error; the mirror has then stopped.
   */
  flush(): Promise<void>;
  /** Removes the copied nodes, unless nodes were added below them, and stops. */
  close(): Promise<void>;
}

/**
 * Copies all nodes below `rootPath` of a tree into a ZooKeeper, now and after each change, in the order
 * of the changes. Nothing is copied back, and nodes of other clients are left alone. Ephemeral nodes
 * become ephemeral nodes of the one session of `zookeeper`.
 *
 * @param zookeeper A connection for the mirror only; its owner closes it afterwards.
 * @throws OpsError `refused` if the ZooKeeper has nodes under `rootPath` already.
 */
export async function mirrorTree(
  tree: ZnodeTree,
  rootPath: string,
  zookeeper: ZooKeeper,
): Promise<ZkMirror> {
  const present = await zookeeper.getChildren(rootPath);
  if (present !== undefined && present.length > 0) {
    throw refused(
      `ZooKeeper already holds something under ${rootPath}`,
      "give the sandbox a root path of its own with --zk_root_path",
    );
  }
  const below = (path: string) => path === rootPath || path.startsWith(`${rootPath}/`);
  const copied = new Set<string>();
  let failure: unknown;
  let queue: Promise<void> = Promise.resolve();
  const enqueue = (path: string) => {
    queue = queue.then(async () => {
      if (failure === undefined) {
        await copy(tree, zookeeper, path, copied).catch((error: unknown) => {
          failure = error;
        });
      }
    });
  };
  const stop = tree.onChange((event) => {
    if (event.type !== "children" && below(event.path)) {
      enqueue(event.path);
    }
  });
  for (const path of tree.paths().filter(below)) {
    enqueue(path);
  }
  return {
    async flush() {
      await queue;
      if (failure !== undefined) {
        throw new Error(`cannot copy to ZooKeeper: ${messageOf(failure)}`, { cause: failure });
      }
    },
    async close() {
      stop();
      await queue;
      for (const path of [...copied].sort().reverse()) {
        await zookeeper.remove(path).catch(() => false);
      }
    },
  };
}

/** Copies the present state of one node to the ZooKeeper. */
async function copy(
  tree: ZnodeTree,
  zookeeper: ZooKeeper,
  path: string,
  copied: Set<string>,
): Promise<void> {
  const node = tree.get(path);
  if (node === undefined) {
    if (copied.delete(path)) {
      await zookeeper.remove(path);
    }
    return;
  }
  if (!copied.has(path)) {
    copied.add(path);
    const mode = node.stat.ephemeralOwner === 0n ? "persistent" : "ephemeral";
    if ((await zookeeper.create(path, node.data, mode)) !== undefined) {
      return;
    }
  }
  await zookeeper.setData(path, node.data);
}
