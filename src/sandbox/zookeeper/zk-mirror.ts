import type { ZooKeeper } from "../../cluster/zookeeper.js";
import { messageOf, OpsError } from "../../errors.js";
import type { ZnodeTree } from "../znode-tree.js";

/** A tree that is being copied into a ZooKeeper. */
export interface ZkMirror {
  /**
   * Resolves when the ZooKeeper holds everything that the tree held at the time of the call.
   *
   * @throws The first error that a copy met, wrapped in an Error; the mirror has stopped then.
   */
  flush(): Promise<void>;
  /** Removes what was copied, as far as nothing was put below it, and stops. */
  close(): Promise<void>;
}

/**
 * Copies all nodes below `rootPath` of a tree into a ZooKeeper, now and after each change, in the
 * order of the changes. Nothing is copied back, and nodes that others write there are left alone.
 * Ephemeral nodes become ephemeral nodes of the one session of `zookeeper`.
 *
 * @param zookeeper A connection that the mirror uses alone; its owner closes it afterwards.
 * @throws OpsError `refused` if the ZooKeeper holds something under `rootPath` already.
 */
export async function mirrorTree(
  tree: ZnodeTree,
  rootPath: string,
  zookeeper: ZooKeeper,
): Promise<ZkMirror> {
  const present = await zookeeper.getChildren(rootPath);
  if (present !== undefined && present.length > 0) {
    throw new OpsError({
      code: "refused",
      message: `ZooKeeper already holds something under ${rootPath}`,
      hint: "give the sandbox a root path of its own with --zk_root_path",
    });
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

/** Makes one node of the ZooKeeper what it is in the tree at this moment. */
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
