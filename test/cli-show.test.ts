import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import { encode } from "../src/run/owner.js";
import { type Sandbox, startSandbox } from "../src/sandbox/start.js";
import { runBin } from "./helpers/run-bin.js";
import { type MainResult, runHere } from "./helpers/run-main.js";
import { callSandbox, noticedGone, sandboxForTest } from "./helpers/sandbox.js";

const MARKER = "/openmldb/ops_tool/auto_failover";

const connection = (sandbox: Sandbox) => [
  `--zk_cluster=${sandbox.zkCluster}`,
  `--zk_root_path=${sandbox.zkRootPath}`,
  "--zk_session_timeout=2s",
];

function ops(
  sandbox: Sandbox,
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<MainResult> {
  return runHere([...words, ...connection(sandbox)], environment);
}

/** The lines of a table as cells; the first one holds the titles. */
function cells({ stdout }: MainResult): string[][] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.trim().split(/ {2,}/));
}

/** Checks that stdout is empty, and that stderr has one line after the announcement. */
function expectRefused(result: MainResult, text: string): void {
  expect(result.stderr).toContain(text);
  expect(result).toMatchObject({ code: 4, stdout: "" });
  expect(result.stderr).toMatch(/^openmldb-ops [^\n]+\n(\d\d:[^\n]*\n)?openmldb-ops: [^\n]+\n$/);
}

/** The tablet that leads a partition of db1.t0, and its tid. */
function leaderOf({ model }: Sandbox, pid = 0) {
  const table = model.tables.find("t0", "db1");
  const part = table?.tablePartition.find((one) => one.pid === pid);
  const leader = part?.partitionMeta.find((meta) => meta.isLeader)?.endpoint ?? "";
  return { leader, tid: table?.tid ?? 0 };
}

/** Acts when the nameserver is asked for its ops for the n-th time from now on. */
function atList({ model }: Sandbox, n: number, act: () => void): void {
  const ops = model.leader?.ops;
  if (ops === undefined) throw new Error("no nameserver leads");
  const list = ops.list.bind(ops);
  let left = n;
  const spy = vi.spyOn(ops, "list").mockImplementation(() => {
    left -= 1;
    if (left === 0) {
      spy.mockRestore();
      act();
    }
    return list();
  });
}

/** Every command that only shows, with what it needs on a sandbox. */
function everyCommand(sandbox: Sandbox): { name: string; words: string[] }[] {
  const { leader, tid } = leaderOf(sandbox);
  const plain = ["showns", "showtablet", "showdb", "showtable", "showtablestatus", "showopstatus"];
  return [
    ...plain.map((name) => ({ name, words: [name] })),
    { name: "gettablestatus", words: ["gettablestatus", `--endpoint=${leader}`] },
    {
      name: "getfollower",
      words: ["getfollower", `--endpoint=${leader}`, `--tid=${tid}`, "--pid=0"],
    },
  ];
}

describe("on a healthy cluster with server names", () => {
  let sandbox: Sandbox;
  beforeAll(async () => {
    sandbox = await startSandbox({
      ...{ tables: 2, partitions: 2, rows: 10, seed: 1, singleReplicaTables: 1 },
      ...{ serverNames: true, autoFailover: false, speed: 5 },
    });
    // The nameserver asks the tablets for their numbers every 2 s.
    const { model } = sandbox;
    const tables = model.tables.all().filter((one) => one.db === "db1");
    const metas = tables.flatMap(({ tablePartition }) =>
      tablePartition.flatMap(({ partitionMeta }) => partitionMeta),
    );
    await vi.waitUntil(() => metas.every((meta) => meta.offset === 10n), 60_000);
  });
  afterAll(() => sandbox.stop());

  it("showns and showtablet show names and addresses", async () => {
    const [ns, tablet] = await Promise.all([
      ops(sandbox, ["showns"]),
      ops(sandbox, ["--cmd=showtablet"]),
    ]);
    expect([ns.code, tablet.code]).toEqual([0, 0]);
    const address = (name: string) => sandbox.addressOf(name);
    expect(cells(ns)).toEqual([
      ["endpoint", "real_endpoint", "role"],
      ["nameserver-1", address("nameserver-1"), "leader"],
      ["nameserver-2", address("nameserver-2"), "standby"],
    ]);
    expect(cells(tablet)).toEqual([
      ["endpoint", "real_endpoint", "state", "age"],
      ...[1, 2, 3].map((n) => [
        ...[`tablet-${n}`, address(`tablet-${n}`), "kHealthy"],
        expect.stringMatching(/^\d+[ms]/),
      ]),
    ]);
  });

  it("showdb and showtable show system databases too, and first", async () => {
    const [db, all, one] = await Promise.all([
      ops(sandbox, ["showdb"]),
      ops(sandbox, ["showtable"]),
      ops(sandbox, ["showtable", "--db=db1", "--table=single0"]),
    ]);
    expect(cells(db)).toEqual([
      ["database", "kind", "tables", "partitions"],
      ["__INTERNAL_DB", "system", "3", "3"],
      ["INFORMATION_SCHEMA", "system", "2", "2"],
      ["db1", "user", "2", "4"],
    ]);
    const lines = cells(all);
    expect(lines[0]?.join(" ")).toBe(
      "db name tid pid endpoint role is_alive offset record_cnt memused diskused",
    );
    expect(lines[1]?.slice(0, 4)).toEqual(["__INTERNAL_DB", "JOB_INFO", "3", "0"]);
    expect(lines.at(-1)?.[0]).toBe("db1");
    const rows = cells(one).slice(1);
    const tid = String(sandbox.model.tables.find("single0", "db1")?.tid);
    expect(rows).toEqual(
      ["0", "1"].map((pid) => [
        ...["db1", "single0", tid, pid, expect.stringMatching(/^tablet-\d$/)],
        ...["leader", "yes", "10", "10", "3.0 KiB", "0 B"],
      ]),
    );
  });

  it("showtablestatus sums up the tables of matching databases", async () => {
    const [user, none] = await Promise.all([
      ops(sandbox, ["showtablestatus", "--filter=d_1"]),
      ops(sandbox, ["showtablestatus", "--filter=x%"]),
    ]);
    expect(user.code).toBe(0);
    expect(cells(user).map((line) => line.slice(1).join(" "))).toEqual([
      "table_name database_name storage_type rows memory_data_size disk_data_size partition partition_unalive replica warnings",
      "single0 db1 memory 20 6.0 KiB 0 B 2 0 1 0",
      "t0 db1 memory 20 6.0 KiB 0 B 2 0 3 0",
    ]);
    expect(none).toMatchObject({ code: 0, stdout: 'no table is in a database like "x%"\n' });
  });

  it("gettablestatus and getfollower call the tablet itself", async () => {
    const { leader, tid } = leaderOf(sandbox);
    const at = `--endpoint=${leader}`;
    const [all, one, followers] = await Promise.all([
      ops(sandbox, ["gettablestatus", at]),
      ops(sandbox, ["gettablestatus", at, `--tid=${tid}`, "--pid=0"]),
      ops(sandbox, ["getfollower", at, `--tid=${tid}`, "--pid=0"]),
    ]);
    expect(cells(all).length).toBeGreaterThan(cells(one).length);
    expect(cells(one)).toEqual([
      "tid pid db name offset mode state record_cnt memused diskused".split(" "),
      [String(tid), "0", "db1", "t0", "10", "kTableLeader", "kTableNormal", "10", "3.0 KiB", "0 B"],
    ]);
    const others = sandbox.tablets.filter((name) => name !== leader);
    expect(cells(followers)).toEqual([
      ["tid", "pid", "leader_offset", "follower", "offset", "lag"],
      ...others.map((name) => [String(tid), "0", "10", name, "10", "0"]),
    ]);
  });

  it("every command writes one JSON document with its schema, name and exit code", async () => {
    for (const { name, words } of everyCommand(sandbox)) {
      const { code, stdout } = await ops(sandbox, [...words, "--output=json"]);
      expect(code).toBe(0);
      expect(stdout.trimEnd().split("\n")).toHaveLength(1);
      expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 1, command: name, exitCode: 0 });
    }
    const { leader, tid } = leaderOf(sandbox);
    const words = ["getfollower", `--endpoint=${leader}`, `--tid=${tid}`, "--pid=0"];
    const { stdout } = await ops(sandbox, [...words, "--output=json"]);
    const others = sandbox.tablets.filter((name) => name !== leader);
    expect(JSON.parse(stdout)).toEqual({
      ...{ schemaVersion: 1, command: "getfollower", exitCode: 0 },
      ...{ endpoint: leader, tid, pid: 0, leaderOffset: "10" },
      followers: others.map((endpoint) => ({ endpoint, offset: "10", lag: "0" })),
    });
  });

  it.each([
    { words: ["showtable", "--db=db2"], error: 'no database "db2" (did you mean db1? it has:' },
    { words: ["showtable", "--table=tt0"], error: 'no table named "tt0" (did you mean t0?' },
    { words: ["showtablestatus", "--filter=db3"], error: 'no database "db3"' },
    { words: ["showopstatus", "--db=db2"], error: 'no database "db2"' },
    { words: ["showopstatus", "--op_id=77"], error: "no op 77" },
    { words: ["gettablestatus", "--endpoint=tablet_1"], error: "did you mean tablet-1?" },
    { words: ["gettablestatus", "--endpoint=\x1b[2J"], error: 'no tablet "\\u001b[2J"' },
    {
      words: ["gettablestatus", "--endpoint=tablet-1", "--tid=99"],
      error: "tablet-1 has not loaded tid 99 (it has loaded tid 2,",
    },
    {
      words: ["getfollower", "--endpoint=tablet-1", "--tid=99", "--pid=0"],
      error: "it does not have that table or partition (code 100",
    },
  ])("$words is refused: $error", async ({ words, error }) => {
    expectRefused(await ops(sandbox, words), error);
  });

  it("getfollower of a follower names the leader", async () => {
    const { leader, tid } = leaderOf(sandbox);
    const other = sandbox.tablets.find((name) => name !== leader);
    const words = ["getfollower", `--endpoint=${other}`, `--tid=${tid}`, "--pid=0"];
    expectRefused(await ops(sandbox, words), `(its leader is at ${leader})`);
  });

  it.each([
    { words: ["showopstatus", "--filter=kFaild"], error: "did you mean kFailed?" },
    { words: ["showopstatus", "--pid=1-0"], error: "is not a partition" },
    { words: ["showopstatus", "--op_id=x"], error: "not the id of an op" },
    { words: ["gettablestatus", "--endpoint=a:1", "--pid=0"], error: "--pid=0 needs the table" },
    { words: ["getfollower", "--endpoint=a:1"], error: "--tid and --pid are missing" },
    { words: ["showns", "--db=db1"], error: "not of showns" },
  ])("$words is wrong: $error", async ({ words, error }) => {
    const result = await ops(sandbox, words);
    expect(result.stderr).toContain(error);
    expect(result).toMatchObject({ code: 2, stdout: "" });
  });

  it("showopstatus shows the ops, and waits for them", async () => {
    const before = await ops(sandbox, ["showopstatus"]);
    expect(before).toMatchObject({ code: 0, stdout: "the nameserver lists no op\n" });
    expect(await ops(sandbox, ["showopstatus", "--wait"])).toMatchObject({
      code: 0,
      stdout: "no op is queued or running\n",
    });

    const change = async (pid: number) => {
      const address = sandbox.addressOf("nameserver-1");
      const request = { name: "t0", db: "db1", pid, candidateLeader: "auto" };
      const { code } = await callSandbox(address, NameServer.method.changeLeader, request);
      expect(code).toBe(0);
    };
    await change(0);
    const done = await ops(sandbox, ["showopstatus", "--op_id=1", "--wait"]);
    expect(done.code, done.stderr).toBe(0);
    expect(cells(done)).toEqual([
      "op_id op_type db name pid status start_time execute_time end_time cur_task".split(" "),
      [
        ...["1", "kChangeLeaderOP", "db1", "t0", "0", "kDone"],
        expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        expect.stringMatching(/^\d+s$/),
        expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        "-",
      ],
    ]);

    sandbox.model.stickOp("kSelectLeader", 1);
    await change(1);
    const late = await ops(sandbox, ["showopstatus", "--wait", "--pid=1", "--timeout=1s"]);
    expect(late.code, late.stderr).toBe(7);
    expect(late.stderr).toContain("1 of 1 ops are still queued or running");
    expect(cells(late)[1]?.slice(0, 6)).toEqual([
      ...["2", "kChangeLeaderOP", "db1", "t0", "1", "kDoing"],
    ]);

    const stopped = await runBin(["showopstatus", "--wait", ...connection(sandbox)], {
      onStart: (child) => atList(sandbox, 2, () => child.kill("SIGINT")),
    });
    expect(stopped).toMatchObject({ code: 130, stdout: "" });

    atList(sandbox, 1, () => sandbox.model.unstickOps());
    const waited = await ops(sandbox, [
      "showopstatus",
      "--filter=kDoing",
      "--wait",
      "--output=json",
    ]);
    expect(waited.code, waited.stderr).toBe(0);
    expect(JSON.parse(waited.stdout)).toMatchObject({
      exitCode: 0,
      ops: [{ opId: "2", status: "kDone" }],
    });

    sandbox.model.failOp("kSelectLeader", 1);
    await change(1);
    const ended = await ops(sandbox, ["showopstatus", "--op_id=2,3", "--wait", "--output=json"]);
    expect(ended.code, ended.stderr).toBe(3);
    expect(JSON.parse(ended.stdout)).toMatchObject({
      exitCode: 3,
      ops: [{ status: "kDone" }, { opId: "3", status: "kFailed" }],
    });
    const failed = await ops(sandbox, ["showopstatus", "--filter=kFailed"]);
    expect(cells(failed).map((line) => line[0])).toEqual(["op_id", "3"]);
    const none = await ops(sandbox, ["showopstatus", "--filter=kCanceled"]);
    expect(none).toMatchObject({ code: 0, stdout: "no op matches\n" });
  });
});

it("hostile names break no table, no JSON, no log line and no terminal", async () => {
  const sandbox = await sandboxForTest({ tables: 1, partitions: 1, autoFailover: false });
  const db = `d"b'\n\x1b[31m\u202e数 据\x07; $(x)`;
  const table = `t\r\n\t"\\\x9b2J😀\u200b`;
  sandbox.model.createTable({ db, table, partitions: 1, replicas: 2 });
  sandbox.model.put(3, { db, table });
  await expect.poll(() => sandbox.model.healthy()).toEqual([]);
  const commands = [
    ...everyCommand(sandbox).map((one) => one.words),
    ["showtable", `--db=${db}`, `--table=${table}`],
    ["showtablestatus", `--filter=${db}`],
    ["showopstatus", `--db=${db}x`],
    ["showtable", `--table=${table}x`],
  ];
  for (const words of commands) {
    const [plain, json] = await Promise.all([
      ops(sandbox, words, { FORCE_COLOR: "0" }),
      ops(sandbox, [...words, "--output=json"]),
    ]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are looked for.
    const bad = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]/;
    for (const text of [plain.stdout, plain.stderr, json.stdout, json.stderr]) {
      expect(text).not.toMatch(bad);
    }
    expect(json.stdout.trimEnd().split("\n")).toHaveLength(1);
    const document = JSON.parse(json.stdout);
    expect(document.schemaVersion).toBe(1);
    expect(document.exitCode).toBe(plain.code);
    if (words[0] === "showtable" && plain.code === 0) {
      expect(document.tables.some((one: { db: string }) => one.db === db)).toBe(true);
      expect(document.tables.some((one: { table: string }) => one.table === table)).toBe(true);
      expect(plain.stdout).toContain("d\"b'\\n\\x1b[31m\\u202e数 据\\x07; $(x)");
    }
  }
});

it("every command restores auto_failover after a dead run", async () => {
  const sandbox = await sandboxForTest({ autoFailover: true });
  const { model } = sandbox;
  const owner = {
    ...{ runId: "20260102T030405Z-1a2b3c4d", host: "elsewhere", pid: 4711, user: "other-user" },
    ...{ command: "openmldb-ops recoverdata", time: "2026-01-02T03:04:05.000Z" },
  };
  for (const { words } of everyCommand(sandbox)) {
    const conf = { key: "auto_failover", value: "false" };
    const address = sandbox.addressOf(sandbox.nameservers[0] ?? "");
    await callSandbox(address, NameServer.method.confSet, { conf });
    if (model.tree.get("/openmldb/ops_tool") === undefined) {
      model.tree.create("/openmldb/ops_tool", Buffer.alloc(0));
    }
    model.tree.create(MARKER, encode(owner, { original: true }));
    expect(model.leader?.autoFailover).toBe(false);
    const result = await ops(sandbox, words);
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).toContain("other-user");
    expect(model.leader?.autoFailover).toBe(true);
    expect(model.tree.get(MARKER)).toBeUndefined();
  }
});

describe("when servers are down", () => {
  it("a dead tablet is listed, and a call to it fails in one line", async () => {
    const sandbox = await sandboxForTest({ autoFailover: false, speed: 10 });
    const { leader, tid } = leaderOf(sandbox);
    sandbox.model.kill(leader);
    await noticedGone(sandbox, leader);
    const tablets = await ops(sandbox, ["showtablet"]);
    expect(tablets.code).toBe(0);
    expect(cells(tablets).find(([endpoint]) => endpoint === leader)?.[2]).toBe("kOffline");
    const at = `--endpoint=${leader}`;
    for (const words of [
      ["gettablestatus", at],
      ["getfollower", at, `--tid=${tid}`, "--pid=0"],
    ]) {
      expectRefused(await ops(sandbox, words), leader);
    }
    const status = await ops(sandbox, ["showtablestatus", "--filter=db1"]);
    expect(status.code).toBe(0);
    expect(status.stdout).toMatch(
      /db1\.t0 \[pid=0\]\[leader\]\[[^\]]+\]: state is kNotFound \(kOffline for \d+ s\)\n/,
    );
  });

  it("without a nameserver all commands fail in one line, except those that ask a tablet", async () => {
    const sandbox = await sandboxForTest({ autoFailover: false });
    const commands = everyCommand(sandbox);
    for (const name of sandbox.nameservers) {
      const process = sandbox.model.process(name);
      process.kill();
      if (process.session !== undefined) sandbox.model.tree.closeSession(process.session);
    }
    const results = await Promise.all(
      commands.map(async ({ name, words }) => ({ name, result: await ops(sandbox, words) })),
    );
    for (const { name, result } of results) {
      if (name === "gettablestatus" || name === "getfollower") {
        expect(result.code, result.stderr).toBe(0);
        expect(result.stderr).toContain("is queried anyway");
      } else {
        expect(result.code, result.stderr).toBe(4);
        expect(result.stderr).toContain("no nameserver is registered as leader");
      }
    }
  });
});
