// A sandbox cluster on real sockets in real time, in a separate process. Started with fork().
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

/** The tablet that is killed and restarted alone. */
const ONE = "tablet3";
const WRITE_EVERY_MS = 50;
const { model } = sandbox;

/** Waits until the nameserver has noticed the change; no recovery is possible before. */
function untilSeen(healthy) {
  const seen = () =>
    model.leader !== undefined &&
    [...model.leader.tablets.values()].filter((one) => one.isHealthy).length === healthy;
  return model.until(seen, LIMIT_MS, 10);
}

const orders = {
  async outage() {
    await sandbox.outage({ withNameservers: false });
    await untilSeen(sandbox.tablets.length);
  },
  async "one goes"() {
    model.kill(ONE);
    await untilSeen(sandbox.tablets.length - 1);
  },
  async "it comes back, and clients write"() {
    await sandbox.restart(ONE);
    await untilSeen(sandbox.tablets.length);
    setInterval(() => model.put(1), WRITE_EVERY_MS);
  },
};

process.on("message", async (order) => {
  await orders[order]();
  process.send(order);
});
process.on("disconnect", () => process.exit());
process.send({
  zkCluster: sandbox.zkCluster,
  rootPath: sandbox.zkRootPath,
  tablet: sandbox.tablets.at(-1),
});
