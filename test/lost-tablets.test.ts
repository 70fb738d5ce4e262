import { expect, test } from "vitest";
import type { RecoverOptions, RecoverResult } from "../src/execution/recover.js";
import { adviceText } from "../src/model/advice.js";
import type { RunReport } from "../src/model/report.js";
import { recoverAgain } from "../src/model/tool-command.js";
import { reportText } from "../src/report/recovery-report.js";
import { allLines } from "./helpers/all-lines.js";
import { again, print } from "./helpers/printing.js";
import { runBin } from "./helpers/run-bin.js";
import { noticedGone, sandboxForTest, sandboxFromRecording } from "./helpers/sandbox.js";
import { startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const [A, B, C] = ["a:9527", "b:9527", "c:9527"] as const;
const LOST = { lost: new Set([A]) };

/** db1.t0 with three partitions on three tablets, each leads one. */
async function prepared(replicas = 3): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({ model: { autoFailover: false } });
  virtual.model.createTable({ db: "db1", table: "t0", partitions: 3, replicas });
  virtual.model.put(30);
  await virtual.pass(30_000);
  return virtual;
}

function reportOf(result: RecoverResult): RunReport {
  if ("report" in result) return result.report;
  throw result.error;
}

async function recovered(
  virtual: VirtualCluster,
  options: Partial<RecoverOptions> = LOST,
): Promise<RunReport> {
  return reportOf(
    await virtual.recover({
      again: recoverAgain({ cmd: "recoverdata", lost: ["a:9527"] }, print),
      ...options,
    }),
  );
}

/** The tablets of each partition on the nameserver's record. */
async function onRecord({ cluster, clock }: VirtualCluster): Promise<string[][]> {
  const tables = await clock.run(cluster.showTable(), 60_000);
  return tables.flatMap(({ partitions }) =>
    partitions.map(({ replicas }) => replicas.map((one) => one.endpoint).sort()),
  );
}

/** The followers of `a` are down while it takes rows; then it is killed and they are restarted. */
async function loseRowsOfA(virtual: VirtualCluster, nameserversToo: boolean): Promise<void> {
  const { model } = virtual;
  for (const one of [B, C]) model.kill(one);
  await virtual.pass(15_000);
  model.put(5);
  await virtual.pass(5_000);
  if (nameserversToo) model.outage({ withNameservers: true });
  for (const one of [B, C]) model.restart(one);
  model.kill(A);
  await virtual.pass(60_000);
}

test("a tablet that is registered is not lost: refused, and nothing is changed", async () => {
  const virtual = await prepared();
  const before = await onRecord(virtual);
  await expect(virtual.recover(LOST)).rejects.toMatchObject({
    code: "refused",
    message: "tablet a:9527 is registered in ZooKeeper: it is not lost",
  });
  await expect(virtual.recover({ lost: new Set(["a:9572"]) })).rejects.toMatchObject({
    code: "refused",
  });
  expect(await onRecord(virtual)).toEqual(before);
});

test.each([false, true])(
  "without rows that only it held no decision is needed, and its old disk has no effect later (everything restarted: %s)",
  async (isOutage) => {
    const virtual = await prepared();
    if (isOutage) virtual.model.outage();
    virtual.model.kill(A);
    await virtual.pass(60_000);
    const report = await recovered(virtual);
    expect(report.partitions.map((one) => one.status)).toEqual(Array(3).fill("recovered"));
    expect(report.lost).toMatchObject({ tablets: [A], shortPartitions: 3 });
    expect(allLines(reportText(report)).join("\n")).toContain(
      "openmldb-ops scaleout --add_missing",
    );
    expect(await onRecord(virtual)).toEqual(Array(3).fill([B, C]));
    virtual.model.put(10);
    await virtual.pass(5_000);
    virtual.model.restart(A);
    await virtual.pass(60_000);
    const after = await recovered(virtual, { again });
    expect(after.changes).toBe(0);
    expect(virtual.model.rows().map(({ served, lost }) => ({ served, lost }))).toEqual(
      Array(3).fill({ served: 40, lost: 0 }),
    );
    expect(virtual.model.tablet(A).loaded()).toEqual([]);
  },
);

test("rows that only it held are given up only if the loss is accepted, and a new term begins", async () => {
  const virtual = await prepared();
  await loseRowsOfA(virtual, false);
  await expect(
    virtual.recover({ ...LOST, acceptsLossOfLost: { atLeast: 4n, atMost: 9n } }),
  ).rejects.toMatchObject({
    code: "refused",
    message:
      "5 entries would be given up in 1 partition, and --accept_data_loss=lost=4..9 does not cover that",
  });
  const loss = { atLeast: 5n, atMost: 5n };
  const report = await recovered(virtual, { ...LOST, acceptsLossOfLost: loss });
  expect(report.partitions.map((one) => one.status)).toEqual(Array(3).fill("recovered"));
  expect(await onRecord(virtual)).toEqual(Array(3).fill([B, C]));
  const [table] = await virtual.clock.run(virtual.cluster.showTable(), 60_000);
  const starts = table?.partitions.map(({ terms }) => terms.at(-1)?.offset);
  expect(starts?.filter((one) => one === 31n)).toHaveLength(1);
  expect(virtual.model.rows().map((one) => one.served)).toEqual(Array(3).fill(30));
});

test("an unaccepted loss leaves the partition unchanged: a decision with its loss and one command", async () => {
  const virtual = await prepared();
  await loseRowsOfA(virtual, false);
  const undecided = await recovered(virtual);
  const open = undecided.partitions.filter((one) => one.status === "needs-decision");
  expect(open.map((one) => one.failure?.decision?.loss)).toEqual([{ atLeast: 5n, atMost: 5n }]);
  // The first run wrote the records of other partitions, so the record no longer proves that its offsets are fresh.
  expect(adviceText(open[0]?.next ?? [])).toBe(
    "decide; to recover without the lost tablets, giving up 5 entries in 1 partition: openmldb-ops --cmd=recoverdata --lost=a:9527 --accept_data_loss=lost=5..5",
  );
  expect(await onRecord(virtual)).toContainEqual([A, B, C]);
  const report = await recovered(virtual, {
    ...LOST,
    acceptsLossOfLost: { atLeast: 5n, atMost: 5n },
  });
  expect(report.partitions.map((one) => one.status)).toEqual(["recovered"]);
});

test("if the nameserver restarted too, the loss is unknown: it is reported and accepted as unknown", async () => {
  const virtual = await prepared();
  await loseRowsOfA(virtual, true);
  const undecided = await recovered(virtual);
  const open = undecided.partitions.filter((one) => one.status === "needs-decision");
  expect(open.map((one) => one.failure?.decision?.loss?.atMost)).toEqual([undefined]);
  expect(adviceText(open[0]?.next ?? [])).toContain("..unknown");
  const loss = open[0]?.failure?.decision?.loss;
  const report = await recovered(virtual, { ...LOST, acceptsLossOfLost: loss });
  expect(report.partitions.map((one) => one.status)).toEqual(["recovered"]);
});

test("the only replica of a partition stays on record, and the reason is reported", async () => {
  const virtual = await prepared(1);
  virtual.model.kill(A);
  await virtual.pass(60_000);
  const report = await recovered(virtual);
  const [alone] = report.partitions;
  expect(report.partitions).toHaveLength(1);
  expect(alone).toMatchObject({ status: "unhealthy", isServing: false });
  expect(alone?.failure?.detail).toContain("no replica is left that could lead");
  expect(adviceText(alone?.next ?? [])).toContain("no other replica of it is left");
  expect(await onRecord(virtual)).toContainEqual([A]);
});

/** A tablet is lost; auto_failover has moved its leaders, and a spare tablet is registered. */
async function machineLost() {
  const sandbox = await sandboxForTest({
    speed: 20,
    tablets: 4,
    tables: 1,
    partitions: 3,
    replicas: 3,
    rows: 30,
  });
  const { model } = sandbox;
  const at = [`--zk_cluster=${sandbox.zkCluster}`, "--zk_root_path=/openmldb"];
  const lost = model.rows()[0]?.leader ?? "";
  model.kill(lost);
  model.wipe(lost);
  // Until auto_failover has given its partitions other leaders, and its absence is no restart any more.
  await noticedGone(sandbox, lost);
  await expect.poll(() => model.rows().map(({ leader = lost }) => leader)).not.toContain(lost);
  const look = await runBin(["inspect", ...at]);
  expect(look.stdout).toMatch(/^ {2}or, if it is lost for good: openmldb-ops .*--lost=/m);
  return { model, at, lost };
}

test.each([
  { way: ["recoverdata", "--lost=LOST", "--replace"] },
  { way: ["scalein", "--endpoints=LOST"] },
])(
  "case 06: a machine is lost for good, and $way.0 ends healthy with all replicas",
  async ({ way }) => {
    const { model, at, lost } = await machineLost();
    const [one] = model
      .rows({ db: "db1" })
      .filter(({ replicas }) => replicas.some((each) => each.endpoint === lost));
    const partition = ["--db=db1", "--table=t0", `--pid=${one?.pid}`, `--endpoint=${lost}`];
    const deleted = await runBin(["delreplica", ...partition, "--yes", ...at]);
    expect(deleted.code, deleted.stderr).toBe(0);
    const run = await runBin([...way.map((word) => word.replace("LOST", lost)), "--yes", ...at]);
    expect(run.code, run.stdout).toBe(0);
    const verify = await runBin(["verify", ...at]);
    expect(verify.code, verify.stdout).toBe(0);
    const rows = model.rows({ db: "db1" });
    expect(rows.every(({ replicas, lost }) => replicas.length === 3 && lost === 0)).toBe(true);
    expect(rows.flatMap(({ replicas }) => replicas.map((each) => each.endpoint))).not.toContain(
      lost,
    );
    expect(model.leader?.autoFailover).toBe(true);
  },
);

test("--replace adds the missing replicas although the only replica of a partition was lost", async () => {
  const sandbox = await sandboxForTest({
    speed: 40,
    tables: 1,
    partitions: 1,
    replicas: 2,
    autoFailover: false,
  });
  const { model } = sandbox;
  const [place] = model.rows({ db: "db1" });
  const lost = place?.replicas.find((one) => one.endpoint !== place.leader)?.endpoint ?? "";
  model.createTable({ db: "db1", table: "single", partitions: 1, replicas: 1 });
  const single = model.leader?.tables.find("single", "db1")?.tablePartition[0]?.partitionMeta[0];
  if (single !== undefined) single.endpoint = lost;
  model.kill(lost);
  await noticedGone(sandbox, lost);
  const at = [`--zk_cluster=${sandbox.zkCluster}`, "--zk_root_path=/openmldb"];
  const run = await runBin(["recoverdata", `--lost=${lost}`, "--replace", "--yes", ...at]);
  expect(run.code, run.stdout).toBe(3);
  expect(run.stdout).toContain("no other replica of it is left");
  const [after] = model.rows({ db: "db1", table: "t0" });
  expect(after?.replicas.map((one) => one.endpoint)).not.toContain(lost);
  expect(after?.replicas).toHaveLength(2);
});

test("lost-1 of a real cluster: it ends as lost-2 does, without a row lost", async () => {
  const sandbox = await sandboxFromRecording("lost-1-one-tablet-stays-away", { speed: 20 });
  const at = [`--zk_cluster=${sandbox.zkCluster}`, "--zk_root_path=/openmldb"];
  const lost = sandbox.addresses.get("127.0.0.1:13923");
  const run = await runBin(["recoverdata", `--lost=${lost}`, "--yes", "--output=json", ...at]);
  const report = JSON.parse(run.stdout);
  const left = report.partitions.filter((one: { status: string }) => one.status !== "recovered");
  expect(
    left.every((one: { next: string }) => /no other replica of it is left/.test(one.next)),
  ).toBe(true);
  expect(run.code).toBe(left.length === 0 ? 0 : 3);
  expect(report.lost.tablets).toEqual([lost]);
  for (const one of sandbox.model.rows({ db: "db1", table: "t0" })) {
    expect(one).toMatchObject({ served: 40, lost: 0 });
    expect(one.replicas.map((each) => each.endpoint)).not.toContain(lost);
  }
});
