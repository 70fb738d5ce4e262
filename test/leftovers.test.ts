import { expect, it } from "vitest";
import { createCluster } from "../src/cluster/connect.js";
import { OpsError } from "../src/errors.js";
import { modelTransport } from "../src/sandbox/model/model-transport.js";
import { putZnode } from "../src/sandbox/table-store.js";
import { treeZooKeeper } from "../src/sandbox/znode-tree.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

// Znodes that no session owns stay until they are deleted, so the tool does not wait for their end.

const HOUR = 3_600_000;

async function withTable(isOn = false): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({ model: { autoFailover: isOn } });
  virtual.model.createTable({ db: "db1", table: "t0", partitions: 2, replicas: 3 });
  virtual.model.put(20);
  await virtual.pass(5_000);
  return virtual;
}

function leaveRegistration({ model }: VirtualCluster): void {
  putZnode(model.tree, "/openmldb/nodes/x:9527", "x:9527");
}

/** A cluster like that of `virtual`, and its events. */
async function withNotes({ model, clock }: VirtualCluster) {
  const notes: string[] = [];
  const cluster = await createCluster({
    zk: treeZooKeeper(model.tree),
    transport: modelTransport(model),
    clock,
    rootPath: "/openmldb",
    rpcTimeoutMs: 10_000,
    onNote: (text) => notes.push(text),
  });
  return { cluster, notes };
}

/** The error of a call, and the milliseconds until it was thrown. */
async function failureOf({ clock }: VirtualCluster, call: () => Promise<unknown>) {
  const began = clock.now();
  const error = await clock.run(
    call().then(
      () => undefined,
      (thrown: unknown) => thrown,
    ),
    HOUR,
  );
  expect(error).toBeInstanceOf(OpsError);
  return { error: error as OpsError, ms: clock.now() - began };
}

it.each([
  ["refuses connections", "x:6527"],
  ["runs again, and stands by behind it", "n1:6527"],
])(
  "a nameserver's lock without a session is reported at once, also if it %s",
  async (_what, endpoint) => {
    const virtual = await withTable();
    const { cluster, notes } = await withNotes(virtual);
    const znode = "/openmldb/leader/lock_request-0000000001";
    putZnode(virtual.model.tree, znode, endpoint);
    for (const one of ["n1:6527", "n2:6527"]) virtual.model.kill(one);
    await virtual.pass(30_000);
    for (const one of ["n1:6527", "n2:6527"]) virtual.model.restart(one);
    await virtual.pass(5_000);
    const { error, ms } = await failureOf(virtual, () => cluster.showTablet());
    expect(error.message).toContain(`by the znode ${znode}, which was left behind`);
    expect(error.retryable).toBe(false);
    expect(error.hint).toBe(`delete the znode ${znode}; then the next nameserver leads`);
    expect(ms).toBeLessThan(1_000);
    expect(notes).toEqual([]);
  },
);

it("a lock whose session may end is waited for, with one message", async () => {
  const virtual = await withTable();
  const { cluster, notes } = await withNotes(virtual);
  virtual.model.kill("n1:6527", { leavesNodes: true });
  const calls = [cluster.showTablet(), cluster.confGet()].map((one) => one.catch(() => undefined));
  await virtual.clock.run(Promise.all(calls), HOUR);
  expect(notes).toHaveLength(1);
  expect(notes[0]).toMatch(
    /^nameserver n1:6527 leads by the znode \/openmldb\/leader\/lock_request\d+ and takes no calls .*; waiting up to 30 s/,
  );
});

it("no op is requested if none could end, and steps without ops are done", async () => {
  const virtual = await withTable();
  leaveRegistration(virtual);
  virtual.model.outage();
  // Its replicas can be recovered by RecoverTable only.
  virtual.model.wipe("a:9527");
  await virtual.pass(60_000);
  const began = virtual.clock.now();
  const result = await virtual.recover();
  if (!("report" in result)) throw result.error;
  expect(result.report.partitions.every((one) => one.isServing)).toBe(true);
  expect(result.report.partitions.map((one) => one.failure?.detail ?? "").join("\n")).toMatch(
    /an op would not end: the nameserver waits for x:9527/,
  );
  expect(await virtual.clock.run(virtual.cluster.showOpStatus(), HOUR)).toEqual([]);
  expect(virtual.clock.now() - began).toBeLessThan(30_000);
});

it("with --cancel_stuck, ops that cannot end are cancelled, and the partitions are recovered without ops", async () => {
  const virtual = await withTable(true);
  leaveRegistration(virtual);
  virtual.model.outage();
  await virtual.pass(60_000);
  const stuck = await virtual.clock.run(virtual.cluster.showOpStatus(), HOUR);
  expect(stuck.filter((op) => op.status === "doing" || op.status === "inited")).not.toEqual([]);
  await virtual.clock.run(virtual.cluster.confSet("auto_failover", "false"), HOUR);

  const began = virtual.clock.now();
  const first = await virtual.recover();
  if (!("report" in first)) throw first.error;
  expect(first.report.partitions.map((one) => one.failure?.detail ?? "").join("\n")).toContain(
    "delete what was left behind: /openmldb/nodes/x:9527; or run again with --cancel_stuck, which cancels such ops",
  );
  expect(virtual.clock.now() - began).toBeLessThan(30_000);

  const second = await virtual.recover({ limits: { ...LIMITS, cancelStuck: true } });
  if (!("report" in second)) throw second.error;
  expect(second.report.partitions.every((one) => one.isServing)).toBe(true);
  expect(virtual.model.rows()).toMatchObject([
    { served: 20, lost: 0 },
    { served: 20, lost: 0 },
  ]);
});
