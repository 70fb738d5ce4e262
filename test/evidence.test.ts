import { beforeEach, describe, expect, test } from "vitest";
import { diagnose } from "../src/diagnosis/diagnose.js";
import { adviceText } from "../src/model/advice.js";
import type { RunEvent } from "../src/model/outcome.js";
import type { PartitionView } from "../src/model/partition-view.js";
import type { RunReport } from "../src/model/report.js";
import { NO_ATTEMPTS } from "../src/planning/attempt-history.js";
import { planDirect } from "../src/planning/direct.js";
import { evidenceOf, isLosingEvidence, withBounds } from "../src/policy/evidence.js";
import { leastOffset, lowerBound } from "../src/policy/what-it-holds.js";
import { decideLeader } from "../src/policy/who-may-lead.js";
import { reportJson, reportText } from "../src/report/recovery-report.js";
import { createKnownOffsetsStore } from "../src/run/known-offsets-store.js";
import { treeZooKeeper } from "../src/sandbox/znode-tree.js";
import { allLines } from "./helpers/all-lines.js";
import { partition } from "./helpers/view.js";
import { startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const TWO = [
  { term: 1n, offset: 0n },
  { term: 3n, offset: 51n },
];
const EMPTY = new Map<string, never>();
const SEEN = "/openmldb/ops_tool/seen";
const NODE = `${SEEN}/7_0`;

/** The view with that snapshot on the disk of `endpoint`. */
function withSnapshot(view: PartitionView, endpoint: string, term: bigint, offset: bigint) {
  return {
    ...view,
    replicas: view.replicas.map((one) =>
      one.endpoint === endpoint ? { ...one, snapshot: { term, offset } } : one,
    ),
  };
}

/** The view with lower bounds that an earlier run stored. */
function remembering(view: PartitionView, term: bigint, offsets: Record<string, bigint>) {
  const bounds = { term, offsets: new Map(Object.entries(offsets)) };
  return { ...view, known: { bounds, replicas: EMPTY } };
}

describe("what a replica must hold", () => {
  test("the snapshot on its disk counts if the nameserver's offset is lower", () => {
    const view = withSnapshot(partition("a leader,alive - -\n b follower,alive 5 -"), "a", 1n, 40n);
    expect(view.replicas.map((one) => lowerBound(view, one))).toEqual([40n, 5n]);
    expect(leastOffset(view)).toBe(40n);
  });

  test("the snapshot of a dead replica counts as far as its term is in the history", () => {
    const view = partition("a leader,dead 50 -\n b leader,alive 50 -", { terms: TWO });
    const boundOf = (term: bigint, offset: bigint) => {
      const seen = withSnapshot(view, "a", term, offset);
      return seen.replicas.map((one) => lowerBound(seen, one))[0];
    };
    // Entry 60 was written in term 3: the replica followed the newest leader up to it.
    expect(boundOf(3n, 60n)).toBe(60n);
    // Entry 60 of term 1 was given up by the election: nothing beyond 50 counts.
    expect(boundOf(1n, 60n)).toBe(50n);
  });

  test("earlier lower bounds hold until a newer leadership gives entries up", () => {
    const table = "a leader,alive 50 -\n b follower,alive 50 -";
    const bounds = { a: 120n, b: 90n };
    expect(leastOffset(remembering(partition(table, { terms: TWO }), 3n, bounds))).toBe(120n);
    expect(leastOffset(remembering(partition(table, { terms: TWO }), 1n, bounds))).toBe(50n);
  });

  test("a replica's first numbers are kept, its reported offset is the newest", () => {
    const first = partition("a leader,alive 120 -\n b follower,alive 120 -");
    const later = partition("a leader,alive 50 follower,normal,50\n b follower,alive 50 -");
    const known = evidenceOf(withSnapshot(first, "a", 1n, 30n));
    const now = { ...later, known };
    expect(evidenceOf(now).replicas.get("a")).toMatchObject({
      claimed: 120n,
      snapshot: { term: 1n, offset: 30n },
      loaded: 50n,
      wasLeader: true,
    });
    expect(isLosingEvidence(now)).toBe(true);
    expect(isLosingEvidence(later)).toBe(false);
  });
});

describe("unreadable replicas", () => {
  const tried = { cannotLoad: new Map() };
  const decided = (view: PartitionView) => {
    const decision = decideLeader(view, tried.cannotLoad);
    return "blocked" in decision ? decision.blocked.code : decision.leader.endpoint;
  };

  test.each([
    [
      "the leader of the newest term holds the known offset: no replica is waited for",
      "a leader,alive 60 follower,normal,60\n b follower,alive 60 follower,normal,60\n c follower,alive 60 offline",
      "a",
    ],
    [
      "the leader lost rows, and an unreachable alive follower may hold more than the reachable one: unread",
      "a leader,alive 60 follower,normal,50\n b follower,alive 60 follower,normal,60\n c follower,alive - offline",
      "unread",
    ],
    [
      "the same, and the unreachable follower is marked not alive: unread",
      "a leader,alive 60 follower,normal,50\n b follower,alive 60 follower,normal,60\n c follower,dead 20 offline",
      "unread",
    ],
    [
      "all are marked not alive, so any of them may hold more: unread",
      "a leader,dead 60 follower,normal,50\n b follower,dead 60 follower,normal,60\n c follower,dead - silent",
      "unread",
    ],
    [
      "all are below the known offset: rows-missing",
      "a leader,alive 60 follower,normal,50\n b follower,alive 60 follower,normal,58",
      "rows-missing",
    ],
  ])("%s", (_name, table, wanted) => {
    expect(decided(partition(table))).toBe(wanted);
  });

  test("several flagged leaders, all dead, one of them unreachable: unread", () => {
    const table = "a leader,dead 50 follower,normal,60\n b leader,dead 50 offline";
    expect(decided(partition(table, { terms: TWO }))).toBe("unread");
  });

  test("a follower whose load failed gets no RecoverTable: load-failed", () => {
    const table = "a leader,alive 9 leader,normal,9 replicates\n b follower,alive 5 -";
    const attempts = { ...NO_ATTEMPTS, cannotLoad: new Map([["b", "failed"]] as const) };
    const lane = planDirect(partition(table), attempts);
    expect(lane).toMatchObject({
      steps: [],
      blocked: { code: "load-failed", endpoint: "b", candidate: "a" },
    });
    const accepted = planDirect(partition(table), attempts, { accepted: "a" });
    expect(accepted.steps.map((one) => `${one.kind} ${one.endpoint}`)).toEqual(["recover-table b"]);
    expect(accepted.notes.join()).toContain("--accept_data_loss");
  });

  test("a disk table without a snapshot counts as a wiped disk", () => {
    const table = "a leader,alive 9 leader,normal,9 replicates\n b follower,alive 5 -";
    const attempts = { ...NO_ATTEMPTS, cannotLoad: new Map([["b", "failed"]] as const) };
    const onDisk = { ...partition(table), storageMode: "hdd" as const };
    const stepsOf = (view: PartitionView) =>
      planDirect(view, attempts).steps.map((one) => one.kind);
    expect(stepsOf(withSnapshot(onDisk, "b", 0n, 0n))).toEqual(["recover-table"]);
    expect(stepsOf(withSnapshot(onDisk, "b", 1n, 3n))).toEqual([]);
    expect(stepsOf(onDisk)).toEqual([]);
  });

  test("a leader below the earlier lower bound: rows-missing, unless another replica has the entries", () => {
    const codes = (view: PartitionView) =>
      diagnose(view).map((one) => `${one.endpoint} ${one.code}`);
    const short = partition(
      "a leader,alive 50 leader,normal,50 replicates b=50\n b follower,alive 50 follower,normal,50",
    );
    expect(codes(short)).toEqual([]);
    expect(codes(remembering(short, 1n, { a: 120n }))).toEqual(["a rows-missing"]);
    expect(codes(remembering(short, 1n, { a: 50n }))).toEqual([]);
    const elsewhere = partition(
      "a leader,alive 50 leader,normal,50 replicates\n b follower,alive 120 follower,normal,120",
    );
    expect(codes(remembering(elsewhere, 1n, { b: 120n }))).not.toContain("a rows-missing");
  });
});

describe("evidence that outlives the run", () => {
  let virtual: VirtualCluster;
  let id: { readonly tid: number; readonly pid: number };
  const node = () => virtual.model.tree.get(`${SEEN}/${id.tid}_${id.pid}`);
  const report = async (accept: ReadonlyMap<string, string> = new Map()): Promise<RunReport> => {
    const result = await virtual.recover({ accept });
    if ("error" in result) throw result.error;
    return result.report;
  };

  /** All replicas hold 120 rows, which the nameserver knows; then every disk except that of `whole` loses 70. */
  async function lose(whole?: string) {
    const { model } = virtual;
    const names = [...model.tablets.keys()];
    for (const name of names) model.kill(name);
    for (const name of names)
      if (name !== whole) model.cutBinlog(name, { db: "db1", table: "t1", pid: 0 }, 70);
    for (const name of names) model.restart(name);
    await virtual.pass(30_000);
  }

  beforeEach(async () => {
    virtual = await startVirtualCluster({ model: { autoFailover: false } });
    const tid = virtual.model.createTable({ db: "db1", table: "t1", partitions: 1, replicas: 3 });
    id = { tid, pid: 0 };
    virtual.model.put(120);
    await virtual.pass(5_000);
  });

  test("an offset stays known after the nameserver has overwritten it", async () => {
    await lose();
    const first = await report();
    expect(first.partitions[0]).toMatchObject({ status: "needs-decision", isServing: false });
    expect(node()).toBeDefined();

    await virtual.pass(10_000);
    const seen = await virtual.clock.run(virtual.cluster.showTable(), 60_000);
    expect(seen[0]?.partitions[0]?.replicas.map((one) => one.offset)).toEqual([50n, 50n, 50n]);

    const second = await report();
    expect(second.partitions[0]).toMatchObject({ status: "needs-decision", isServing: false });
    expect(second.partitions[0]?.failure?.detail).toContain("entries up to 120 were known");
    expect(second.partitions[0]?.failure?.detail).toContain("holds 50: 70 are missing");
    const [leader] = second.partitions[0]?.evidence ?? [];
    expect(leader).toMatchObject({ remembered: 120n, claimed: 50n, loaded: 50n });
    expect(allLines(reportText(second)).join("\n")).toContain("an earlier run recorded 120");
    expect(JSON.parse([...reportJson(second, 3)].join("")).partitions[0].evidence[0]).toMatchObject(
      {
        offset: { loaded: "50", nameserver: "50", earlierRun: "120" },
      },
    );

    const settled = await report(new Map([["db1.t1:0", leader?.endpoint ?? ""]]));
    expect(settled.partitions[0]).toMatchObject({ status: "recovered", isServing: true });
    expect(settled.partitions[0]?.notes.join()).toMatch(
      /under --accept_data_loss; given up is the 70 entries up to 120 that were known/,
    );
    expect(node()).toBeUndefined();
    expect(virtual.model.healthy()).toEqual([]);
    expect((await report()).partitions).toEqual([]);
  });

  test("a restart of the nameserver in between loses no evidence", async () => {
    await lose();
    await report();
    virtual.model.outage({ withNameservers: true });
    await virtual.pass(60_000);
    expect((await report()).partitions[0]).toMatchObject({ status: "needs-decision" });
  });

  test("a run that finds the rows again deletes the bounds, and a run without missing rows writes none", async () => {
    const record = await virtual.clock.run(virtual.cluster.showTable(), 60_000);
    const follower = record[0]?.partitions[0]?.replicas.find((one) => !one.isLeader);
    await lose(follower?.endpoint);
    const children = () => virtual.model.tree.get(SEEN);
    const first = await report();
    expect(first.partitions[0]).toMatchObject({ status: "recovered" });
    expect(first.partitions[0]?.notes.join()).toContain("it holds 70 entries that");
    expect(children()).toBeUndefined();

    const zk = treeZooKeeper(virtual.model.tree);
    const store = createKnownOffsetsStore({
      zk,
      clock: virtual.clock,
      rootPath: "/openmldb",
      onEvent: () => undefined,
    });
    await store.remember(
      { db: "db1", table: "t1", ...id },
      { term: 1n, offsets: new Map([["a:9527", 120n]]) },
    );
    expect(node()).toBeDefined();
    expect((await report()).partitions).toEqual([]);
    expect(node()).toBeUndefined();
  });

  test("a follower of a disk table that cannot be loaded keeps its log until the decision", async () => {
    const hdd = await startVirtualCluster({ model: { autoFailover: false } });
    const { model } = hdd;
    model.createTable({ db: "db1", table: "t0", partitions: 1, replicas: 3, storageMode: "hdd" });
    model.put(20);
    await hdd.pass(5_000);
    const record = await hdd.clock.run(hdd.cluster.showTable(), 60_000);
    const replicas = record[0]?.partitions[0]?.replicas ?? [];
    const leader = replicas.find((one) => one.isLeader)?.endpoint ?? "";
    const follower = replicas.find((one) => !one.isLeader)?.endpoint ?? "";
    // The nameserver restarts too, so no answer shows the follower's last offset.
    model.outage({ withNameservers: true });
    model.kill(follower);
    model.wipe(follower);
    model.restart(follower);
    await hdd.pass(60_000);
    const left = await hdd.recover();
    if ("error" in left) throw left.error;
    expect(left.report.partitions[0]).toMatchObject({ status: "needs-decision", isServing: true });
    expect(adviceText(left.report.partitions[0]?.next ?? [])).toContain(
      `--accept_data_loss=db1.t0:0 --leader=${leader}`,
    );
    expect(hdd.events.some((one) => "step" in one && one.step.kind === "recover-table")).toBe(
      false,
    );

    const decided = await hdd.recover({ accept: new Map([["db1.t0:0", leader]]) });
    if ("error" in decided) throw decided.error;
    expect(decided.report.partitions[0]).toMatchObject({ status: "recovered" });
    expect(model.healthy()).toEqual([]);
    expect(model.rows().map((one) => one.served)).toEqual([20]);
  });

  test("bounds of another table with the same id are ignored", () => {
    const view = partition("a:9527 leader,alive 5 -");
    const bounds = { term: 1n, offsets: new Map([["a:9527", 9n]]) };
    const { db, table, pid } = view.id;
    const own = withBounds(view, { ...bounds, partition: `${db}.${table}:${pid}` });
    expect(own.known?.bounds.offsets.get("a:9527")).toBe(9n);
    expect(withBounds(view, { ...bounds, partition: `${db}.older:${pid}` }).known).toBeUndefined();
  });

  test("64-bit numbers survive, and garbage is ignored with a warning", async () => {
    const zk = treeZooKeeper(virtual.model.tree);
    const events: RunEvent[] = [];
    const store = createKnownOffsetsStore({
      zk,
      clock: virtual.clock,
      rootPath: "/openmldb",
      onEvent: (event) => events.push(event),
    });
    expect(await store.read()).toEqual(new Map());
    const bounds = {
      term: 18446744073709551615n,
      offsets: new Map([["a:9527", 9007199254740993n]]),
    };
    await store.remember({ db: "db1", table: "t1", tid: 7, pid: 0 }, bounds);
    expect(await store.read()).toEqual(new Map([["7/0", { ...bounds, partition: "db1.t1:0" }]]));
    expect(events).toEqual([]);

    const garbage = [
      "",
      "[]",
      "null",
      '{"version":2,"term":"1","offsets":{}}',
      '{"version":1,"term":1,"offsets":{}}',
      '{"version":1,"term":"1","offsets":{"a":"-5"}}',
      '{"version":1,"term":"1","offsets":{"a":7}}',
      '{"version":1,"term":"1","offsets":[]}',
      '{"version":1,"partition":"db1.t1:0","term":"18446744073709551616","offsets":{}}',
      `{"version":1,"partition":"db1.t1:0","term":"1","offsets":{},"x":${"[".repeat(9_000)}`,
      JSON.stringify({ version: 1, partition: "x".repeat(900_000), term: "1", offsets: {} }),
    ];
    for (const text of garbage) {
      events.length = 0;
      await zk.setData(NODE, Buffer.from(text));
      expect(await store.read()).toEqual(new Map());
      expect(events).toMatchObject([{ kind: "warning" }]);
    }
    await zk.create(`${SEEN}/99999999999999999999_1`, Buffer.from("{}"), "persistent");
    expect(await store.read()).toEqual(new Map());
    await zk.remove(`${SEEN}/99999999999999999999_1`);
    await zk.create(`${SEEN}/lost+found`, Buffer.from("{}"), "persistent");
    await store.forget({ tid: 7, pid: 0 });
    events.length = 0;
    expect(await store.read()).toEqual(new Map());
    expect(events).toMatchObject([{ kind: "warning" }]);
    await store.forget({ tid: 7, pid: 0 });
  });
});
