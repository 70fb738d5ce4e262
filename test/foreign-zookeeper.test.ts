import { expect, test } from "vitest";
import { readTopology } from "../src/cluster/topology.js";
import { treeZooKeeper, ZnodeTree } from "../src/sandbox/znode-tree.js";

test("a mistyped root path beside 150,000 znodes of other programs: one error, few reads", async () => {
  const tree = new ZnodeTree();
  const zk = treeZooKeeper(tree);
  const many = Array.from({ length: 150_000 }, (_, index) => `broker-${index}`);
  let reads = 0;
  const crowded = {
    ...zk,
    getChildren: async (path: string) => {
      reads += 1;
      if (path.startsWith("/openmlbd")) return undefined;
      if (path === "/") return ["brokers", ...many];
      return path === "/brokers" ? many : [];
    },
  };
  await expect(readTopology(crowded, "/openmlbd")).rejects.toMatchObject({ code: "no-cluster" });
  expect(reads).toBeLessThanOrEqual(210);
});
