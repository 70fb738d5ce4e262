import { readFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { readInvocation } from "../src/cli/invocation.js";
import { createCluster } from "../src/cluster/connect.js";
import { gatherFacts } from "../src/commands/inspect-facts.js";
import { diagnose } from "../src/diagnosis/diagnose.js";
import { GRADES, gradePartition } from "../src/inspect/grade.js";
import { inspectFacts, RULES } from "../src/inspect/inspection.js";
import { inspectionText } from "../src/inspect/text-report.js";
import { adviceText } from "../src/model/advice.js";
import { PROBLEM_CODES } from "../src/model/problem.js";
import { finish } from "../src/model/work.js";
import { changeLeaderOperation } from "../src/operations/change-leader.js";
import { encode } from "../src/run/owner.js";
import { treeZooKeeper } from "../src/sandbox/znode-tree.js";
import { OWNER, SERVER_FAULTS, seeded } from "./helpers/inspect-faults.js";
import { PARTITION_FAULTS } from "./helpers/inspect-faults-partitions.js";
import { factsOf, summaryOf, wellCluster } from "./helpers/inspected.js";
import { print } from "./helpers/printing.js";
import { RECORDINGS, readRecording, replayTransport, replayZooKeeper } from "./helpers/replay.js";
import { partition } from "./helpers/view.js";

const FAULTS = [...SERVER_FAULTS, ...PARTITION_FAULTS];
const PLAIN = { hasColor: false, columns: Number.POSITIVE_INFINITY };

describe("every seeded fault is diagnosed exactly, without missing or wrong findings", () => {
  it.each(FAULTS)("$name", async (fault) => {
    expect(summaryOf(finish(inspectFacts(await seeded(fault))))).toEqual(fault.sees);
  });

  it("there is one for every rule, and for every problem that one observation can find", () => {
    const seen = FAULTS.flatMap((fault) => fault.sees).join("\n");
    const words = new Set(seen.split(/[\s:,]+/));
    // These problems appear only when a recovery loads or plans.
    const later = ["load-failed", "diverged", "unread", "leader-unavailable", "not-as-planned"];
    const codes = [...RULES.map((rule) => rule.code), ...PROBLEM_CODES];
    expect(codes.filter((code) => !words.has(code) && !later.includes(code))).toEqual([]);
    expect(GRADES.filter((grade) => !words.has(grade))).toEqual([]);
    expect(FAULTS.length).toBeGreaterThanOrEqual(40);
  });

  it("each code is explained in docs/inspect.md", () => {
    const page = readFileSync(new URL("../docs/inspect.md", import.meta.url), "utf8");
    const codes = [...RULES.map((rule) => rule.code), ...PROBLEM_CODES, ...GRADES];
    expect(codes.filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
  });

  it("codes are unique", () => {
    const codes = RULES.map((rule) => rule.code);
    expect(new Set(codes).size).toBe(codes.length);
  });

  it.each(FAULTS)("$name: the unhealthy partitions are the same as in recovery", async (fault) => {
    const facts = await seeded(fault);
    const { partitions } = finish(inspectFacts(facts));
    const unhealthy = facts.views
      .filter((view) => diagnose(view).length > 0)
      .map((view) => view.id);
    expect(new Set(partitions.map((one) => one.id))).toEqual(new Set(unhealthy));
  });
});

describe("what to type next", () => {
  const nexts = async (name: string) => {
    const fault = FAULTS.find((one) => one.name === name);
    if (fault === undefined) throw new Error(`there is no fault ${name}`);
    const { partitions, findings } = finish(inspectFacts(await seeded(fault)));
    return [...partitions, ...findings].map((one) => adviceText(one.next ?? []));
  };

  it.each([
    ["all tablets stopped and came back", ["run: openmldb-ops --cmd=recoverdata"]],
    ["auto_failover is off", ["run: openmldb-ops confset auto_failover true"]],
    ["a follower is not loaded", ["run: openmldb-ops recovertable --db=db1 --table=t0 --pid=0"]],
    [
      "one tablet is down, and no recovery has run yet",
      [
        "start tablet a:9527, then run: openmldb-ops --cmd=recoverdata; or, if it is lost for good: openmldb-ops --cmd=recoverdata --lost=a:9527; or, to recover without it, giving up what a:9527 acknowledged in its last 2 s: openmldb-ops changeleader --db=db1 --table=t0 --pid=1 --candidate=auto",
        "start tablet a:9527, then run: openmldb-ops --cmd=recoverdata; or, if it is lost for good: openmldb-ops --cmd=recoverdata --lost=a:9527",
      ],
    ],
    [
      "a table without a database, after an outage",
      ["run: openmldb-ops recovertable --db= --table=t0 --pid=0"],
    ],
    ["the marker of a killed run", ["run: openmldb-ops restore"]],
    ["an op makes no progress", ["run: openmldb-ops cancelop --op_id="]],
    [
      "the leader does not replicate to a follower, and writes continue",
      ["check whether it catches up: openmldb-ops getfollower --endpoint=c:9527 --tid=2 --pid=0"],
    ],
    [
      "a replica was removed from the record by hand",
      [
        "tablet b:9527 has it loaded although the record has no replica there: stop tablet b:9527, move the directory 2_0 out of its data folder, start it again; or start another tablet; then inspect again",
      ],
    ],
  ])("%s", async (name, wanted) => {
    const all = (await nexts(name)).join("\n");
    for (const next of wanted) expect(all).toContain(next);
  });
});

it("every advised command and its flags exist", async () => {
  const where = ["--zk_cluster=127.0.0.1:2181", "--zk_root_path=/openmldb"];
  const advised = new Set<string>();
  for (const fault of FAULTS) {
    const { partitions, findings } = finish(inspectFacts(await seeded(fault)));
    for (const { next } of [...partitions, ...findings]) {
      for (const { command } of next ?? []) {
        if (command !== undefined) advised.add(command.replace(/^openmldb-ops /, ""));
      }
    }
  }
  expect(advised.size).toBeGreaterThan(8);
  for (const line of advised) {
    const asked = readInvocation([...line.split(" "), ...where]);
    if (asked.kind !== "command") throw new Error(`${line} is no command`);
    expect(asked.entry.prepare(asked.line, {}).flags.output).toBe("table");
  }
});

it("an advised change of the leader is not refused", async () => {
  let advised = 0;
  for (const fault of FAULTS) {
    const facts = await seeded(fault);
    for (const { id, next } of finish(inspectFacts(facts)).partitions) {
      const line = next.find(({ command }) =>
        command?.startsWith("openmldb-ops changeleader "),
      )?.command;
      if (line === undefined) continue;
      const [, candidate] = /--candidate=(\S+)/.exec(line) ?? [];
      const options = { db: id.db, table: id.table, pid: id.pid, candidate };
      const operation = changeLeaderOperation({
        ...options,
        recovers: true,
        acceptsLoss: false,
        print,
      });
      expect(operation.plan(facts.state).steps[0]?.kind, fault.name).toBe("change-leader");
      advised += 1;
    }
  }
  expect(advised).toBeGreaterThan(0);
});

describe("grades", () => {
  it.each([
    ["c leader,alive 9 leader,normal,9 replicates b=9\nb follower,alive 9 offline", "one-left"],
    [
      "c leader,alive 9 leader,normal,9 replicates b=9 a=9\nb follower,alive 9 offline\na follower,alive 9 follower,normal,9",
      "degraded",
    ],
    [
      "c leader,alive 9 leader,snapshot-paused,9 replicates b=9\nb follower,alive 9 follower,normal,9",
      "untidy",
    ],
    ["c leader,alive 9 leader,normal,9\nb follower,dead 20 offline", "one-left"],
    ["c leader,dead 9 leader,normal,9", "down"],
  ])("%s", (replicas, grade) => {
    const view = partition(replicas);
    expect(gradePartition(view, diagnose(view)).grade).toBe(grade);
  });

  it.each(["load-failed", "diverged", "unread", "ahead", "rows-missing"] as const)(
    "%s puts rows at risk, whatever other findings there are",
    (code) => {
      const view = partition("c leader,alive 9 leader,normal,9\nb follower,dead 9 -");
      const problems = [...diagnose(view), { code, endpoint: "b", text: "x" }];
      expect(gradePartition(view, problems).grade).toBe("at-risk");
    },
  );

  it.each(["leader-unavailable", "not-as-planned"] as const)("%s is no longer an error", (code) => {
    const view = partition(
      "c leader,alive 9 leader,normal,9 replicates b=9\nb follower,alive 9 follower,normal,9",
    );
    const problems = [{ code, endpoint: undefined, text: "x" }];
    expect(gradePartition(view, problems).grade).toBe("degraded");
  });
});

describe("recordings of a real cluster", () => {
  const NOW = Date.parse("2026-10-07T12:00:00Z");

  async function inspectRecording(name: string) {
    const recording = readRecording(name);
    const zk = replayZooKeeper(recording);
    const clock = { now: () => NOW, wallTime: () => NOW, sleep: () => Promise.resolve() };
    const rootPath = recording.zk_root_path;
    const parts = { zk, transport: replayTransport(recording), clock, rootPath };
    const cluster = await createCluster({ ...parts, rpcTimeoutMs: 1_000 });
    const facts = await gatherFacts({
      cluster,
      zk,
      rootPath,
      zkHosts: ["zk1:2181"],
      db: undefined,
      table: undefined,
      maxLag: 10_000n,
      knownOffsetsStore: undefined,
      signal: new AbortController().signal,
      print,
    });
    // The times of the recorded ops are arbitrary, so their ages are not shown.
    return finish(inspectFacts({ ...facts, nowMs: 0 }));
  }

  test.each(RECORDINGS)("%s", async (name) => {
    const inspection = await inspectRecording(name);
    const lines = finish(inspectionText(inspection, { tookMs: 0, calls: 0 }, PLAIN));
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot(`golden/inspect-${name}.txt`);
  });

  test.each(["restart-1-healthy", "names-1-healthy"])("%s: no wrong finding", async (name) => {
    const inspection = await inspectRecording(name);
    const notes = inspection.findings.filter((one) => one.level === "note");
    expect(
      summaryOf({
        ...inspection,
        findings: inspection.findings.filter((one) => one.level !== "note"),
      }),
    ).toEqual(["healthy", "warning auto-failover-off cluster"]);
    expect(
      notes.every((one) => one.code.endsWith("single-replica") || one.code === "ops-failed"),
    ).toBe(true);
  });
});

it("a run that begins or ends between two reads is not reported as leftover", async () => {
  const virtual = await wellCluster();
  const { tree } = virtual.model;
  const path = "/openmldb/ops_tool";
  tree.create(`${path}/auto_failover`, encode(OWNER, { original: true }), { parents: true });
  tree.create(`${path}/lock`, encode(OWNER, {}));
  const zk = treeZooKeeper(tree);
  let asked = 0;
  const facts = await factsOf(
    virtual,
    {},
    {},
    {
      ...zk,
      getData: (at) => {
        // The lock is taken after its first read, and before the marker is read.
        if (at === `${path}/lock` && ++asked === 1) return Promise.resolve(undefined);
        return zk.getData(at);
      },
    },
  );
  expect(asked).toBe(2);
  expect(summaryOf(finish(inspectFacts(facts)))).toEqual([
    "healthy",
    "note auto-failover-held-off cluster",
    "note lock-held cluster",
  ]);
});
