import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Op } from "../src/model/cluster-state.js";
import { type PartitionView, viewPartitions } from "../src/model/partition-view.js";
import { NO_ATTEMPTS } from "../src/planning/attempt-history.js";
import { planDirect } from "../src/planning/direct.js";
import { isServing, isSuspect, servingLeader, trueOffset } from "../src/policy/what-it-holds.js";
import { decideLeader } from "../src/policy/who-may-lead.js";
import { partition } from "./helpers/view.js";
import "./helpers/fixed-cases.js";

const ONE = [{ term: 1n, offset: 0n }];
const TWO = [...ONE, { term: 3n, offset: 51n }];
const THREE = [...TWO, { term: 4n, offset: 71n }];

const decided = (view: PartitionView, attempts = NO_ATTEMPTS) => {
  const decision = decideLeader(view, attempts.cannotLoad);
  if ("blocked" in decision) return `${decision.blocked.code} ${decision.blocked.candidate ?? "-"}`;
  return `${decision.leader.endpoint} replicates to ${decision.joiners.map((one) => one.endpoint).join("")}`;
};
const steps = (view: PartitionView, attempts = NO_ATTEMPTS) =>
  planDirect(view, attempts).steps.map((one) => `${one.kind} ${one.endpoint ?? "*"}`);

describe("the choice of the leader by reported offsets", () => {
  test.each([
    [
      "the flagged leader, if no replica holds more",
      ONE,
      "a leader,alive 9 follower,normal,10\n b follower,alive 9 follower,normal,10",
      "a replicates to b",
    ],
    [
      "a follower that holds what the leader's disk lost",
      ONE,
      "a leader,alive 10 follower,normal,7\n b follower,alive 10 follower,normal,10",
      "b replicates to a",
    ],
    [
      "an ex-leader that goes beyond the start of a newer leadership with entries never leads",
      TWO,
      "a leader,dead 60 follower,normal,60\n b leader,alive 50 follower,normal,55\n c follower,alive 50 follower,normal,55",
      "b replicates to c",
    ],
    [
      "an ex-leader below that start is a plain prefix, and can follow",
      TWO,
      "a leader,dead 50 follower,normal,50\n b leader,alive 50 follower,normal,120",
      "b replicates to a",
    ],
    [
      "all marked not alive, and only one log goes beyond the point of divergence: it has everything",
      TWO,
      "a leader,dead 50 follower,normal,50\n b leader,dead 50 follower,normal,60",
      "b replicates to a",
    ],
    [
      "all marked not alive, one flagged: no other replica led after it",
      TWO,
      "a leader,dead 60 follower,normal,60\n b follower,dead 60 follower,normal,60",
      "a replicates to ",
    ],
    [
      "all marked not alive, and two logs go beyond the point of divergence: diverged",
      TWO,
      "a leader,dead 50 follower,normal,60\n b leader,dead 50 follower,normal,70",
      "diverged b",
    ],
    [
      "the disk of the newest leader is gone, and only the log of an ex-leader is left: it can be chosen",
      TWO,
      "a leader,dead 60 follower,normal,60\n b leader,alive 50 -",
      "diverged a",
    ],
    [
      "the newest leadership wrote nothing, and an ex-leader holds more: diverged",
      TWO,
      "a leader,dead 60 follower,normal,60\n b leader,alive 50 follower,normal,50",
      "diverged b",
    ],
    [
      "a follower marked not alive holds more than the alive leader: diverged",
      TWO,
      "a leader,alive 60 follower,normal,60\n b follower,dead 70 follower,normal,70",
      "diverged a",
    ],
    [
      "no alive replica is flagged, and a flagged leader marked not alive goes further than an alive follower",
      TWO,
      "a leader,dead 50 follower,normal,40\n b follower,alive 50 follower,normal,55\n c leader,dead 50 follower,normal,70",
      "diverged b",
    ],
    [
      "a replica marked not alive may have missed any leadership but the first",
      THREE,
      "a leader,dead 60 follower,normal,60\n b leader,alive 90 follower,normal,90\n c follower,alive 90 follower,normal,90",
      "b replicates to c",
    ],
    [
      "the leader is unreachable: leader-unavailable",
      ONE,
      "a leader,alive 9 offline\n b follower,alive 9 follower,normal,9",
      "leader-unavailable b",
    ],
    [
      "an unreachable replica has a greater known offset: rows-missing",
      ONE,
      "a leader,alive 9 follower,normal,7\n b follower,alive 9 silent",
      "rows-missing a",
    ],
    [
      "all replicas are empty below a known offset: rows-missing",
      ONE,
      "a leader,alive 9 follower,normal,0\n b follower,alive 9 follower,normal,0",
      "rows-missing a",
    ],
    [
      "no replica is flagged: no-leader-flagged",
      ONE,
      "a follower,alive 9 follower,normal,9",
      "no-leader-flagged -",
    ],
  ])("%s", (_name, terms, table, wanted) => {
    expect(decided(partition(table, { terms }))).toBe(wanted);
  });

  test("a leader whose load failed may hold more than all others: load-failed", () => {
    const view = partition("a leader,alive 9 -\n b follower,alive 9 follower,normal,9");
    const cannotLoad = new Map([
      ["a:9527", "failed"],
      ["a", "failed"],
    ] as const);
    expect(decided(view, { ...NO_ATTEMPTS, cannotLoad })).toBe("load-failed b");
    const empty = { ...NO_ATTEMPTS, cannotLoad: new Map([["a", "empty"]] as const) };
    expect(decided(view, empty)).toBe("b replicates to ");
    expect(steps(view, empty)).toEqual(["promote b", "set-flags b"]);
  });

  test("a replica ahead of the serving leader is never discarded: ahead", () => {
    const view = partition(`
      a leader,alive   9 leader,normal,9 replicates
      b follower,alive 12 follower,normal,12`);
    expect(planDirect(view)).toMatchObject({
      steps: [],
      blocked: { code: "ahead", endpoint: "b" },
    });
  });
});

describe("for any partition (a failure prints the seed that replays it)", () => {
  const line = fc
    .tuple(
      fc.constantFrom("leader,alive", "leader,dead", "follower,alive", "follower,dead"),
      fc.constantFrom("-", "50", "60"),
      fc.constantFrom(
        "-",
        "offline",
        "silent",
        "leader,normal,60",
        "leader,normal,50",
        "follower,normal,50",
        "follower,normal,60",
        "follower,normal,80",
        "follower,loading,0",
      ),
    )
    .map((parts) => parts.join(" "));
  const views = fc
    .tuple(fc.array(line, { minLength: 1, maxLength: 4 }), fc.constantFrom(ONE, TWO, THREE))
    .map(([lines, terms]) =>
      partition(lines.map((one, index) => `${"abcd"[index]} ${one}`).join("\n"), { terms }),
    );

  test("a promoted replica holds at least the entries of every replica of the surviving history", () => {
    let compared = 0;
    fc.assert(
      fc.property(views, (view) => {
        const lane = planDirect(view);
        const promoted = lane.steps.find(
          (one) => one.kind === "promote" || one.kind === "set-flags",
        );
        const leader = view.replicas.find((one) => one.endpoint === promoted?.endpoint);
        if (leader === undefined || servingLeader(view) !== undefined) return;
        for (const one of view.replicas.filter(isServing)) {
          if (isSuspect(view, one)) continue;
          compared += 1;
          expect(trueOffset(one)).toBeLessThanOrEqual(trueOffset(leader));
        }
      }),
      { numRuns: 500 },
    );
    expect(compared).toBeGreaterThan(50);
  });

  test("a replica of the surviving history that holds more than its leader gets no RecoverTable", () => {
    let compared = 0;
    // A replica that the leader cannot replicate to is rebuilt with RecoverTable.
    const cannotSync = fc.subarray(["a", "b", "c", "d"]);
    fc.assert(
      fc.property(views, cannotSync, (view, endpoints) => {
        const lane = planDirect(view, { ...NO_ATTEMPTS, cannotSync: new Set(endpoints) });
        const leader = view.replicas.find((one) => one.endpoint === lane.leader);
        for (const step of lane.steps.filter((one) => one.kind === "recover-table")) {
          const one = view.replicas.find((replica) => replica.endpoint === step.endpoint);
          if (one === undefined || leader === undefined || isSuspect(view, one)) continue;
          compared += 1;
          expect(trueOffset(one)).toBeLessThanOrEqual(trueOffset(leader));
        }
      }),
      { numRuns: 500 },
    );
    expect(compared).toBeGreaterThan(5);
  });

  test("demotions precede the promotion, and there is at most one promotion", () => {
    let withBoth = 0;
    fc.assert(
      fc.property(views, (view) => {
        const kinds = planDirect(view).steps.map((one) => one.kind);
        expect(kinds.filter((kind) => kind === "promote").length).toBeLessThanOrEqual(1);
        if (kinds.includes("promote") && kinds.includes("demote")) {
          withBoth += 1;
          expect(kinds.lastIndexOf("demote")).toBeLessThan(kinds.indexOf("promote"));
        }
      }),
      { numRuns: 500 },
    );
    expect(withBoth).toBeGreaterThan(5);
  });
});

describe("an ex-leader that followed again in an op that failed", () => {
  const view = partition(
    "a leader,dead 60 follower,normal,60\n b leader,alive 50 follower,normal,55",
    { terms: TWO },
  );

  test("may hold entries of the newest leadership: diverged", () => {
    expect(decided(view)).toBe("b replicates to ");
    expect(decided({ ...view, mayFollowUnflagged: true })).toBe("diverged b");
  });

  test.each([
    { type: "kReAddReplicaSimplifyOP", status: "failed", task: "kAddReplica", may: true },
    { type: "kReAddReplicaOP", status: "canceled", task: "kCheckBinlogSyncProgress", may: true },
    { type: "kReAddReplicaOP", status: "failed", task: "kSendSnapshot", may: undefined },
    { type: "kReAddReplicaOP", status: "done", task: "-", may: undefined },
    { type: "kChangeLeaderOP", status: "failed", task: "kSelectLeader", may: undefined },
  ] as const)("is known by $type $status at $task: $may", ({ may, ...op }) => {
    const ended: Op = {
      ...{ id: 9n, db: "db1", table: "t1", pid: 0, startTime: 1n, endTime: 2n },
      ...op,
    };
    const table = { db: "db1", table: "t1", tid: 7, segCount: 8, storageMode: "memory" as const };
    const partitions = [{ pid: 0, terms: [], replicas: [] }];
    const claim = { ...table, replicaCount: 2, compressType: "kNoCompress", partitions };
    const state = { tablets: new Map(), followers: new Map(), tables: [claim], ops: [ended] };
    expect(viewPartitions(state)[0]?.mayFollowUnflagged).toBe(may);
  });
});

describe("an alive follower that is longer than the newest leader", () => {
  test.each([
    ["may have it from an ex-leader that holds as much", 60, 60, "diverged b"],
    ["cannot have it from an ex-leader that holds less", 59, 60, "c replicates to b"],
    [
      "cannot have it from an ex-leader that ends before that leadership",
      50,
      60,
      "c replicates to ab",
    ],
    ["is no such follower at the leader's offset", 60, 55, "b replicates to c"],
  ])("%s", (_, exLeader, follower, decision) => {
    const view = partition(
      `a leader,dead    50 follower,normal,${exLeader}
       b leader,alive   50 follower,normal,55
       c follower,alive 50 follower,normal,${follower}`,
      { terms: TWO },
    );
    expect(decided(view)).toBe(decision);
  });

  test.each([
    [
      "of an older term than the history names for its last entry",
      { term: 1n, offset: 60n },
      "diverged b",
    ],
    ["of that term", { term: 3n, offset: 60n }, "c replicates to b"],
    ["that ends before that leadership", { term: 1n, offset: 50n }, "c replicates to b"],
  ])("has a snapshot %s", (_, snapshot, decision) => {
    const view = partition(
      `b leader,alive   50 follower,normal,55
       c follower,alive 50 follower,normal,60`,
      { terms: TWO },
    );
    const [leader, follower] = view.replicas;
    if (leader === undefined || follower === undefined) throw new Error("two replicas");
    expect(decided({ ...view, replicas: [leader, { ...follower, snapshot }] })).toBe(decision);
  });
});
