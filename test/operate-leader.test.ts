import { describe, expect, test } from "vitest";
import { OpsError } from "../src/errors.js";
import { OPType } from "../src/gen/openmldb/api_pb.js";
import {
  type ChangeLeaderOptions,
  changeLeaderOperation,
} from "../src/operations/change-leader.js";
import { partitionOf } from "../src/sandbox/table-store.js";
import {
  A,
  B,
  C,
  clusterWith,
  disconnectFollower,
  flagsOf,
  loseTail,
  losingAnswer,
  lost,
  operateOn,
  refusalOf,
  resultsOf,
  withoutC,
  writeFor,
} from "./helpers/operate-virtual.js";
import { print } from "./helpers/printing.js";

function change(options: Partial<ChangeLeaderOptions> = {}) {
  return changeLeaderOperation({
    db: "db1",
    table: "t0",
    pid: 0,
    candidate: "auto",
    recovers: true,
    acceptsLoss: false,
    print,
    ...options,
  });
}

describe("changeleader", () => {
  test("auto: another replica leads, the old leader follows it, auto_failover is as before", async () => {
    const virtual = await clusterWith();
    expect(flagsOf(virtual)).toEqual(["a follower alive", "b follower alive", "c leader alive"]);
    const report = await operateOn(virtual, change());
    expect(report.complaints).toEqual([]);
    expect(resultsOf(report)).toEqual([`change-leader ${A} done`, `rejoin ${C} done`]);
    expect(report.conclusions).toEqual([
      expect.stringMatching(
        /^db1\.t0:0: a:9527 leads term \d+, which begins with entry 31; at offset 30 \(c:9527 led before\)$/,
      ),
    ]);
    expect(virtual.model.healthy()).toEqual([]);
    expect(flagsOf(virtual)).toEqual(["a leader alive", "b follower alive", "c follower alive"]);
    expect(virtual.model.leader?.autoFailover).toBe(true);
  });

  test("a named candidate leads, and --no_recover leaves the old leader marked not alive", async () => {
    const virtual = await clusterWith();
    const report = await operateOn(virtual, change({ candidate: B, recovers: false }));
    expect(report.complaints).toEqual([]);
    expect(flagsOf(virtual)).toEqual(["a follower alive", "b leader alive", "c leader dead"]);
    expect(report.plan.notes).toContain(`--no_recover: ${C} stays marked not alive`);
    // The same command again finds the leader changed; without --no_recover it recovers the old leader.
    const again = await operateOn(virtual, change({ candidate: B }));
    expect(resultsOf(again)).toEqual([`rejoin ${C} done`]);
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("no row is lost while clients write, although ChangeLeader alone would lose some", async () => {
    const virtual = await clusterWith();
    writeFor(virtual, 20_000);
    const report = await operateOn(virtual, change());
    await virtual.pass(20_000);
    expect(report.complaints).toEqual([]);
    const [rows] = virtual.model.rows();
    expect(rows?.acknowledged).toBeGreaterThan(100);
    expect(rows).toMatchObject({ lost: 0, served: rows?.acknowledged, leader: A });
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("clients that write to a leader marked not alive: nothing is changed, and it keeps leading", async () => {
    const virtual = await clusterWith();
    const table = virtual.model.tables.find("t0", "db1");
    const replica = virtual.model.tablet("tablet3").replica(table?.tid ?? 0, 0);
    const write = () => {
      if (replica !== undefined) virtual.model.tablet("tablet3").put(replica, 1);
      virtual.clock.setTimer(100, write);
    };
    write();
    const report = await operateOn(virtual, change());
    expect(report.results[0]?.outcome).toMatchObject({
      result: "stale",
      detail: expect.stringContaining("clients still write to c:9527"),
    });
    expect(flagsOf(virtual)).toEqual(["a follower alive", "b follower alive", "c leader alive"]);
    expect(report.complaints).toEqual(["db1.t0:0 is led by c:9527, not by a:9527"]);
  });

  test("without a candidate while the leader is alive it is refused, with code 309 explained", async () => {
    const virtual = await clusterWith();
    const text = await refusalOf(virtual, change({ candidate: undefined }));
    expect(text).toContain("code 309");
    expect(text).toContain("--candidate=auto");
    expect(flagsOf(virtual)).toContain("c leader alive");
    expect(virtual.model.leader?.ops.list()).toEqual([]);
  });

  test("the leader's tablet is dead: the best follower leads, and the old leader waits to be recovered", async () => {
    const virtual = await clusterWith();
    await withoutC(virtual);
    const report = await operateOn(virtual, change());
    expect(report.complaints).toEqual([]);
    expect(flagsOf(virtual)).toEqual(["a leader alive", "b follower alive", "c leader dead"]);
    expect(report.plan.notes.join()).toContain("recoverendpoint --endpoint=c:9527");
    expect(report.plan.notes.join()).toMatch(
      /c:9527 was last seen at \d+; what c:9527 acknowledged in its last 2 s is given up/,
    );
    expect(virtual.model.put(1)).toMatchObject([{ accepted: 1 }]);
  });

  test("data loss: a candidate below the dead leader's offset is refused with the numbers", async () => {
    const virtual = await clusterWith();
    await loseTail(virtual, 5);
    const text = await refusalOf(virtual, change());
    expect(text).toContain(
      "a:9527 holds entries up to 30, and 35 is known (a:9527 30, b:9527 30, c:9527 not loaded, seen at 35): 5 entries would be given up",
    );
    expect(text).toContain("--accept_data_loss");
    expect(flagsOf(virtual)).toContain("c leader alive");
    const report = await operateOn(virtual, change({ acceptsLoss: true }));
    expect(report.complaints).toEqual([]);
    expect(report.plan.notes.join()).toContain("5 entries of db1.t0:0 behind 30 of a:9527");
    expect(flagsOf(virtual)).toContain("a leader alive");
  });

  test("data loss: a candidate below another follower is refused; accepted, the other one is recovered", async () => {
    const virtual = await clusterWith();
    // b is disconnected from its leader and misses the next rows.
    await disconnectFollower(virtual, B);
    virtual.model.put(4);
    await virtual.pass(5_000);
    await withoutC(virtual);
    const text = await refusalOf(virtual, change({ candidate: B }));
    expect(text).toContain("b:9527 holds entries up to 30, and 34 is known");
    const report = await operateOn(virtual, change({ candidate: B, acceptsLoss: true }));
    expect(resultsOf(report)).toEqual([`change-leader ${B} done`, `rejoin ${A} done`]);
    expect(report.complaints).toEqual([]);
    expect(flagsOf(virtual)).toEqual(["a follower alive", "b leader alive", "c leader dead"]);
    // The best candidate needs no flag.
    const other = await clusterWith();
    await disconnectFollower(other, B);
    other.model.put(4);
    await other.pass(5_000);
    await withoutC(other);
    expect((await operateOn(other, change())).plan.steps[0]?.endpoint).toBe(A);
    expect(lost(other)).toBe(0);
  });

  test("data loss: an old leader that holds more than the new one is not recovered over its rows", async () => {
    const virtual = await clusterWith();
    const changeLeader: typeof virtual.cluster.changeLeader = async (...args) => {
      await virtual.cluster.changeLeader(...args);
      // A client that has not noticed the change yet writes rows to the old leader.
      const table = virtual.model.tables.find("t0", "db1");
      const replica = virtual.model.tablet("tablet3").replica(table?.tid ?? 0, 0);
      await virtual.cluster.clock.sleep(1_000);
      if (replica !== undefined) virtual.model.tablet("tablet3").put(replica, 3);
    };
    const report = await operateOn(virtual, change(), { changeLeader });
    expect(report.results.at(-1)?.outcome).toMatchObject({
      result: "stale",
      detail: expect.stringContaining("up to 33"),
    });
    expect(flagsOf(virtual)).toEqual(["a leader alive", "b follower alive", "c leader dead"]);
    const [rows] = virtual.model.rows();
    expect(rows?.replicas.find((one) => one.endpoint === C)?.held).toBe(33);
  });

  test.each([
    ["unknown table", { table: "t9" }, "t0"],
    ["unknown pid", { pid: 7 }, "no partition 7"],
    ["unknown candidate", { candidate: "x:1" }, "holds no replica"],
  ])("%s is refused", async (_name, options, text) => {
    const virtual = await clusterWith();
    expect(await refusalOf(virtual, change(options))).toContain(text);
  });

  test("one replica: refused, as no follower can lead (code 134)", async () => {
    const virtual = await clusterWith({ replicas: 1 });
    const text = await refusalOf(virtual, change());
    expect(text).toContain("code 134");
    expect(text).toContain("addreplica");
  });

  test("followers that are marked alive but not loaded: refused, with the command to run", async () => {
    const virtual = await clusterWith();
    virtual.model.outage();
    await virtual.clock.run(virtual.cluster.confSet("auto_failover", "false"), 10_000);
    await virtual.pass(30_000);
    const text = await refusalOf(virtual, change());
    expect(text).toContain("not loaded");
    expect(text).toContain("openmldb-ops --cmd=recoverdata --db=db1");
  });

  test("the op fails twice and is requested again", async () => {
    const virtual = await clusterWith();
    virtual.model.failOp("kSelectLeader", 2);
    const report = await operateOn(virtual, change());
    expect(report.complaints).toEqual([]);
    expect(virtual.model.healthy()).toEqual([]);
    expect(flagsOf(virtual)).toContain("a leader alive");
  });

  test("the op fails permanently: the old leader is marked alive again and keeps leading", async () => {
    const virtual = await clusterWith();
    virtual.model.failOp("kSelectLeader", 100);
    const report = await operateOn(virtual, change());
    expect(report.results[0]?.outcome).toMatchObject({
      result: "failed",
      detail: expect.stringContaining("kSelectLeader"),
    });
    expect(report.results[1]?.outcome.result).toBe("not-done");
    expect(flagsOf(virtual)).toEqual(["a follower alive", "b follower alive", "c leader alive"]);
    expect(virtual.model.put(1)).toMatchObject([{ accepted: 1, leader: C }]);
  });

  test("the candidate's tablet dies during the change: the old leader is marked alive again", async () => {
    const virtual = await clusterWith();
    const { updateTableAlive } = virtual.cluster;
    const report = await operateOn(virtual, change(), {
      async updateTableAlive(...args) {
        await updateTableAlive(...args);
        virtual.model.kill("tablet1");
      },
    });
    expect(report.results[0]?.outcome.result).toMatch(/^(failed|stale)$/);
    expect(flagsOf(virtual)).toContain("c leader alive");
    expect(virtual.model.put(1)).toMatchObject([{ accepted: 1, leader: C }]);
  });

  test("killed right after the old leader was marked not alive: the same command continues", async () => {
    const virtual = await clusterWith();
    const stop = new AbortController();
    const { updateTableAlive } = virtual.cluster;
    const stopping: typeof updateTableAlive = async (...args) => {
      // A killed process restores nothing.
      if (stop.signal.aborted) throw new OpsError({ code: "unreachable", message: "killed" });
      await updateTableAlive(...args);
      stop.abort(new Error("killed"));
    };
    const stopped = await operateOn(virtual, change(), { updateTableAlive: stopping }, stop.signal);
    expect(stopped.error).toBeDefined();
    expect(flagsOf(virtual)).toContain("c leader dead");
    const report = await operateOn(virtual, change());
    expect(report.complaints).toEqual([]);
    expect(resultsOf(report)).toEqual([`change-leader ${A} done`, `rejoin ${C} done`]);
    expect(virtual.model.healthy()).toEqual([]);
    expect(lost(virtual)).toBe(0);
  });

  test("while the nameserver is busy with long ops the old leader keeps leading, and nothing is changed", async () => {
    const virtual = await clusterWith();
    virtual.model.createTable({ db: "db1", table: "other", partitions: 1, replicas: 3 });
    const table = virtual.model.tables.find("other", "db1");
    const follower = partitionOf(table as NonNullable<typeof table>, 0)?.partitionMeta.find(
      (meta) => !meta.isLeader,
    );
    await virtual.clock.run(virtual.cluster.confSet("auto_failover", "false"), 10_000);
    virtual.model.stickOp("kRecoverTable", 1);
    const id = { db: "db1", table: "other", tid: table?.tid ?? 0, pid: 0 };
    const endpoint = follower?.endpoint ?? "";
    await virtual.clock.run(virtual.cluster.updateTableAlive({ ...id, endpoint }, false), 10_000);
    await virtual.clock.run(virtual.cluster.recoverTable(id, endpoint), 10_000);
    const report = await operateOn(virtual, change());
    expect(report.results[0]?.outcome).toMatchObject({
      result: "failed",
      detail: expect.stringContaining("kRecoverTableOP) has made no progress"),
    });
    expect(flagsOf(virtual)).toContain("c leader alive");
    virtual.model.unstickOps();
    expect((await operateOn(virtual, change())).complaints).toEqual([]);
    expect(flagsOf(virtual)).toContain("c follower alive");
  });

  test("a lost answer: the queued op is followed, and not requested twice", async () => {
    const virtual = await clusterWith();
    const { changeLeader } = virtual.cluster;
    const report = await operateOn(virtual, change(), { changeLeader: losingAnswer(changeLeader) });
    expect(report.complaints).toEqual([]);
    const ops = virtual.model.leader?.ops.list() ?? [];
    expect(ops.filter((one) => one.info.opType === OPType.kChangeLeaderOP)).toHaveLength(1);
  });
});

describe("a run that is stopped while the leader is marked not alive", () => {
  /** Runs changeleader and stops it as soon as the leader has been marked not alive. */
  async function stopped(markAlive?: () => Promise<void>) {
    const virtual = await clusterWith();
    const controller = new AbortController();
    const { cluster, clock } = virtual;
    let stoppedAt = 0;
    const report = await operateOn(
      virtual,
      change(),
      {
        async updateTableAlive(id, isAlive) {
          if (isAlive && markAlive !== undefined) return markAlive();
          await cluster.updateTableAlive(id, isAlive);
          if (isAlive) return;
          stoppedAt = clock.now();
          controller.abort(new OpsError({ code: "interrupted", message: "stop" }));
        },
      },
      controller.signal,
    );
    return { virtual, report, tookMs: clock.now() - stoppedAt };
  }

  test("marks it alive again before it exits: the partition keeps its leader", async () => {
    const { virtual, report } = await stopped();
    expect(report.error).toMatchObject({ code: "interrupted" });
    expect(report.notRestored).toBeUndefined();
    expect(flagsOf(virtual)).toEqual(["a follower alive", "b follower alive", "c leader alive"]);
    expect(virtual.model.leader?.autoFailover).toBe(true);
    expect(virtual.model.healthy()).toEqual([]);
    expect(virtual.events).toContainEqual({
      kind: "note",
      text: "db1.t0:0: c:9527 marked alive again, the leader is not changed",
    });
  });

  test("prints a command that continues with the chosen replica", async () => {
    const virtual = await clusterWith();
    const operation = change({ recovers: false });
    const { results } = await operateOn(virtual, operation);
    expect(operation.goOn?.(results)).toMatchObject({ candidate: A });
    expect(operation.goOn?.([])).toMatchObject({ candidate: "auto" });
  });

  test("exits within 5 s if the nameserver does not answer, and reports the unfinished change", async () => {
    const { virtual, tookMs } = await stopped(() => new Promise(() => {}));
    expect(tookMs).toBeLessThan(5_000);
    expect(virtual.model.leader?.autoFailover).toBe(true);
    expect(virtual.events).toContainEqual(
      expect.objectContaining({ kind: "warning", text: expect.stringContaining("inspect") }),
    );
  });
});
