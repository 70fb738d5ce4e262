import { expect, it } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import { OpsError } from "../src/errors.js";
import { recoverData } from "../src/execution/recover.js";
import { inspectFacts } from "../src/inspect/inspection.js";
import { adviceText } from "../src/model/advice.js";
import type { RunReport } from "../src/model/report.js";
import { finish } from "../src/model/work.js";
import { reportJson, reportText } from "../src/report/recovery-report.js";
import { allLines } from "./helpers/all-lines.js";
import { factsOf } from "./helpers/inspected.js";
import { again, print } from "./helpers/printing.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const [A, C] = ["a:9527", "c:9527"] as const;

/** db1.t0 with three partitions of three replicas, each led by another tablet, after `outage`. */
async function prepared(
  outage: (virtual: VirtualCluster) => void = ({ model }) => model.outage(),
): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster();
  virtual.model.createTable({ db: "db1", table: "t0", partitions: 3, replicas: 3 });
  virtual.model.put(30);
  await virtual.pass(5_000);
  outage(virtual);
  await virtual.pass(60_000);
  return virtual;
}

async function recovered(
  virtual: VirtualCluster,
  answers: Partial<Cluster> = {},
  accept: ReadonlyMap<string, string> = new Map(),
): Promise<RunReport> {
  const result = await virtual.clock.run(
    recoverData(
      { ...virtual.cluster, ...answers },
      {
        accept,
        limits: { ...LIMITS, opTimeoutMs: 60_000 },
        signal: new AbortController().signal,
        onEvent: (event) => virtual.events.push(event),
        again,
        print,
      },
    ),
    7_200_000,
  );
  if (!("report" in result)) throw result.error;
  return result.report;
}

/** Calls of the tool to a tablet fail, those of the nameserver succeed. */
const hidden = (virtual: VirtualCluster, tablet: string): Partial<Cluster> => ({
  async getTableStatus(endpoint, of) {
    if (endpoint !== tablet) return virtual.cluster.getTableStatus(endpoint, of);
    const message = `GetTableStatus at ${tablet}: the host name cannot be resolved`;
    throw new OpsError({ code: "unreachable", message, retryable: true, endpoint: tablet });
  },
});

it("an unreachable tablet is not down: partitions that it may lead are left alone, and no loss is offered or accepted", async () => {
  const virtual = await prepared();
  const [table] = await virtual.clock.run(virtual.cluster.showTable(), 60_000);
  const led =
    table?.partitions.find(({ replicas }) =>
      replicas.some((one) => one.endpoint === A && one.isLeader),
    )?.pid ?? -1;
  const name = `db1.t0:${led}`;
  const accept = new Map([[name, C]]);
  for (const report of [
    await recovered(virtual, hidden(virtual, A)),
    await recovered(virtual, hidden(virtual, A), accept),
  ]) {
    const text = allLines(reportText(report)).join("\n");
    expect(text).toContain(
      "tablet a:9527 is unreachable from this machine: does not answer: GetTableStatus at a:9527: the host name cannot be resolved",
    );
    expect(text).not.toMatch(/start tablet|restart|accept_data_loss|NEEDS A DECISION/);
    expect(text).toContain("make tablet a:9527 reachable from this machine");
    expect(report.partitions.filter((one) => one.isServing).map((one) => one.id.pid)).toEqual(
      [0, 1, 2].filter((pid) => pid !== led),
    );
    const json = JSON.parse([...reportJson(report, 3)].join(""));
    expect(json.sickTablets[0].absence).toMatchObject({ state: "unreachable" });
  }
  // No replica of the partition was loaded or made leader.
  expect(virtual.model.rows().find((one) => one.pid === led)?.served).toBeUndefined();
  const report = await recovered(virtual);
  expect(report.partitions.every((one) => one.status === "recovered")).toBe(true);
  expect(virtual.model.rows().every((one) => one.lost === 0)).toBe(true);
});

it("a tablet that restarts within its session timeout is waited for, and its replicas are recovered", async () => {
  const virtual = await prepared(({ model }) => model.outage());
  virtual.model.kill(C);
  virtual.clock.setTimer(18_000, () => virtual.model.restart(C));
  const report = await recovered(virtual);
  expect(report.absentTablets).toEqual([]);
  expect(report.partitions.map((one) => one.status)).toEqual([
    "recovered",
    "recovered",
    "recovered",
  ]);
  const waits = virtual.events.filter(
    (one) =>
      one.kind === "note" &&
      one.text.startsWith("waiting for tablets that may be restarting: c:9527"),
  );
  expect(waits).toHaveLength(1);
});

it("a tablet that counts as down only while the run works on other partitions leads to a decision in the same run", async () => {
  const virtual = await startVirtualCluster();
  const { model } = virtual;
  model.createTable({ db: "db1", table: "t0", partitions: 3, replicas: 2 });
  model.put(30);
  await virtual.pass(5_000);
  const [place] = model.rows({ table: "t0", pid: 0 });
  model.outage();
  await virtual.pass(60_000);
  const [third = ""] = [A, "b:9527", C].filter(
    (name) => place?.replicas.every((one) => one.endpoint !== name) === true,
  );
  // Its session ends after 10 s; it counts as restarting for 15 s more.
  model.kill(place?.leader ?? "");
  await virtual.pass(20_000);
  model.slowLoad(third, 10_000);
  const { partitions } = await recovered(virtual);
  expect(partitions[0]?.status).toBe("needs-decision");
});

it("a tablet that returned at another address is reported before any loss is offered", async () => {
  const virtual = await prepared(({ model }) => {
    model.outage();
    model.move("tablet3", { endpoint: "d:9527", address: "d:9527" });
  });
  const report = await recovered(virtual);
  const text = allLines(reportText(report)).join("\n");
  expect(report.absentTablets).toMatchObject([
    { endpoint: C, absence: { kind: "moved", candidates: ["d:9527"] } },
  ]);
  const advice = text.split("\n").filter((line) => line.includes("accept_data_loss"));
  expect(advice.length).toBeGreaterThan(0);
  for (const line of advice)
    expect(line).toMatch(/another address .*d:9527.*at no other address: /);
  const { partitions } = finish(inspectFacts(await factsOf(virtual)));
  expect(adviceText(partitions[0]?.next ?? [])).toContain(
    "is back at another address (d:9527 is registered",
  );
});

it("a tablet of another cluster receives no change, and its rows stay", async () => {
  const virtual = await prepared(({ model }) => {
    model.outage();
    model.putForeignTablet("tablet1");
  });
  const report = await recovered(virtual);
  expect(report.absentTablets).toMatchObject([
    { endpoint: A, absence: { kind: "not-what-it-says" } },
  ]);
  expect(report.partitions.filter((one) => one.isServing)).toHaveLength(2);
});
it("a left-behind registration that blocks all ops is reported with its znode", async () => {
  const virtual = await prepared(() => undefined);
  const { model, cluster } = virtual;
  const id = { db: "db1", table: "t0", tid: 2, pid: 0 };
  const follower = model
    .rows()[0]
    ?.replicas.find((one) => one.endpoint !== model.rows()[0]?.leader);
  const endpoint = follower?.endpoint ?? "";
  model.tree.create("/openmldb/nodes/x:9527", Buffer.from("x:9527"));
  await virtual.pass(3_000);
  await virtual.clock.run(cluster.updateTableAlive({ ...id, endpoint }, false), 60_000);
  await virtual.clock.run(cluster.recoverTable(id, endpoint), 60_000);
  const began = virtual.clock.now();
  const report = await recovered(virtual);
  // No session owns the znode, so waiting cannot help.
  expect(virtual.clock.now() - began).toBeLessThan(10_000);
  expect(report.partitions).toMatchObject([
    {
      failure: {
        detail: expect.stringMatching(
          /does not end: .* x:9527, .* does not answer \(if no tablet runs there/,
        ),
      },
      next: [
        {
          what: expect.stringMatching(
            /delete the znode that was left behind, .*: \/openmldb\/nodes\/x:9527/,
          ),
        },
      ],
    },
  ]);
});
