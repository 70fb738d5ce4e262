import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import { TableInfoSchema } from "../src/gen/openmldb/nameserver_pb.js";
import { moveTabletOperation } from "../src/operations/move-tablet.js";
import { A, B, C, clusterWith, lost, operateOn, resultsOf } from "./helpers/operate-virtual.js";
import { print } from "./helpers/printing.js";
import { runBin } from "./helpers/run-bin.js";
import { sandboxForTest, sandboxFromRecording } from "./helpers/sandbox.js";
import type { VirtualCluster } from "./helpers/virtual-cluster.js";

const D = "d:9527";
const move = (from: string | undefined = C, to = D) =>
  moveTabletOperation({ from: from ?? "", to, print });

/** All processes were restarted; c returned as d, with its disk. */
async function moved(partitions = 3): Promise<VirtualCluster> {
  const virtual = await clusterWith({ partitions });
  await virtual.pass(20_000);
  virtual.model.outage();
  virtual.model.move("tablet3", { endpoint: D, address: D });
  await virtual.pass(60_000);
  return virtual;
}

async function onRecord({ cluster, clock }: VirtualCluster): Promise<string[][]> {
  const tables = await clock.run(cluster.showTable(), 60_000);
  return tables.flatMap(({ partitions }) =>
    partitions.map(({ replicas }) => replicas.map((one) => one.endpoint).sort()),
  );
}

test("every matching replica gets the new endpoint, leaders too; recovery then recovers all", async () => {
  const virtual = await moved();
  const report = await operateOn(virtual, move());
  expect(resultsOf(report)).toEqual(Array(3).fill("move-in-record c:9527 done"));
  expect(report.complaints).toEqual([]);
  expect(report.conclusions.join("\n")).toContain("next, run: openmldb-ops --cmd=recoverdata");
  expect(await onRecord(virtual)).toEqual(Array(3).fill([A, B, D]));
  const result = await virtual.recover();
  const { partitions } = "report" in result ? result.report : { partitions: [] };
  expect(partitions.map((one) => one.status)).toEqual(Array(3).fill("recovered"));
  expect(virtual.model.rows().map((one) => one.served)).toEqual([30, 30, 30]);
  expect(lost(virtual)).toBe(0);
  expect((await operateOn(virtual, move())).results).toEqual([]);
});

test("it continues after a stop: a replica that has moved is not changed again", async () => {
  const virtual = await moved();
  let calls = 0;
  const changed: Partial<Cluster> = {
    async setReplicaEndpoint(...args) {
      calls += 1;
      if (calls === 2) throw new Error("the process was killed");
      return virtual.cluster.setReplicaEndpoint(...args);
    },
  };
  await operateOn(virtual, move(), changed);
  expect((await onRecord(virtual)).filter((all) => all.includes(D))).toHaveLength(2);
  const again = await operateOn(virtual, move());
  expect(resultsOf(again)).toEqual(["move-in-record c:9527 done"]);
  expect(await onRecord(virtual)).toEqual(Array(3).fill([A, B, D]));
});

test("a tablet with another disk does not match: the record stays, and the reason is reported", async () => {
  const virtual = await clusterWith({ partitions: 2 });
  virtual.model.outage();
  virtual.model.kill("tablet3");
  virtual.model.addTablet({ endpoint: D, address: D });
  virtual.model.restart(D);
  await virtual.pass(60_000);
  const before = await onRecord(virtual);
  const report = await operateOn(virtual, move());
  expect(report.results.map(({ outcome }) => outcome.result)).toEqual(["failed", "failed"]);
  expect(report.complaints).toEqual(["db1.t0:0 stays at c:9527", "db1.t0:1 stays at c:9527"]);
  expect(report.conclusions).toEqual([]);
  expect(await onRecord(virtual)).toEqual(before);
});

test("a tablet of another cluster with the same ids is detected by its schema", async () => {
  const virtual = await moved(2);
  virtual.model.putForeignTablet(D, { hasLoaded: false });
  await virtual.pass(30_000);
  const before = await onRecord(virtual);
  const report = await operateOn(virtual, move());
  const details = report.results.map(({ outcome }) => ("detail" in outcome ? outcome.detail : ""));
  expect(details.join("\n")).toContain("foreign_db");
  expect(await onRecord(virtual)).toEqual(before);
});

test("a tablet in use, named by mistake: nothing is moved, and its own replicas do not count as moved", async () => {
  const virtual = await clusterWith({ partitions: 3, replicas: 2 });
  virtual.model.outage();
  virtual.model.kill("tablet3");
  await virtual.pass(60_000);
  const report = await operateOn(virtual, move(C, A));
  expect(report.results.map(({ outcome }) => outcome.result)).toEqual(["failed"]);
  expect(report.conclusions).toEqual([]);
});

test("a disk that lost rows stays: less than the known offset is no proof", async () => {
  const virtual = await moved(1);
  virtual.model.cutBinlog(D, { db: "db1", table: "t0", pid: 0 }, 5);
  const before = await onRecord(virtual);
  const report = await operateOn(virtual, move());
  const [only] = report.results;
  expect(only?.outcome).toMatchObject({
    result: "failed",
    detail: "at d:9527 it holds entries up to 25, and 30 is known of it",
  });
  expect(await onRecord(virtual)).toEqual(before);
});

test("if another absent tablet holds the same partitions, no replica identifies the disk", async () => {
  const virtual = await moved(2);
  virtual.model.kill("tablet2");
  await virtual.pass(60_000);
  const report = await operateOn(virtual, move());
  expect(report.results).toEqual([]);
  expect(report.plan.notes.join("\n")).toContain(
    "stays: db1.t0:0: b:9527 is absent too and holds it; no replica distinguishes c:9527 from b:9527",
  );
});

test("refused for a registered tablet, which has not moved, and for an unknown name", async () => {
  const virtual = await clusterWith();
  await expect(operateOn(virtual, move(A, B))).rejects.toMatchObject({
    code: "refused",
    message: "tablet a:9527 is registered: it has not moved",
  });
  await expect(operateOn(virtual, move("x:1", B))).rejects.toMatchObject({ code: "refused" });
  const same = await runBin([
    "movetablet",
    "--from=a:1",
    "--to=a:1",
    "--zk_cluster=a:1",
    "--zk_root_path=/o",
  ]);
  expect(same.code).toBe(2);
  expect(same.stderr).toContain("map/names");
});

test("moved-1 of a real cluster ends as moved-2 does, without a row lost", async () => {
  const sandbox = await sandboxFromRecording("moved-1-back-under-another-port", { speed: 20 });
  const at = [`--zk_cluster=${sandbox.zkCluster}`, "--zk_root_path=/openmldb"];
  const [from, to] = [13923, 13924].map((port) => sandbox.addresses.get(`127.0.0.1:${port}`));
  const command = `openmldb-ops movetablet --from=${from} --to=${to} ${at.join(" ")}`;
  expect((await runBin(["inspect", ...at])).stdout).toContain(command);
  expect((await runBin(["recoverdata", "--yes", ...at])).stdout).toContain(command);
  const dry = await runBin(["movetablet", `--from=${from}`, `--to=${to}`, "--dry_run", ...at]);
  expect(dry.stdout).toContain("moved if it matches there");
  const run = await runBin(["movetablet", `--from=${from}`, `--to=${to}`, "--yes", ...at]);
  expect(run.code, run.stdout).toBe(0);
  const recovery = await runBin(["recoverdata", "--yes", ...at]);
  expect(recovery.code, recovery.stdout).toBe(0);
  for (const one of sandbox.model.rows({ db: "db1" })) {
    expect(one).toMatchObject({ served: 40, lost: 0 });
    expect(one.replicas.map((each) => each.endpoint)).not.toContain(from);
  }
});

test("case 05: a tablet under a new address is reported before rows are given up", async () => {
  const sandbox = await sandboxForTest({
    speed: 10,
    tablets: 3,
    tables: 1,
    partitions: 2,
    replicas: 3,
    rows: 30,
    autoFailover: false,
  });
  const { model } = sandbox;
  const to = model.rows()[0]?.leader ?? "";
  const store = model.leader?.tables;
  for (const table of [...(store?.all() ?? [])]) {
    const copy = fromBinary(TableInfoSchema, toBinary(TableInfoSchema, table));
    for (const { partitionMeta } of copy.tablePartition)
      for (const meta of partitionMeta) if (meta.endpoint === to) meta.endpoint = "10.0.0.1:9527";
    store?.set(copy);
    store?.save(copy);
  }
  await sandbox.outage({ withNameservers: true });
  const at = [`--zk_cluster=${sandbox.zkCluster}`, "--zk_root_path=/openmldb"];
  const run = await runBin(["recoverdata", "--db=db1", "--yes", ...at]);
  expect(run.code).toBe(3);
  const look = await runBin(["inspect", "--db=db1", ...at]);
  const lines = `${run.stdout}\n${look.stdout}`.split("\n");
  expect(lines.some((line) => line.includes(`movetablet --from=10.0.0.1:9527 --to=${to}`))).toBe(
    true,
  );
  for (const line of lines.filter((one) => one.includes("accept_data_loss"))) {
    expect(line).toMatch(/address/);
  }
});
