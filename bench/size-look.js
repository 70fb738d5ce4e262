// Observes the cluster of size-server.js once, diagnoses and plans, as `recoverdata --dry_run` does. Sends the time, the memory
// and the longest block of the event loop. Started with fork().
import { createCluster } from "../dist/cluster/connect.js";
import { createGrpcTransport } from "../dist/cluster/grpc-transport.js";
import { realClock } from "../dist/cluster/real-clock.js";
import { observeAndPlan } from "../dist/execution/observe-and-plan.js";
import { putZnode } from "../dist/sandbox/table-store.js";
import { treeZooKeeper, ZnodeTree } from "../dist/sandbox/znode-tree.js";
import { watchCost } from "./size-cost.js";

const { nameserver, endpoints } = JSON.parse(process.argv[2]);
const root = "/openmldb";
const tree = new ZnodeTree(Date.now);
putZnode(tree, `${root}/leader/lock_request0000000000`, nameserver);
for (const endpoint of endpoints) putZnode(tree, `${root}/nodes/${endpoint}`, endpoint);

const cluster = await createCluster({
  zk: treeZooKeeper(tree),
  transport: createGrpcTransport({ authorization: "sdefault" }),
  clock: realClock,
  rootPath: root,
  rpcTimeoutMs: 60_000,
});
await new Promise((resolve) => setTimeout(resolve, 200));

const cost = watchCost();
const began = performance.now();
const seen = await observeAndPlan(cluster, { signal: new AbortController().signal });
const tookMs = performance.now() - began;
process.send({
  tookMs,
  ...cost(),
  planned: seen.plan.partitions.length,
  calls: cluster.callCount(),
});
await cluster.close();
process.disconnect();
