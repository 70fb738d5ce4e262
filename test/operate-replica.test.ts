import { describe, expect, test } from "vitest";
import { OpsError } from "../src/errors.js";
import { StorageMode } from "../src/gen/openmldb/common_pb.js";
import { addReplicaOperation } from "../src/operations/add-replica.js";
import { delReplicaOperation } from "../src/operations/del-replica.js";
import { migrateOperation } from "../src/operations/migrate.js";
import type { Operation } from "../src/operations/operation.js";
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

function adding(endpoint: string, pids: readonly number[] | "all" = [0]): Operation {
  return addReplicaOperation({ ...T0, pids, endpoint });
}

function deleting(endpoint: string, pids: readonly number[] | "all" = [0]): Operation {
  return delReplicaOperation({ ...T0, pids, endpoint });
}

function moving(from: string, to: string, pids: readonly number[] | "all" = [0]): Operation {
  return migrateOperation({ ...T0, pids, from, to });
}

/** The refusal of an operation, as `message (hint)` without ports; its details below. */
async function refusalOf(virtual: VirtualCluster, operation: Operation): Promise<string> {
  const ops = virtual.model.leader?.ops.list().length;
  const error = await operateOn(virtual, operation).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OpsError)) throw error ?? new Error("it was not refused");
  expect(error.code).toBe("refused");
  expect(virtual.model.leader?.ops.list()).toHaveLength(ops ?? 0);
  return short([`${error.message} (${error.hint ?? ""})`, ...error.details].join("\n"));
}

function loadedAt({ model }: VirtualCluster, endpoint: string, pid = 0) {
  const tid = model.tables.find("t0", "db1")?.tid ?? 0;
  return model.tablet(endpoint).replica(tid, pid);
}

describe("addreplica", () => {
  test("adds a follower that is alive, loaded and in sync", async () => {
    const virtual = await servingTable({ replicas: 2 });
    const { leader, outsiders } = placesOf(virtual);
    const [to = ""] = outsiders;
    const report = await operateOn(virtual, adding(to));
    expect(resultsOf(report)).toEqual([
      expect.stringMatching(new RegExp(`^add-replica ${short(to)} done: kAddReplicaOP \\d+$`)),
    ]);
    expect(report.complaints).toEqual([]);
    expect(report.conclusions.map(short)).toEqual([
      `db1.t0:0: ${short(to)} follows ${short(leader)} at offset 30 (30 rows)`,
    ]);
    expect(report.plan.notes[0]).toContain(
      "specifies 2 replicas of each partition; it will have more of partition 0",
    );
    expect(recordOf(virtual)).toContain(`${short(to)} follower alive`);
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("handles several partitions, leaves existing followers alone, and a second run does nothing", async () => {
    const virtual = await servingTable({ replicas: 2, partitions: 4 });
    const wanted = (pid: number) => !recordOf(virtual, pid).some((line) => line.startsWith("d"));
    const missing = [0, 1, 2, 3].filter(wanted);
    const report = await operateOn(virtual, adding("d:9527", "all"));
    expect(report.results).toHaveLength(missing.length);
    expect(report.plan.notes.filter((one) => one.includes("already"))).toHaveLength(
      4 - missing.length,
    );
    expect([0, 1, 2, 3].filter(wanted)).toEqual([]);
    expect(virtual.model.healthy()).toEqual([]);
    const again = await operateOn(virtual, adding("d:9527", "all"));
    expect({ steps: again.plan.steps, changed: again.hasChanged }).toEqual({
      steps: [],
      changed: false,
    });
  });

  test.each(["kSendSnapshot", "kLoadTable", "kCheckBinlogSyncProgress", "kUpdatePartitionStatus"])(
    "the leftovers of an op that fails at %s are deleted, and it is repeated",
    async (task) => {
      const virtual = await servingTable({ replicas: 2 });
      const [to = ""] = placesOf(virtual).outsiders;
      virtual.model.failOp(task, 1);
      const report = await operateOn(virtual, adding(to));
      expect(resultsOf(report)).toEqual([expect.stringContaining("done")]);
      expect(report.complaints).toEqual([]);
      expect(virtual.model.healthy()).toEqual([]);
    },
  );

  test("an op that keeps failing is reported, and no leader is left with paused snapshots", async () => {
    const virtual = await servingTable({ replicas: 2 });
    const [to = ""] = placesOf(virtual).outsiders;
    virtual.model.failOp("kLoadTable", 99);
    const report = await operateOn(virtual, adding(to), { opRetries: 2 });
    expect(resultsOf(report)).toEqual([
      expect.stringMatching(
        /failed: tried 3 times; the last time: op \d+ \(kAddReplicaOP\) ended failed at kLoadTable: /,
      ),
    ]);
    expect(report.complaints).not.toEqual([]);
    expect(recordOf(virtual)).toHaveLength(2);
    expect(virtual.model.healthy()).toEqual([]);
  });

  test.each(["reset", "silence"] as const)(
    "a lost answer (%s) queues no second op",
    async (how) => {
      const virtual = await servingTable({ replicas: 2 });
      const [to = ""] = placesOf(virtual).outsiders;
      virtual.model.loseAnswers("AddReplicaNS", 1, how);
      const report = await operateOn(virtual, adding(to));
      expect(resultsOf(report)).toEqual([expect.stringContaining("done")]);
      const ops = virtual.model.leader?.ops.list() ?? [];
      expect(ops).toHaveLength(1);
      expect(virtual.model.healthy()).toEqual([]);
    },
  );

  test("a tablet that dies during the run fails its partition only", async () => {
    const virtual = await servingTable({ replicas: 2 });
    const { leader, followers, outsiders } = placesOf(virtual);
    const [to = ""] = outsiders;
    virtual.model.slowLoad(to, 600_000);
    const running = operateOn(virtual, adding(to), { opRetries: 1 });
    virtual.clock.setTimer(5_000, () => virtual.model.kill(to));
    const report = await running;
    expect(resultsOf(report)).toEqual([expect.stringContaining("failed")]);
    expect(placesOf(virtual)).toMatchObject({ leader, followers });
    expect(virtual.model.rows().map((one) => one.served)).toEqual([30]);
  });

  test("is refused if it is impossible, with an alternative", async () => {
    const virtual = await servingTable({ replicas: 2 });
    const { leader, followers, outsiders } = placesOf(virtual);
    const [to = "", other = ""] = outsiders;
    expect(await refusalOf(virtual, adding("e:9527"))).toMatch(
      /^the cluster has no tablet "e" \(did you mean/,
    );
    expect(await refusalOf(virtual, adding(to, [0, 3]))).toBe(
      "db1.t0 has no partition 3 (it has 1 partitions: 0)",
    );
    const t1 = addReplicaOperation({ ...T0, table: "t1", pids: [0], endpoint: to });
    expect(await refusalOf(virtual, t1)).toContain("did you mean t0?");
    virtual.model.kill(other);
    await virtual.pass(15_000);
    expect(await refusalOf(virtual, adding(other))).toContain(
      `the tablet ${short(other)} cannot be used: kOffline`,
    );
    const [follower = ""] = followers;
    setFlags(virtual, follower, { isAlive: false });
    expect(await refusalOf(virtual, adding(follower))).toBe(
      `db1.t0:0: ${short(follower)} has a replica of it already, which is unhealthy: marked not alive (recover it with: openmldb-ops recovertable --db=db1 --table=t0 --pid=0 --endpoint=${short(follower)})`,
    );
    virtual.model.kill(leader);
    await virtual.pass(15_000);
    expect(await refusalOf(virtual, adding(to))).toContain("no replica leads it");
  });

  test("a loaded replica that is off the record is reported", async () => {
    const virtual = await servingTable({ replicas: 2 });
    const [to = ""] = placesOf(virtual).outsiders;
    virtual.model.failOp("kAddTableInfo", 1);
    const first = await operateOn(virtual, adding(to));
    expect(resultsOf(first)).toEqual([expect.stringContaining("although the record has no")]);
    const { tid } = virtual.model.tables.find("t0", "db1") ?? { tid: 0 };
    const free = `stop tablet ${short(to)}, move the directory ${tid}_0 out of its data folder, start it again`;
    expect(await refusalOf(virtual, adding(to))).toContain(free);
    virtual.model.kill(to);
    virtual.model.wipe(to);
    virtual.model.restart(to);
    await virtual.pass(30_000);
    expect(resultsOf(await operateOn(virtual, adding(to)))).toEqual([
      expect.stringContaining("done"),
    ]);
    expect(virtual.model.healthy()).toEqual([]);
  });
});

describe.each([
  { verb: "addreplica", operation: (to: string) => adding(to) },
  { verb: "migrate", operation: (to: string, from: string) => moving(from, to) },
])("$verb", ({ operation }) => {
  // Without a snapshot no call shows the entries of the binlog before it is loaded.
  test.each([
    { copy: "can be loaded", failures: 0, says: "(entries up to 30, loaded to see them)" },
    { copy: "cannot be loaded", failures: 9, says: "is not known: tablet" },
  ])("does not put a new replica on top of an old copy that $copy", async ({ failures, says }) => {
    const virtual = await servingTable();
    const { leader, followers, outsiders } = placesOf(virtual);
    const [from = ""] = followers;
    const [to = ""] = outsiders;
    const { tid } = virtual.model.tables.find("t0", "db1") ?? { tid: 0 };
    const copy = virtual.model.tablet(leader).disk.dir(StorageMode.kMemory, tid, 0);
    if (copy === undefined) throw new Error("the leader has no data");
    const { meta, runs } = copy;
    virtual.model.tablet(to).disk.install({ tid, pid: 0, meta, runs });
    if (failures > 0) virtual.model.failLoad(to, failures, { tid, pid: 0 });
    const ops = virtual.model.leader?.ops.list().length;
    const report = await operateOn(virtual, operation(to, from));
    const results = resultsOf(report).join();
    expect(results).toContain(`tablet ${short(to)} has an old copy of it on its disk`);
    expect(results).toContain(says);
    expect(results).toContain(`stop tablet ${short(to)}, move the directory ${tid}_0 out of its`);
    expect(virtual.model.leader?.ops.list()).toHaveLength(ops ?? 0);
    expect(recordOf(virtual).join()).not.toContain(short(to));
  });
});

describe("delreplica", () => {
  test("deletes a follower everywhere: record, replication list, tablet", async () => {
    const virtual = await servingTable();
    const { leader, followers } = placesOf(virtual);
    const [from = ""] = followers;
    const report = await operateOn(virtual, deleting(from));
    expect(resultsOf(report)).toEqual([
      expect.stringMatching(new RegExp(`^del-replica ${short(from)} done: kDelReplicaOP \\d+$`)),
    ]);
    expect(report.complaints).toEqual([]);
    expect(report.plan.notes).toEqual(["db1.t0:0: 2 replicas stay, and the table specifies 3"]);
    expect(recordOf(virtual)).toHaveLength(2);
    expect(loadedAt(virtual, from)).toBeUndefined();
    expect(loadedAt(virtual, leader)?.links.has(from)).toBe(false);
    expect(virtual.model.healthy()).toEqual([]);
    const again = await operateOn(virtual, deleting(from));
    expect(again.plan).toMatchObject({
      steps: [],
      notes: [`db1.t0:0: ${from} has no replica of it`],
    });
  });

  test("refuses a leader and names the command that makes another one lead", async () => {
    const virtual = await servingTable();
    const { leader, followers } = placesOf(virtual);
    expect(await refusalOf(virtual, deleting(leader))).toBe(
      `db1.t0:0: ${short(leader)} leads it, and a leader cannot be deleted (change the leader first with: openmldb-ops changeleader --db=db1 --table=t0 --pid=0 --candidate=${short(followers[0] ?? "")})`,
    );
  });

  test("refuses the last replica: deleting it would delete the data", async () => {
    const virtual = await servingTable({ replicas: 1 });
    expect(await refusalOf(virtual, deleting(placesOf(virtual).leader))).toContain(
      "has its only replica: deleting it would delete the data",
    );
  });

  test("refuses a follower that holds entries its leader lacks: they would be lost", async () => {
    const virtual = await servingTable();
    const { leader, followers } = placesOf(virtual);
    const [from = ""] = followers;
    loadedAt(virtual, leader)?.links.delete(from);
    const follower = loadedAt(virtual, from);
    if (follower === undefined) throw new Error("it is not loaded");
    virtual.model.tablet(from).put(follower, 5);
    expect(await refusalOf(virtual, deleting(from))).toContain("known to hold entries up to 35");
  });

  test("warns if no healthy follower stays", async () => {
    const virtual = await servingTable({ replicas: 2 });
    const [from = ""] = placesOf(virtual).followers;
    const report = await operateOn(virtual, deleting(from));
    expect(report.plan.notes).toEqual([
      "db1.t0:0: 1 replicas stay, and the table specifies 2",
      "db1.t0:0: no healthy follower stays: if its leader fails, no replica can take over",
    ]);
    expect(recordOf(virtual)).toHaveLength(1);
  });

  test("refuses if the partition has no leader", async () => {
    const virtual = await servingTable();
    const { leader, followers } = placesOf(virtual);
    virtual.model.kill(leader);
    await virtual.pass(15_000);
    expect(await refusalOf(virtual, deleting(followers[0] ?? ""))).toContain("no replica leads it");
  });

  test("an op that fails before the record has changed is repeated", async () => {
    const virtual = await servingTable();
    const [from = ""] = placesOf(virtual).followers;
    virtual.model.failOp("kDelReplica", 1);
    const report = await operateOn(virtual, deleting(from));
    expect(resultsOf(report)).toEqual([expect.stringContaining("done")]);
    expect(recordOf(virtual)).toHaveLength(2);
    expect(loadedAt(virtual, from)).toBeUndefined();
  });

  test("an op that fails at its last step leaves a loaded replica, which is reported", async () => {
    const virtual = await servingTable();
    const [from = ""] = placesOf(virtual).followers;
    virtual.model.failOp("kDropTable", 1);
    const report = await operateOn(virtual, deleting(from));
    expect(resultsOf(report)).toEqual([
      expect.stringContaining("ended failed at kDropTable: tablet"),
    ]);
    expect(report.complaints.map(short)).toEqual([
      `db1.t0:0: tablet ${short(from)} still has it loaded; a restart unloads it`,
    ]);
    expect(recordOf(virtual)).toHaveLength(2);
  });

  test("a lost answer queues no second op", async () => {
    const virtual = await servingTable();
    const [from = ""] = placesOf(virtual).followers;
    virtual.model.loseAnswers("DelReplicaNS", 1);
    const report = await operateOn(virtual, deleting(from));
    expect(resultsOf(report)).toEqual([expect.stringContaining("done")]);
    expect(virtual.model.leader?.ops.list()).toHaveLength(1);
  });
});

describe("migrate", () => {
  test("moves a follower with auto_failover off during the run, and on afterwards", async () => {
    const virtual = await servingTable({ autoFailover: true });
    const { leader, followers, outsiders } = placesOf(virtual);
    const [[from = ""], [to = ""]] = [followers, outsiders];
    const report = await operateOn(virtual, moving(from, to));
    expect(resultsOf(report)).toEqual([
      expect.stringMatching(new RegExp(`^migrate ${short(from)} done: kMigrateOP \\d+$`)),
    ]);
    expect(report.complaints).toEqual([]);
    expect(report.conclusions.map(short)).toEqual([
      `db1.t0:0: ${short(to)} follows ${short(leader)} at offset 30 (30 rows)`,
    ]);
    expect(placesOf(virtual).followers).not.toContain(from);
    expect(placesOf(virtual).followers).toContain(to);
    expect(loadedAt(virtual, from)).toBeUndefined();
    expect(virtual.model.leader?.autoFailover).toBe(true);
    expect(virtual.model.healthy()).toEqual([]);
    const again = await operateOn(virtual, moving(from, to));
    expect(again.plan.notes).toEqual([`db1.t0:0: it is at ${to} already, and not at ${from}`]);
    expect(again.hasChanged).toBe(false);
  });

  test("refuses a leader with the exact changeleader command", async () => {
    const virtual = await servingTable();
    const { leader, followers, outsiders } = placesOf(virtual);
    expect(await refusalOf(virtual, moving(leader, outsiders[0] ?? ""))).toBe(
      `db1.t0:0: ${short(leader)} leads it, and a leader cannot be moved (change the leader first with: openmldb-ops changeleader --db=db1 --table=t0 --pid=0 --candidate=${short(followers[0] ?? "")})`,
    );
  });

  test("refuses a single replica, and names the commands that move it", async () => {
    const virtual = await servingTable({ replicas: 1 });
    const { leader, outsiders } = placesOf(virtual);
    expect(await refusalOf(virtual, moving(leader, outsiders[0] ?? ""))).toContain(
      `add one first: openmldb-ops addreplica --db=db1 --table=t0 --pid=0 --endpoint=${short(outsiders[0] ?? "")}`,
    );
  });

  test("refuses a destination that has the partition, is unknown, offline, or the source itself", async () => {
    const virtual = await servingTable();
    const { followers, outsiders } = placesOf(virtual);
    const [[from = "", other = ""], [to = ""]] = [followers, outsiders];
    expect(await refusalOf(virtual, moving(from, other))).toBe(
      `db1.t0:0: the destination ${short(other)} has a replica of it already (if one replica fewer is enough: openmldb-ops delreplica --db=db1 --table=t0 --pid=0 --endpoint=${short(from)})`,
    );
    expect(await refusalOf(virtual, moving(from, from))).toContain("are the same tablet");
    expect(await refusalOf(virtual, moving(from, "x:9527"))).toContain("has no tablet");
    virtual.model.kill(to);
    await virtual.pass(15_000);
    expect(await refusalOf(virtual, moving(from, to))).toContain("the destination");
  });

  test("refuses a source without a replica, and lists the replicas", async () => {
    const virtual = await servingTable({ replicas: 2 });
    const [from = "", to = ""] = placesOf(virtual).outsiders;
    expect(await refusalOf(virtual, moving(from, to))).toMatch(
      /^db1.t0:0: the source \w has no replica of it \(its replicas are at \w, \w\)$/,
    );
  });

  test("refuses an unhealthy source", async () => {
    const virtual = await servingTable();
    const { followers, outsiders } = placesOf(virtual);
    const [[from = ""], [to = ""]] = [followers, outsiders];
    setFlags(virtual, from, { isAlive: false });
    expect(await refusalOf(virtual, moving(from, to))).toContain(
      `is unhealthy: marked not alive (recover it first with: openmldb-ops recovertable`,
    );
  });

  test("with several partitions lists each that does not allow it, and changes nothing", async () => {
    const virtual = await servingTable({ partitions: 8 });
    const text = await refusalOf(virtual, moving("a:9527", "d:9527", "all"));
    expect(text).toMatch(/^migrate from a to d: \d partitions do not allow it/);
    expect(text.split("\n").length).toBeGreaterThan(2);
  });

  test.each([
    "kSendSnapshot",
    "kLoadTable",
    "kAddTableInfo",
    "kCheckBinlogSyncProgress",
    "kDelReplica",
    "kUpdateTableInfo",
  ])("an op that fails at %s leaves the old follower serving", async (task) => {
    const virtual = await servingTable();
    const { leader, followers, outsiders } = placesOf(virtual);
    const [[from = ""], [to = ""]] = [followers, outsiders];
    virtual.model.failOp(task, 1);
    const report = await operateOn(virtual, moving(from, to));
    // A replica that the op left loaded without a record cannot be dropped through the nameserver.
    if (task === "kAddTableInfo") {
      expect(resultsOf(report)).toEqual([expect.stringContaining("although the record has no")]);
      expect(placesOf(virtual)).toMatchObject({ leader, followers });
    } else {
      expect(resultsOf(report)).toEqual([expect.stringContaining("done")]);
      expect(placesOf(virtual).followers).toContain(to);
    }
    expect(virtual.model.healthy()).toEqual([]);
    expect(virtual.model.rows().map((one) => one.lost)).toEqual([0]);
  });

  test("an active op of the partition is waited for", async () => {
    const virtual = await servingTable();
    const { followers, outsiders } = placesOf(virtual);
    const [[from = ""], [to = ""]] = [followers, outsiders];
    const { cluster, clock } = virtual;
    await clock.run(cluster.migrate(from, { db: "db1", table: "t0", pids: [0] }, to), 60_000);
    const report = await operateOn(virtual, moving(from, to));
    expect(resultsOf(report)).toEqual([`migrate ${short(from)} already-done`]);
    expect(virtual.model.leader?.ops.list()).toHaveLength(1);
    expect(virtual.model.healthy()).toEqual([]);
  });
});
