import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it, test } from "vitest";
import { createCluster } from "../src/cluster/connect.js";
import { realClock } from "../src/cluster/real-clock.js";
import { OpsError } from "../src/errors.js";
import { OPType, TaskStatus } from "../src/gen/openmldb/api_pb.js";
import { NameServer, ShowTableResponseSchema } from "../src/gen/openmldb/nameserver_pb.js";
import type { ClusterState, Op, ReplicaReport, TableClaim } from "../src/model/cluster-state.js";
import { replicaKey } from "../src/model/cluster-state.js";
import { finish } from "../src/model/work.js";
import { observe } from "../src/observe/cluster.js";
import { databasesOf, selectTables, tableNames } from "../src/show/known.js";
import { isLike, onlyName } from "../src/show/like.js";
import { OP_WORDS } from "../src/show/op-words.js";
import { assertOpPlaces, type OpOptions, selectOps, shownOps } from "../src/show/ops.js";
import { bytesText, timeText } from "../src/show/readable.js";
import { shownFollowers, shownReplicas } from "../src/show/replicas.js";
import { shownNameservers, shownTablets } from "../src/show/servers.js";
import { type Shown, shownText } from "../src/show/shown.js";
import { shownTableStatus, tableStatuses } from "../src/show/table-status.js";
import { shownDatabases, shownTables } from "../src/show/tables.js";
import { flagsOf } from "./helpers/flags-of.js";
import { RECORDINGS, readRecording, replayTransport, replayZooKeeper } from "./helpers/replay.js";

const ANY = { db: undefined, table: undefined } as const;
const ANY_OP: OpOptions = { ...ANY, pids: [], words: [], ids: [] };

function replayed(name: string) {
  const recording = readRecording(name);
  return createCluster({
    zk: replayZooKeeper(recording),
    transport: replayTransport(recording),
    clock: realClock,
    rootPath: recording.zk_root_path,
    rpcTimeoutMs: 1_000,
  });
}

function textOf(shown: Shown, hasColor: boolean): string {
  return [
    ...shownText(shown, {
      hasColor,
      columns: Number.POSITIVE_INFINITY,
      rows: Number.POSITIVE_INFINITY,
    }),
  ].join("");
}

/** The output of all show commands for a recording. */
async function everythingOf(name: string): Promise<string> {
  const cluster = await replayed(name);
  const [state, listed, claims] = await Promise.all([
    observe(cluster),
    cluster.showDatabase(),
    cluster.showTablet(),
  ]);
  const tables = selectTables(state.tables, listed, ANY);
  const times = state.ops.map((op) => Number(op.endTime || op.startTime) * 1000);
  const tablets = [...state.tablets.values()].flatMap(({ endpoint, reports }) =>
    reports === undefined
      ? []
      : [
          [
            `gettablestatus --endpoint=${endpoint}`,
            shownReplicas(endpoint, [...reports.values()], tableNames(state.tables, endpoint)),
          ] as const,
        ],
  );
  const parts = [
    ["showns", shownNameservers(state.topology, new Map())] as const,
    ["showtablet", shownTablets(claims, new Map())] as const,
    ["showdb", shownDatabases(databasesOf(listed, tables), tables)] as const,
    ["showtable", shownTables(tables, "none")] as const,
    [
      "showopstatus",
      shownOps(selectOps(state.ops, ANY_OP), Math.max(0, ...times), "none"),
    ] as const,
    ["showtablestatus", shownTableStatus(finish(tableStatuses(state, tables)), "none")] as const,
    ...tablets,
  ];
  await cluster.close();
  return parts.map(([command, shown]) => `$ ${command}\n${textOf(shown, false)}`).join("\n");
}

test.each(RECORDINGS)("the output for the recording %s", async (name) => {
  await expect(await everythingOf(name)).toMatchFileSnapshot(`golden/show-${name}.txt`);
});

test.each(RECORDINGS)("%s: rows and sizes equal the nameserver's sums", async (name) => {
  const recording = readRecording(name);
  const path = `/${NameServer.typeName}/ShowTable`;
  const answers = recording.rpc
    .filter((call) => call.path === path && call.response_base64 !== undefined)
    .map((call) =>
      fromBinary(ShowTableResponseSchema, Buffer.from(call.response_base64 ?? "", "base64")),
    )
    .filter((answer) => answer.code === 0 && answer.tableInfo.length > 0);
  expect(answers.length).toBeGreaterThan(0);
  const cluster = await replayed(name);
  const state = await observe(cluster);
  await cluster.close();
  for (const info of answers[0]?.tableInfo ?? []) {
    const table = state.tables.find((one) => one.tid === info.tid) as TableClaim;
    const sum = (of: (part: (typeof info.tablePartition)[number]) => bigint) =>
      info.tablePartition.reduce((total, part) => total + of(part), 0n);
    expect(finish(tableStatuses(state, [table]))[0]).toMatchObject({
      rows: sum((part) => part.recordCnt),
      memoryBytes: sum((part) => part.recordByteSize),
      diskBytes: sum((part) => part.diskused),
    });
  }
});

const REPORT: ReplicaReport = {
  tid: 7,
  pid: 0,
  role: "follower",
  state: "normal",
  offset: 5n,
  recordCount: 5n,
  memoryBytes: 10n,
  indexBytes: 20n,
  diskBytes: 0n,
};

const CLAIM = {
  isAlive: true,
  offset: 5n,
  recordCount: 5n,
  memoryBytes: 30n,
  diskBytes: 0n,
} as const;

const TABLE: TableClaim = {
  db: "db1",
  table: "t",
  tid: 7,
  segCount: 8,
  storageMode: "memory",
  replicaCount: 2,
  compressType: "kNoCompress",
  partitions: [
    {
      pid: 0,
      terms: [],
      replicas: [
        { ...CLAIM, endpoint: "a", isLeader: true },
        { ...CLAIM, endpoint: "b", isLeader: false },
      ],
    },
  ],
};

/** A cluster of the tablets a and b, with what they report; undefined for a silent one. */
function stateOf(
  reports: Readonly<Record<string, readonly Partial<ReplicaReport>[] | undefined>>,
  followers: readonly string[] | undefined,
): ClusterState {
  const tablets = Object.entries(reports).map(([endpoint, list]) => {
    const loaded = list?.map((one): [string, ReplicaReport] => {
      const report = { ...REPORT, ...one };
      return [replicaKey(report), report];
    });
    return [
      endpoint,
      {
        endpoint,
        claim: { endpoint, isHealthy: true, state: "kHealthy", ageMs: 1n, realEndpoint: "" },
        isRegistered: true,
        reports: loaded && new Map(loaded),
        silence: loaded === undefined ? "deadline" : undefined,
      },
    ] as const;
  });
  const list = followers && { offset: 5n, followers: new Map(followers.map((one) => [one, 5n])) };
  return {
    topology: { rootPath: "/o", leader: "n", standbys: [], tablets: ["a", "b"] },
    autoFailover: false,
    tablets: new Map(tablets),
    tables: [TABLE],
    followers: new Map(list === undefined ? [] : [["7/0@a", list]]),
    ops: [],
  };
}

describe("warnings of showtablestatus", () => {
  const LEADER = { role: "leader" } as const;
  const FAR = { tid: 9 } as const;

  it.each([
    { what: "nothing", reports: { a: [LEADER], b: [{}] }, followers: ["b"], warnings: [] },
    {
      what: "a follower that is not replicated to",
      reports: { a: [LEADER], b: [{}] },
      followers: [],
      warnings: ["[pid=0][follower][b]: not connected to leader"],
    },
    {
      what: "a leader that does not tell",
      reports: { a: [LEADER], b: [{}] },
      followers: undefined,
      warnings: ["[pid=0]: fail to get from tablet: a did not report its replication list"],
    },
    {
      what: "a replica that is not loaded",
      reports: { a: [LEADER], b: [FAR] },
      followers: ["b"],
      warnings: [
        "[pid=0]: real replica number 1 does not match the configured replicanum 2",
        "[pid=0][follower][b]: state is kNotFound",
      ],
    },
    {
      what: "a silent tablet",
      reports: { a: [LEADER], b: undefined },
      followers: ["b"],
      warnings: [
        "[pid=0]: real replica number 1 does not match the configured replicanum 2",
        "[pid=0][follower][b]: state is kNotFound (does not answer: deadline)",
      ],
    },
    {
      what: "nothing loaded anywhere",
      reports: { a: [], b: [] },
      followers: undefined,
      warnings: ["[pid=0]: real replica number 0 does not match the configured replicanum 2"],
    },
    {
      what: "the wrong role, and a leader that loads",
      reports: { a: [{ ...LEADER, state: "loading" as const }], b: [LEADER] },
      followers: ["b"],
      warnings: [
        "[pid=0][leader][a]: state is kTableLoading",
        "[pid=0][leader][b]: leader/follower mode inconsistent",
      ],
    },
    {
      what: "an instant before loading; a follower may load",
      reports: {
        a: [{ ...LEADER, state: "undefined" as const }],
        b: [{ state: "loading" as const }],
      },
      followers: ["b"],
      warnings: ["[pid=0][leader][a]: state is kTableUndefined"],
    },
  ])("$what", async ({ reports, followers, warnings }) => {
    const [status] = finish(tableStatuses(stateOf(reports, followers), [TABLE]));
    expect(status?.warnings).toEqual(warnings);
  });
});

describe("LIKE", () => {
  it.each([
    ["db1", "%", true],
    ["", "%", true],
    ["", "", true],
    ["db1", "", false],
    ["db1", "db_", true],
    ["db12", "db_", false],
    ["db", "db_", false],
    ["a_b", "a\\_b", true],
    ["axb", "a\\_b", false],
    ["50%", "50\\%", true],
    ["500", "50\\%", false],
    ["DB1", "db1", false],
    ["a\\b", "a\\\\b", true],
    ["db1", "db1\\", false],
    ["数据库", "数_库", true],
    ["😀", "_", true],
    ["a\nb", "a%b", true],
    ["aXbXc", "%b%", true],
    ["abcabd", "%abd", true],
    ["abcabc", "%abd", false],
    ["mississippi", "m%iss%ip%", true],
  ])("%j like %j: %s", (name, pattern, fits) => {
    expect(isLike(name, pattern)).toBe(fits);
  });

  it("is fast for every pattern", () => {
    expect(isLike("a".repeat(3_000), `${"%a".repeat(500)}%b`)).toBe(false);
  });

  it.each([
    ["db1", "db1"],
    ["a\\_b", "a_b"],
    ["a_b", undefined],
    ["%", undefined],
    ["a\\", undefined],
  ])("%j can match only %j", (pattern, name) => {
    expect(onlyName(pattern)).toBe(name);
  });
});

describe("readable", () => {
  it.each([
    [0n, "0 B"],
    [1023n, "1023 B"],
    [1024n, "1.0 KiB"],
    [8_853n, "8.6 KiB"],
    [1_048_575n, "1.0 MiB"],
    [2n ** 63n, "8.0 EiB"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(bytesText(bytes)).toBe(text);
  });

  it("times are UTC without milliseconds; 0 and invalid values give none", () => {
    expect(timeText(1_767_323_045n)).toBe("2026-01-02T03:04:05Z");
    expect(timeText(0n)).toBeUndefined();
    expect(timeText(2n ** 64n - 1n)).toBeUndefined();
  });
});

function op(id: bigint, more: Partial<Op> = {}): Op {
  const about = { db: "db1", table: "t", pid: 0, task: "-" };
  const times = { startTime: 100n, endTime: 103n };
  return { id, type: "kMigrateOP", status: "done", ...about, ...times, ...more };
}

describe("ops", () => {
  const ops = [
    op(12n, { status: "failed" }),
    op(3n, { type: "kRecoverTableOP" }),
    op(5n, { pid: 2, table: "u" }),
    op(9n, { pid: 4_294_967_295, status: "doing", endTime: 0n, task: "kAddReplica" }),
  ];
  const places = { ops, tables: [TABLE], databases: ["db1", "empty"] };

  it.each([
    { options: {}, ids: [3n, 5n, 9n, 12n] },
    { options: { table: "t" }, ids: [3n, 9n, 12n] },
    { options: { pids: [2, 0] }, ids: [3n, 5n, 12n] },
    { options: { words: ["kFailed", "kDoing"] }, ids: [9n, 12n] },
    { options: { words: ["kFailed", "kRecoverTableOP"] }, ids: [] },
    { options: { words: ["kDone", "kRecoverTableOP"] }, ids: [3n] },
    { options: { ids: [12n, 3n] }, ids: [3n, 12n] },
    { options: { db: "empty" }, ids: [] },
  ])("$options selects $ids", ({ options, ids }) => {
    expect(selectOps(ops, { ...ANY_OP, ...options }).map((one) => one.id)).toEqual(ids);
    expect(() => assertOpPlaces(places, { ...ANY_OP, ...options })).not.toThrow();
  });

  it.each([
    { options: { db: "db2" }, message: 'no database "db2"', hint: "did you mean db1?" },
    { options: { table: "tt" }, message: 'no table named "tt"', hint: "it has: t, u" },
    { options: { pids: [7] }, message: "no partition 7", hint: "it has: 0, 2" },
    { options: { ids: [13n] }, message: "no op 13", hint: "did you mean 12? it has: 12, 9, 5, 3" },
  ])("$options is refused", ({ options, message, hint }) => {
    const refuse = () => assertOpPlaces(places, { ...ANY_OP, ...options });
    expect(refuse).toThrow(OpsError);
    expect(refuse).toThrow(message);
    expect(refuse).toThrow(expect.objectContaining({ code: "refused" }));
    expect(refuse).toThrow(expect.objectContaining({ hint: expect.stringContaining(hint) }));
  });

  it("show a running op's time so far, and empty fields as such", () => {
    const lines = textOf(shownOps(selectOps(ops, ANY_OP), 163_500, "none"), false).split("\n");
    expect(lines[3]?.split(/ {2,}/)).toEqual([
      ...["", "9", "kMigrateOP", "db1", "t", "-", "kDoing"],
      ...["1970-01-01T00:01:40Z", "63s", "-", "kAddReplica"],
    ]);
    expect(shownOps(ops, 0, "none").json).toMatchObject({
      ops: [{ opId: 12n, tookMs: 3000n }, {}, {}, { pid: null, endTime: null, tookMs: 0n }],
    });
    expect(textOf(shownOps([], 0, "none"), false)).toBe("none\n");
  });

  it("can be filtered by every status and type that OpenMLDB has", () => {
    const names = (values: object) =>
      Object.values(values).filter((one) => typeof one === "string");
    expect([...OP_WORDS]).toEqual([...names(TaskStatus), ...names(OPType)]);
  });
});

it("followers are sorted, with their lag", () => {
  const list = {
    offset: 9n,
    followers: new Map([
      ["b", 9n],
      ["a", 4n],
      ["c", 10n],
    ]),
  };
  const shown = shownFollowers({ endpoint: "x", tid: 7, pid: 1 }, list);
  expect(textOf(shown, false)).toBe(
    [
      "tid  pid  leader_offset  follower  offset  lag",
      "  7    1              9  a              4    5",
      "  7    1              9  b              9    0",
      "  7    1              9  c             10    0",
      "",
    ].join("\n"),
  );
});

it("tables without partitions, without replicas and without a database are shown", () => {
  const bare = { ...TABLE, db: "", table: "bare", partitions: [] };
  const empty = { ...TABLE, partitions: [{ pid: 3, terms: [], replicas: [] }] };
  const rows = textOf(shownTables([bare, empty], "none"), false).split("\n");
  expect(rows[1]?.trim().split(/ +/)).toEqual(["-", "bare", "7", ..."-".repeat(8)]);
  expect(rows[2]?.trim().split(/ +/)).toEqual(["db1", "t", "7", "3", ..."-".repeat(7)]);
});

describe("flags", () => {
  const NEEDED = ["--zk_cluster=127.0.0.1:2181", "--zk_root_path=/openmldb"];

  it("have the defaults that help shows", () => {
    expect(flagsOf(["showtable", ...NEEDED])).toMatchObject(ANY);
    expect(flagsOf(["showtablestatus", ...NEEDED])).toMatchObject({ filter: "%" });
    expect(flagsOf(["showopstatus", ...NEEDED])).toMatchObject({
      ...{ ...ANY, pid: "all", filter: [], opId: [], wait: false },
      timeoutMs: 3_600_000,
    });
    expect(flagsOf(["gettablestatus", "--endpoint=a:1", ...NEEDED])).toMatchObject({
      ...{ endpoint: "a:1", tid: undefined, pid: undefined },
    });
  });

  it("read lists, given with commas or more than once", () => {
    const argv = [
      "--pid=0,2",
      "--pid=5-7,6",
      "--filter=failed,KMIGRATEOP",
      "--op_id=1,18446744073709551615",
    ];
    expect(flagsOf(["showopstatus", ...argv, ...NEEDED])).toMatchObject({
      pid: [0, 2, 5, 6, 7],
      filter: ["kFailed", "kMigrateOP"],
      opId: [1n, 2n ** 64n - 1n],
    });
  });
});
