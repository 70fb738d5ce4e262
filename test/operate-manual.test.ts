import { describe, expect, test } from "vitest";
import { OpsError } from "../src/errors.js";
import { replicaKey } from "../src/model/cluster-state.js";
import { detailsOf } from "../src/model/step.js";
import { cancelOpOperation } from "../src/operations/cancel-op.js";
import { type DeleteOptions, deleteOpOperation } from "../src/operations/delete-op.js";
import { loadTableOperation } from "../src/operations/load-table.js";
import type { Operation } from "../src/operations/operation.js";
import { tableAliveOperation } from "../src/operations/table-alive.js";
import {
  operateOn,
  placesOf,
  recordOf,
  resultsOf,
  servingTable,
  setFlags,
  short,
} from "./helpers/operating.js";
import { print } from "./helpers/printing.js";
import type { VirtualCluster } from "./helpers/virtual-cluster.js";

const T0 = { db: "db1", table: "t0", print };

function marking(
  endpoint: string,
  isAlive: boolean,
  more: { pids?: readonly number[] | "all"; isForced?: boolean } = {},
): Operation {
  return tableAliveOperation({ ...T0, pids: [0], endpoint, isAlive, isForced: false, ...more });
}

function loading(
  endpoint: string,
  role?: "leader" | "follower",
  pids: readonly number[] | "all" = [0],
): Operation {
  return loadTableOperation({ ...T0, pids, endpoint, role });
}

const deleting = (options: DeleteOptions) => deleteOpOperation(options, print);
const cancelling = (op: bigint) => cancelOpOperation({ op, print });

async function refusalOf(virtual: VirtualCluster, operation: Operation): Promise<string> {
  const record = recordOf(virtual);
  const error = await operateOn(virtual, operation).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OpsError)) throw error ?? new Error("it was not refused");
  expect(error.code).toBe("refused");
  expect(recordOf(virtual)).toEqual(record);
  return short(`${error.message} (${error.hint ?? ""})`);
}

function replicaOf({ model }: VirtualCluster, endpoint: string, pid = 0) {
  const tid = model.tables.find("t0", "db1")?.tid ?? 0;
  return model.tablet(endpoint).replica(tid, pid);
}

/** db1.t0 after all tablets were killed and restarted: nothing is loaded. */
async function unloadedTable(
  options: Parameters<typeof servingTable>[0] = {},
): Promise<VirtualCluster> {
  const virtual = await servingTable(options);
  virtual.model.outage();
  await virtual.pass(30_000);
  return virtual;
}

function cut(virtual: VirtualCluster, endpoint: string, entries: number): void {
  virtual.model.cutBinlog(endpoint, { db: "db1", table: "t0", pid: 0 }, entries);
}

describe("updatetablealive", () => {
  test("marks a follower not alive, and alive again; auto_failover is back on", async () => {
    const virtual = await servingTable({ autoFailover: true });
    const [endpoint = ""] = placesOf(virtual).followers;
    const dead = await operateOn(virtual, marking(endpoint, false));
    expect(resultsOf(dead)).toEqual([`mark-dead ${short(endpoint)} done`]);
    expect(dead.complaints).toEqual([]);
    expect(recordOf(virtual)).toContain(`${short(endpoint)} follower dead`);
    expect(virtual.model.leader?.autoFailover).toBe(true);
    const alive = await operateOn(virtual, marking(endpoint, true));
    expect(resultsOf(alive)).toEqual([`mark-alive ${short(endpoint)} done`]);
    expect(virtual.model.healthy()).toEqual([]);
    const again = await operateOn(virtual, marking(endpoint, true));
    expect(again.plan).toMatchObject({
      steps: [],
      notes: [`db1.t0:0: ${endpoint} is marked alive already`],
    });
  });

  test("with * marks all partitions of the endpoint with one call", async () => {
    const virtual = await servingTable({ partitions: 3, replicas: 4 });
    const endpoint = "d:9527";
    const calls: unknown[] = [];
    const counting = {
      ...virtual,
      cluster: {
        ...virtual.cluster,
        updateTableAlive(...args: Parameters<VirtualCluster["cluster"]["updateTableAlive"]>) {
          calls.push(args);
          return virtual.cluster.updateTableAlive(...args);
        },
      },
    };
    const operation = marking(endpoint, false, { pids: "all", isForced: true });
    const report = await operateOn(counting, operation);
    expect(report.plan.steps.map((one) => detailsOf(one)["pids"])).toEqual(["0-2"]);
    expect(resultsOf(report)).toEqual(["mark-dead d done"]);
    expect(calls).toEqual([[{ db: "db1", table: "t0", endpoint }, false]]);
    for (const pid of [0, 1, 2]) expect(recordOf(virtual, pid)[3]).toMatch(/^d \w+ dead$/);
  });

  test("refuses to mark the serving leader dead, which would end writes; allowed with --force", async () => {
    const virtual = await servingTable();
    const { leader } = placesOf(virtual);
    expect(await refusalOf(virtual, marking(leader, false))).toBe(
      `db1.t0:0: ${short(leader)} leads it: marked not alive, the partition takes no writes (change the leader first with: openmldb-ops changeleader --db=db1 --table=t0 --pid=0 --candidate=auto; --force marks it anyway)`,
    );
    const forced = await operateOn(virtual, marking(leader, false, { isForced: true }));
    expect(forced.plan.notes.map(short)).toEqual([
      `--force: db1.t0:0: ${short(leader)} leads it: marked not alive, the partition takes no writes`,
    ]);
    expect(recordOf(virtual)).toContain(`${short(leader)} leader dead`);
  });

  test("refuses to mark a leader alive that does not serve; allowed with --force", async () => {
    const virtual = await unloadedTable();
    const [endpoint = ""] = placesOf(virtual).followers;
    setFlags(virtual, endpoint, { isAlive: false });
    expect(await refusalOf(virtual, marking(endpoint, true))).toContain(
      `${short(endpoint)} cannot serve: not loaded on its tablet (recover it with: openmldb-ops recovertable --db=db1 --table=t0 --pid=0`,
    );
    await operateOn(virtual, marking(endpoint, true, { isForced: true }));
    expect(recordOf(virtual)).toContain(`${short(endpoint)} follower alive`);
  });

  test("refuses to mark a follower alive that its leader does not replicate to", async () => {
    const virtual = await servingTable();
    const { leader, followers } = placesOf(virtual);
    const [endpoint = ""] = followers;
    setFlags(virtual, endpoint, { isAlive: false });
    replicaOf(virtual, leader)?.links.delete(endpoint);
    expect(await refusalOf(virtual, marking(endpoint, true))).toContain("does not replicate to it");
  });

  test("refuses an endpoint without a replica of the table", async () => {
    const virtual = await servingTable();
    const [endpoint = ""] = placesOf(virtual).outsiders;
    expect(await refusalOf(virtual, marking(endpoint, true))).toBe(
      `${short(endpoint)} has no replica of db1.t0 partition 0 (it has replicas of its partitions: none)`,
    );
    expect(await refusalOf(virtual, marking("x:9527", true))).toContain("has no tablet");
  });
});

describe("loadtable", () => {
  test("loads each in the role of its flag, reports rows and offset, and does nothing twice", async () => {
    const virtual = await unloadedTable();
    const { leader, followers } = placesOf(virtual);
    const report = await operateOn(virtual, loading(leader));
    expect(resultsOf(report)).toEqual([
      `load-table ${short(leader)} done: 30 rows, leads term 1 from offset 30`,
    ]);
    expect(report.complaints).toEqual([]);
    expect(report.conclusions.map(short)).toEqual([
      `db1.t0:0: ${short(leader)} is loaded as leader at offset 30 (30 rows)`,
    ]);
    const [follower = ""] = followers;
    const second = await operateOn(virtual, loading(follower));
    expect(resultsOf(second)).toEqual([`load-table ${short(follower)} done: 30 rows, offset 30`]);
    expect(second.conclusions[0]).toContain(
      "no leader replicates to it: continue with openmldb-ops recovertable",
    );
    expect(replicaOf(virtual, follower)?.role).toBe("follower");
    const third = await operateOn(virtual, loading(leader));
    expect(third.plan).toMatchObject({
      steps: [],
      notes: [`db1.t0:0: ${leader} serves it already`],
    });
    expect(virtual.model.rows().map((one) => one.served)).toEqual([30]);
  });

  test("data loss: a leader that comes up below the known offset is not promoted", async () => {
    const virtual = await unloadedTable();
    const { leader } = placesOf(virtual);
    cut(virtual, leader, 10);
    const report = await operateOn(virtual, loading(leader));
    expect(resultsOf(report)).toEqual([
      expect.stringMatching(/failed: it loaded at offset 20, but 30 was known: rows are missing/),
    ]);
    expect(report.complaints).not.toEqual([]);
    expect(replicaOf(virtual, leader)?.role).toBe("follower");
    expect(virtual.model.put(1)[0]?.accepted).toBe(0);
    expect(virtual.model.rows().map((one) => one.lost)).toEqual([0]);
  });

  test("data loss: refuses to load as leader if another replica is known to hold more", async () => {
    const virtual = await unloadedTable();
    const { leader, followers } = placesOf(virtual);
    const [follower = ""] = followers;
    cut(virtual, leader, 10);
    await operateOn(virtual, loading(leader, "follower"));
    await operateOn(virtual, loading(follower));
    await virtual.pass(5_000);
    expect(await refusalOf(virtual, loading(leader, "leader"))).toMatch(
      /^db1.t0:0: \w is known to hold entries up to 30, \w only up to 20: the rest would be given up \(let recovery choose the leader by what each replica holds: openmldb-ops recovertable/,
    );
  });

  test("data loss: refuses to load a second leader beside one that serves", async () => {
    const virtual = await servingTable();
    const { leader, followers } = placesOf(virtual);
    const [follower = ""] = followers;
    virtual.model.restart(follower);
    await virtual.pass(30_000);
    expect(await refusalOf(virtual, loading(follower, "leader"))).toContain(
      `${short(leader)} runs it as leader: two leaders would both take writes`,
    );
  });

  test("data loss: refuses an ex-leader while the one that led last is not back", async () => {
    const virtual = await unloadedTable();
    const { followers } = placesOf(virtual);
    const [exLeader = ""] = followers;
    setFlags(virtual, exLeader, { isLeader: true, isAlive: false });
    expect(await refusalOf(virtual, loading(exLeader))).toContain("so it led last");
  });

  test("data loss: refuses to let another replica lead while the flagged leader is not loaded", async () => {
    const virtual = await unloadedTable();
    const { leader, followers } = placesOf(virtual);
    const [follower = ""] = followers;
    setFlags(virtual, leader, { isAlive: false });
    expect(await refusalOf(virtual, loading(follower, "leader"))).toContain(
      `${short(leader)} is flagged leader and not loaded, so what it holds is not known`,
    );
    await operateOn(virtual, loading(leader, "follower"));
    const report = await operateOn(virtual, loading(follower, "leader"));
    expect(resultsOf(report)).toEqual([expect.stringContaining("leads term 1 from offset 30")]);
    expect(report.plan.notes[0]).toContain("is flagged follower in the nameserver's record");
  });

  test("a single replica whose disk lost rows is not promoted", async () => {
    const virtual = await unloadedTable({ replicas: 1 });
    const { leader } = placesOf(virtual);
    cut(virtual, leader, 30);
    const report = await operateOn(virtual, loading(leader));
    expect(resultsOf(report)).toEqual([expect.stringContaining("30 was known")]);
  });

  test("data loss: the lower bounds of an earlier run count after the nameserver has lost them", async () => {
    const virtual = await unloadedTable({ replicas: 1 });
    const { leader } = placesOf(virtual);
    cut(virtual, leader, 10);
    await operateOn(virtual, loading(leader, "follower"));
    await virtual.pass(10_000);
    const tid = virtual.model.tables.find("t0", "db1")?.tid ?? 0;
    const bounds = { term: 1n, offsets: new Map([[leader, 30n]]) };
    const seen = new Map([[replicaKey({ tid, pid: 0 }), bounds]]);
    const report = await operateOn(virtual, loading(leader), {}, seen);
    expect(resultsOf(report)).toEqual([expect.stringContaining("offset 20, but 30 was known")]);
    expect(replicaOf(virtual, leader)?.role).toBe("follower");
    const unaware = await operateOn(virtual, loading(leader));
    expect(resultsOf(unaware)).toEqual([expect.stringContaining("leads term 1 from offset 20")]);
  });

  test("a follower that its leader still lists is removed from the list, loaded, then replicated to from its own offset", async () => {
    const virtual = await servingTable();
    const { leader, followers } = placesOf(virtual);
    const [follower = ""] = followers;
    virtual.model.restart(follower);
    await virtual.pass(30_000);
    virtual.model.put(5);
    const report = await operateOn(virtual, loading(follower));
    expect(resultsOf(report)).toEqual([
      `load-table ${short(follower)} done: 30 rows, offset 30, ${short(leader)} replicates to it again`,
    ]);
    await virtual.pass(5_000);
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("a run that was killed after the load is continued: the loaded follower becomes leader", async () => {
    const virtual = await unloadedTable();
    const { leader } = placesOf(virtual);
    await operateOn(virtual, loading(leader, "follower"));
    const report = await operateOn(virtual, loading(leader));
    expect(resultsOf(report)).toEqual([expect.stringContaining("leads term 1 from offset 30")]);
  });

  test("a failed load is reported with its tablet; a stuck one has a limit", async () => {
    const virtual = await unloadedTable();
    const { leader } = placesOf(virtual);
    virtual.model.failLoad(leader, 1);
    const failed = await operateOn(virtual, loading(leader));
    expect(resultsOf(failed)).toEqual([expect.stringContaining("could not load it")]);
    virtual.model.slowLoad(leader, 3_600_000);
    const slow = await operateOn(virtual, loading(leader), { stallTimeoutMs: 5_000 });
    expect(resultsOf(slow)).toEqual([
      expect.stringContaining("loading has made no progress beyond"),
    ]);
  });

  test("refuses replicas that it cannot load", async () => {
    const virtual = await unloadedTable();
    const { leader, outsiders } = placesOf(virtual);
    expect(await refusalOf(virtual, loading(outsiders[0] ?? ""))).toContain(
      "the record has no replica at",
    );
    await operateOn(virtual, loading(leader));
    expect(await refusalOf(virtual, loading(leader, "follower"))).toContain(
      "runs it as leader, and LoadTable does not change the role",
    );
    virtual.model.kill(leader);
    await virtual.pass(15_000);
    expect(await refusalOf(virtual, loading(leader))).toContain("cannot be used: kOffline");
  });
});

/** A cluster with one op that is stuck, and its id. */
async function stuckOp(): Promise<{ virtual: VirtualCluster; id: bigint }> {
  const virtual = await servingTable({ replicas: 2, autoFailover: true });
  const [to = ""] = placesOf(virtual).outsiders;
  virtual.model.stickOp("kLoadTable", 1);
  const { cluster, clock } = virtual;
  const tid = virtual.model.tables.find("t0", "db1")?.tid ?? 0;
  const id = { db: "db1", table: "t0", tid, pid: 0 };
  await clock.run(cluster.addReplicaNS(id, to), 60_000);
  await virtual.pass(10_000);
  const [op] = await clock.run(cluster.showOpStatus(), 60_000);
  expect(op).toMatchObject({ status: "doing", task: "kLoadTable" });
  return { virtual, id: op?.id ?? 0n };
}

describe("cancelop", () => {
  test("cancels a stuck op, and names the leader that it left with paused snapshots", async () => {
    const { virtual, id } = await stuckOp();
    const { leader } = placesOf(virtual);
    const report = await operateOn(virtual, cancelling(id));
    expect(resultsOf(report)).toEqual(["cancel-op - done: it ended as canceled"]);
    expect(report.complaints).toEqual([]);
    expect(report.conclusions.map(short)).toEqual([
      `db1.t0:0: ${short(leader)} is left in kSnapshotPaused; repair it with: openmldb-ops --cmd=recoverdata --db=db1`,
    ]);
    expect(virtual.model.leader?.autoFailover).toBe(true);
    const again = await operateOn(virtual, cancelling(id));
    expect(again.plan.steps).toEqual([]);
    expect(again.plan.notes[0]).toContain("it has ended: op");
  });

  test("refuses an unlisted op, and lists the active ones", async () => {
    const { virtual, id } = await stuckOp();
    expect(await refusalOf(virtual, cancelling(id + 7n))).toBe(
      `the nameserver lists no op ${id + 7n} (queued or running now: op ${id} (kAddReplicaOP of db1.t0:0, doing at kLoadTable))`,
    );
  });

  test("an op is cancelled although the answer is lost", async () => {
    const { virtual, id } = await stuckOp();
    virtual.model.loseAnswers("CancelOP", 1);
    const report = await operateOn(virtual, cancelling(id));
    expect(resultsOf(report)).toEqual(["cancel-op - done: it ended as canceled"]);
  });
});

describe("deleteop", () => {
  test("deletes one op, or all of a status; others stay", async () => {
    const { virtual, id } = await stuckOp();
    await operateOn(virtual, cancelling(id));
    const { followers } = placesOf(virtual);
    const { cluster, clock } = virtual;
    const tid = virtual.model.tables.find("t0", "db1")?.tid ?? 0;
    const of = { db: "db1", table: "t0", tid, pid: 0 };
    await clock.run(cluster.delReplicaNS(of, followers[0] ?? ""), 60_000);
    await virtual.pass(10_000);
    const report = await operateOn(virtual, deleting({ status: "canceled" }));
    expect(resultsOf(report)).toEqual(["delete-op - done: 1 op"]);
    expect(report.complaints).toEqual([]);
    const [left, ...more] = await clock.run(cluster.showOpStatus(), 60_000);
    expect({ type: left?.type, status: left?.status, more }).toEqual({
      type: "kDelReplicaOP",
      status: "done",
      more: [],
    });
    await operateOn(virtual, deleting({ op: left?.id ?? 0n }));
    expect(await clock.run(cluster.showOpStatus(), 60_000)).toEqual([]);
    const none = await operateOn(virtual, deleting({ status: "failed" }));
    expect(none.plan).toMatchObject({ steps: [], notes: ["no op is listed as failed"] });
  });

  test("refuses a running op, and an unlisted one", async () => {
    const { virtual, id } = await stuckOp();
    expect(await refusalOf(virtual, deleting({ op: id }))).toContain(
      `end it first with: openmldb-ops cancelop --op_id=${id}`,
    );
    expect(await refusalOf(virtual, deleting({ op: id + 1n }))).toContain(`lists no op ${id + 1n}`);
    expect(await virtual.clock.run(virtual.cluster.showOpStatus(), 60_000)).toHaveLength(1);
  });

  test("a server without DeleteOP gets one clear line", async () => {
    const { virtual, id } = await stuckOp();
    await operateOn(virtual, cancelling(id));
    const old = {
      ...virtual,
      cluster: {
        ...virtual.cluster,
        deleteOp: () =>
          Promise.reject(
            new OpsError({
              code: "bad-answer",
              message: "nameserver n1: the peer does not know this method",
            }),
          ),
      },
    };
    const report = await operateOn(old, deleting({ op: id }));
    expect(resultsOf(report)).toEqual([
      "delete-op - failed: nameserver n1: the peer does not know this method; DeleteOP came with OpenMLDB 0.8",
    ]);
  });
});
