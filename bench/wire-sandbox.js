// A sandbox cluster on real sockets in real time, in a process of its own. Started with fork().
import { startSandbox } from "../dist/sandbox/start.js";

const LIMIT_MS = 60_000;
const { cluster, loadMs } = JSON.parse(process.argv[2]);
const sandbox = await startSandbox({
  autoFailover: false,
  ...cluster,
  ...(loadMs === undefined ? {} : { loadMs }),
  rows: 20,
  speed: 1,
  seed: 1,
});

process.on("message", async () => {
  await sandbox.outage({ withNameservers: false });
  // The nameserver needs a moment to see that the tablets are back; nobody recovers before that.
  const { model } = sandbox;
  await model.until(
    () =>
      model.leader !== undefined &&
      [...model.leader.tablets.values()].every((one) => one.isHealthy),
    LIMIT_MS,
    10,
  );
  process.send("outage");
});
process.on("disconnect", () => process.exit());
process.send({ zkCluster: sandbox.zkCluster, rootPath: sandbox.zkRootPath });
