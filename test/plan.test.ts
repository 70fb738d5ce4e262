import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { diagnose } from "../src/diagnosis/diagnose.js";
import type { PartitionView, ReplicaView } from "../src/model/partition-view.js";
import { finish } from "../src/model/work.js";
import { planDirect } from "../src/planning/direct.js";
import { batchMarkDead, planDocumented } from "../src/planning/documented.js";
import { chooseLeader } from "../src/policy/flagged-leader.js";
import { servingLeader } from "../src/policy/what-it-holds.js";
import { partition } from "./helpers/view.js";
import "./helpers/fixed-cases.js";

const codes = (view: PartitionView) =>
  diagnose(view).map((one) => `${one.endpoint ?? "*"} ${one.code}`);
const steps = (view: PartitionView) =>
  planDocumented(view).steps.map((one) => `${one.kind} ${one.endpoint ?? "*"}`);
const chosen = (view: PartitionView) => {
  const choice = chooseLeader(view);
  return "leader" in choice ? choice.leader.endpoint : choice.blocked.code;
};

describe("diagnose", () => {
  test("a partition whose leader replicates to every follower is healthy", () => {
    const view = partition(`
      a leader,alive   10 leader,normal,12 replicates b=12 c=13
      b follower,alive 10 follower,normal,12
      c follower,alive -  follower,normal,12`);
    expect(codes(view)).toEqual([]);
    expect(planDocumented(view).steps).toEqual([]);
  });

  test("a follower without replication is detected although all flags look healthy", () => {
    const view = partition(`
      a leader,alive   10 leader,normal,10 replicates c=10
      b follower,alive 10 follower,normal,10
      c follower,alive 10 follower,normal,10`);
    expect(codes(view)).toEqual(["b not-linked"]);
    expect(steps(view)).toEqual(["mark-dead b", "recover-table b"]);
  });

  test("a follower below its leader's offset is behind, and is waited for first", () => {
    const view = partition(`
      a leader,alive   10 leader,normal,10 replicates b=9
      b follower,alive 10 follower,normal,9`);
    expect(codes(view)).toEqual(["b behind"]);
    expect(steps(view)).toEqual(["wait-sync b"]);
  });

  test("a leader that does not report its replication list leaves its followers link-unknown", () => {
    const view = partition(`
      a leader,alive   10 leader,normal,10
      b follower,alive 10 follower,normal,10`);
    expect(codes(view)).toEqual(["b link-unknown"]);
    expect(steps(view)).toEqual(["wait-sync b"]);
  });

  test("no replica flagged leader: no-leader-flagged, and nothing is done", () => {
    const view = partition(`
      a follower,alive 10 -
      b follower,alive 10 -`);
    expect(codes(view)).toEqual(["* no-leader-flagged", "a not-loaded", "b not-loaded"]);
    expect(planDocumented(view)).toMatchObject({
      steps: [],
      blocked: { code: "no-leader-flagged" },
    });
  });

  test("tablet-offline and tablet-silent are distinguished", () => {
    const view = partition(`
      a leader,alive   10 leader,normal,10 replicates
      b follower,alive 10 offline
      c follower,alive 10 silent`);
    expect(codes(view)).toEqual(["b tablet-offline", "c tablet-silent"]);
    expect(steps(view)).toEqual([]);
  });

  test("an unknown state is reported, not guessed: state-unknown", () => {
    const view = partition(`
      a leader,alive   10 leader,other,10
      b follower,alive 10 -`);
    expect(codes(view)).toContain("a state-unknown");
    expect(planDocumented(view)).toMatchObject({ steps: [], blocked: { code: "state-unknown" } });
  });
});

describe("which replica leads", () => {
  test.each([
    ["highest offset", "a leader,dead 90 -\n b leader,dead 110 -", "b"],
    ["an unknown offset ranks below a known one", "a leader,dead - -\n b leader,dead 0 -", "b"],
    ["equal offsets: alive first", "a leader,dead 50 -\n b leader,alive 50 -", "b"],
    [
      "equal and dead: loaded as leader first",
      "a leader,dead 5 -\n b leader,dead 5 leader,normal,5",
      "b",
    ],
    ["equal in everything: smallest endpoint", "b leader,dead 5 -\n a leader,dead 5 -", "a"],
    [
      "an ex-leader is never chosen over the one that led last",
      "a leader,dead 120 -\n b leader,alive - -",
      "b",
    ],
    [
      "nor if the one that led last is unreachable",
      "a leader,dead 9 -\n b leader,alive 9 silent",
      "leader-unavailable",
    ],
    ["offline", "a leader,alive 9 offline\n b follower,alive 9 -", "leader-unavailable"],
    ["no replica flagged", "a follower,alive 9 -", "no-leader-flagged"],
  ])("%s", (_name, table, wanted) => {
    expect(chosen(partition(table))).toBe(wanted);
  });

  test("a serving leader stays, whatever an ex-leader reports", () => {
    const view = partition(
      `
      a leader,dead    120 leader,normal,120
      b leader,alive   110 leader,normal,110 replicates c=110
      c follower,alive 110 follower,normal,110`,
      {
        terms: [
          { term: 1n, offset: 0n },
          { term: 3n, offset: 91n },
        ],
      },
    );
    expect(servingLeader(view)?.endpoint).toBe("b");
    expect(steps(view)).toEqual([]);
    const text =
      "it led, holds entries up to 120, and the term of b began after 90: RecoverTable would delete 30 entries that only it accepted from clients";
    expect(planDocumented(view).blocked).toEqual({
      code: "surplus",
      endpoint: "a",
      text,
      candidate: "b",
      loss: { atLeast: 30n, atMost: 30n },
      isOfLost: false,
    });
    expect(planDirect(view).blocked?.text).toBe(text);
    expect(planDirect(view, undefined, { accepted: "b" })).toMatchObject({
      steps: [
        { kind: "demote", endpoint: "a" },
        { kind: "recover-table", endpoint: "a" },
      ],
      givesUp: true,
    });
  });
});

describe("plan", () => {
  test("everything restarted: mark, load, mark alive, recover", () => {
    const view = partition(`
      a follower,alive 10 -
      b leader,alive   10 -
      c follower,alive 10 -`);
    expect(steps(view)).toEqual([
      "mark-dead a",
      "mark-dead b",
      "mark-dead c",
      "load-leader b",
      "mark-alive b",
      "recover-table a",
      "recover-table c",
    ]);
  });

  test("the alive flag is kept if it alone distinguishes the leader from an ex-leader", () => {
    const view = partition(`
      a leader,dead    50 -
      b leader,alive   50 -
      c follower,alive 50 -`);
    expect(steps(view)).toEqual([
      "mark-dead c",
      "load-leader b",
      "recover-table a",
      "recover-table c",
    ]);
  });

  test("a leader that runs as follower in kSnapshotPaused gets its role", () => {
    const view = partition(`
      a leader,dead  4 -
      b leader,alive 4 follower,snapshot-paused,4`);
    expect(steps(view)).toEqual(["change-role b", "recover-snapshot b", "recover-table a"]);
  });

  test("kSnapshotPaused alone is ended without other changes", () => {
    const view = partition(`
      a leader,alive   4 leader,snapshot-paused,4 replicates b=4
      b follower,alive 4 follower,normal,4`);
    expect(steps(view)).toEqual(["recover-snapshot a"]);
  });

  test("loads and ops of other clients are waited for", () => {
    const loading = partition("a leader,alive 4 leader,loading,2\n b follower,alive 4 -");
    expect(steps(loading)).toEqual(["wait-load a"]);
    const op = {
      id: 3n,
      type: "kRecoverTableOP",
      status: "doing",
      db: "db1",
      table: "t1",
      pid: 0,
      task: "-",
      startTime: 0n,
      endTime: 0n,
    } as const;
    const busy = partition("a leader,alive 4 -", { activeOps: [op] });
    expect(steps(busy)).toEqual(["wait-ops *"]);
  });

  test("marks of a table on an endpoint share one call only if all its replicas there are marked", async () => {
    const view = partition("a leader,alive 4 -\n b follower,alive 4 -");
    const lane = planDocumented(view);
    const second = { ...lane, id: { ...lane.id, pid: 1 } };
    const replicas = view.replicas.map((one) => one.claim);
    const table = {
      ...view.id,
      table: "t1",
      segCount: 8,
      storageMode: "memory" as const,
      replicaCount: 2,
      compressType: "kNoCompress",
    };
    const partitions = [0, 1].map((pid) => ({ pid, replicas, terms: [] }));
    expect(finish(batchMarkDead([lane, second], [{ ...table, partitions }]))).toEqual([
      { db: "db1", table: "t1", endpoint: "a", pid: undefined },
      { db: "db1", table: "t1", endpoint: "b", pid: undefined },
    ]);
    expect(
      finish(batchMarkDead([lane], [{ ...table, partitions }])).map((mark) => mark.pid),
    ).toEqual([0, 0]);
  });
});

describe("for any partition (a failure prints the seed that replays it)", () => {
  const line = fc
    .tuple(
      fc.constantFrom("leader,alive", "leader,dead", "follower,alive", "follower,dead"),
      fc.constantFrom("-", "0", "7", "9"),
      fc.constantFrom(
        "-",
        "offline",
        "silent",
        "leader,normal,9",
        "leader,snapshot-paused,7",
        "follower,normal,9",
        "follower,loading,0",
        "follower,other,0",
        "leader,undefined,0",
      ),
      fc.constantFrom("", " replicates", " replicates a=9 b=9 c=9", " replicates b=7"),
    )
    .map((parts) => `${parts[0]} ${parts[1]} ${parts[2]}${parts[3]}`);
  const views = fc
    .array(line, { minLength: 1, maxLength: 4 })
    .map((lines) => partition(lines.map((one, index) => `${"abcd"[index]} ${one}`).join("\n")));

  test("steps follow only from problems, and a blocked partition gets none", () => {
    const seen = { healthy: 0, blocked: 0, planned: 0 };
    fc.assert(
      fc.property(views, (view) => {
        const lane = planDocumented(view);
        const isHealthy = diagnose(view).length === 0;
        const isBlocked = lane.blocked !== undefined;
        if (isHealthy || isBlocked) expect(lane.steps).toEqual([]);
        seen[isHealthy ? "healthy" : isBlocked ? "blocked" : "planned"] += 1;
      }),
      { numRuns: 500 },
    );
    expect(Math.min(...Object.values(seen)), JSON.stringify(seen)).toBeGreaterThan(0);
  });

  test("the leader does not depend on the order in which replicas are listed", () => {
    fc.assert(
      fc.property(views, (view) => {
        const turned: PartitionView = { ...view, replicas: [...view.replicas].reverse() };
        expect(chosen(turned)).toBe(chosen(view));
      }),
    );
  });

  test("a healthy replica is never changed, and neither the leader nor a replica on an unusable tablet is recovered", () => {
    fc.assert(
      fc.property(views, (view) => {
        const lane = planDocumented(view);
        const isHealthy = (one: ReplicaView) =>
          !diagnose(view).some((problem) => problem.endpoint === one.endpoint);
        for (const step of lane.steps) {
          const replica = view.replicas.find((one) => one.endpoint === step.endpoint);
          if (replica === undefined) continue;
          expect(isHealthy(replica)).toBe(false);
          if (step.kind === "recover-table") {
            expect(replica.endpoint).not.toBe(lane.leader);
            expect(replica.tablet).toBe("ok");
          }
        }
      }),
    );
  });

  test("a lane never loads a second leader: at most one replica is loaded or given the role", () => {
    fc.assert(
      fc.property(views, (view) => {
        const leading = planDocumented(view).steps.filter(
          (one) => one.kind === "load-leader" || one.kind === "change-role",
        );
        expect(leading.length).toBeLessThanOrEqual(1);
        for (const one of leading) expect(one.endpoint).toBe(planDocumented(view).leader);
      }),
    );
  });
});
