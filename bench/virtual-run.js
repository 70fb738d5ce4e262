// One recovery of a cluster of any size on the virtual clock, in a separate process. Started with
// fork(). The time is that of the model: loads and waits take their time there, and computing takes none.
import { createCluster } from "../dist/cluster/connect.js";
import { SandboxModel } from "../dist/sandbox/model/model.js";
import { modelTransport } from "../dist/sandbox/model/model-transport.js";
import { VirtualClock } from "../dist/sandbox/model/virtual-clock.js";
import { treeZooKeeper, ZnodeTree } from "../dist/sandbox/znode-tree.js";
import { clusterOf } from "./clusters.js";
import { leftOver, WAYS } from "./ways.js";

const ROWS = 20;
const LIMIT_MS = 200_000_000;
const STEP_MS = 100;

// Computing takes no time here. Without this, work that yields would advance the model's clock to its next timer.
const began = Date.now();
Object.defineProperty(performance, "now", { value: () => 0 });

const { replicas, way } = JSON.parse(process.argv[2]);
const clock = new VirtualClock();
const tree = new ZnodeTree(() => clock.now());
const spec = clusterOf(replicas);
const named = (name, count) =>
  Array.from({ length: count }, (_, index) => {
    const endpoint = `${name}${String(index).padStart(4, "0")}:9527`;
    return { endpoint, address: endpoint };
  });
const model = new SandboxModel({
  clock,
  seed: 1,
  tree,
  tablets: named("tablet", spec.tablets),
  nameservers: named("nameserver", 2),
});
model.start();
await clock.advance(3_000);
fill(spec);
await clock.advance(5_000);
model.outage();
const isBack = () =>
  model.leader !== undefined && [...model.leader.tablets.values()].every((one) => one.isHealthy);
await clock.advance(STEP_MS);
while (!isBack() || model.processes.some((one) => !one.isUp)) await clock.advance(STEP_MS);

const transport = modelTransport(model);
const cluster = await createCluster({
  zk: treeZooKeeper(tree),
  transport,
  clock,
  rootPath: "/openmldb",
  rpcTimeoutMs: 60_000,
});
const result = await clock.run(WAYS[way]({ cluster, transport }), LIMIT_MS);
const left = await clock.run(leftOver(cluster), LIMIT_MS);
process.send({ ...result, left, realMs: Date.now() - began });
process.disconnect();

function fill({ tables, partitions, replicas: copies, hddTables = 0, singleReplicaTables = 0 }) {
  model.createSystemTables();
  for (let index = 0; index < tables; index += 1) {
    const isDisk = index < hddTables;
    const isSingle = !isDisk && index < hddTables + singleReplicaTables;
    model.createTable({
      db: "db1",
      table: `t${index}`,
      partitions,
      replicas: isSingle ? 1 : copies,
      ...(isDisk ? { storageMode: "hdd" } : {}),
    });
  }
  model.put(ROWS);
}
