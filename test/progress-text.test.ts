import { describe, expect, test } from "vitest";
import type { Op } from "../src/model/cluster-state.js";
import type { RunEvent } from "../src/model/outcome.js";
import type { Step } from "../src/model/step.js";
import { createPace, timeLeftText } from "../src/show/pace.js";
import { progressLine, progressLines } from "../src/show/progress-text.js";
import { createRunProgress, type RunProgress } from "../src/show/run-progress.js";

const TABLETS = ["10.0.0.1:9527", "10.0.0.2:9527", "10.0.0.3:9527"] as const;
const [A, B, C] = TABLETS;
const idOf = (pid: number) => ({ db: "db1", table: "t1", tid: 1, pid });
const partitions = (count: number) =>
  Array.from({ length: count }, (_, pid) => ({ id: idOf(pid), replicas: [A, B, C] }));

function stepOf(
  kind: "load-follower" | "replicate" | "wait-ops",
  pid: number,
  endpoint: string = A,
): Step {
  const id = idOf(pid);
  return kind === "wait-ops" ? { kind, id, why: "" } : { kind, id, endpoint, why: "" };
}

const migrate = (pid: number): Step => ({
  kind: "migrate",
  id: idOf(pid),
  endpoint: A,
  to: B,
  why: "",
});

function started(step: Step, mode: "round" | "list" = "round"): RunEvent {
  return { kind: "step-started", step, mode };
}

function ended(
  step: Step,
  result: "done" | "failed" | "stale" = "done",
  mode: "round" | "list" = "round",
): RunEvent {
  return { kind: "step-ended", step, mode, outcome: { result, detail: "why" }, tookMs: 1 };
}

function op(id: bigint, status: Op["status"], task = "kSendSnapshot", pid = 0): Op {
  const of = { db: "db1", table: "t1", pid, startTime: 0n, endTime: 0n };
  return { ...of, id, status, task, type: "kReAddReplicaOP" };
}

const lines = (progress: RunProgress, nowMs: number, columns = 80, rows = 20) =>
  progressLines("recoverdata", progress.view(nowMs), { columns, rows });

/** A recovery of 10 partitions in its 42nd second. */
function recovery(): RunProgress {
  const progress = createRunProgress(0);
  const add = (event: RunEvent) => progress.add(event, 1_000);
  add({ kind: "work", partitions: partitions(10) });
  for (let pid = 0; pid < 3; pid += 1) {
    add(started(stepOf("load-follower", pid, C)));
    add({ kind: "lane-ended", id: idOf(pid), failure: undefined });
  }
  const failure = { endpoint: A, step: "load-follower", detail: "x" } as const;
  add(ended(stepOf("replicate", 4, B)));
  add({ kind: "lane-ended", id: idOf(3), failure });
  add({ kind: "loads", endpoint: C, loading: 2 });
  add(started(stepOf("replicate", 4)));
  add(started(stepOf("wait-ops", 5)));
  add(started(stepOf("wait-ops", 6)));
  add({ kind: "ops", ops: [op(17n, "doing"), op(18n, "doing", "kLoadTable"), op(19n, "inited")] });
  add(ended(stepOf("load-follower", 3, A), "failed"));
  return progress;
}

describe("the progress of a recovery", () => {
  test("on 80 columns: phase, partitions, replicas, activity, ops, slowest tablet, last problem", () => {
    expect(lines(recovery(), 42_900)).toEqual([
      "recoverdata: loading (42 s)",
      "[########............] 4 of 10 partitions done (1 failed), 10 of 30 replicas",
      "2 loading, 1 waiting to load, 1 replicating, 2 waiting for ops",
      "ops: 1 queued, 2 running: 17 kSendSnapshot, 18 kLoadTable",
      "slowest tablet: 10.0.0.1:9527, 6 of 10 replicas left",
      "last problem: db1.t1:3: load-follower 10.0.0.1:9527: failed: why (1 ms)",
    ]);
  });

  test("in one line of a log", () => {
    expect(progressLine(recovery().view(42_900))).toBe(
      "still loading (42 s); 4 of 10 partitions done (1 failed), 10 of 30 replicas; 2 loading, 1 waiting to load, 1 replicating, 2 waiting for ops; ops: 1 queued, 2 running: 17 kSendSnapshot, 18 kLoadTable",
    );
  });

  test.each([1, 2, 10, 39, 40, 80, 200])("no line is wider than %d columns", (columns) => {
    const progress = recovery();
    const detail = `\x1b[2J\n${"数据".repeat(100)}`;
    const step = stepOf("replicate", 1);
    const outcome = { result: "failed", detail } as const;
    progress.add({ kind: "step-ended", step, mode: "round", outcome, tookMs: 1 }, 2_000);
    for (const line of lines(progress, 42_000, columns)) {
      expect(line.length).toBeLessThanOrEqual(Math.max(1, columns - 1));
      expect(line).not.toContain("\x1b");
    }
  });

  test("a low screen shows the first lines", () => {
    expect(lines(recovery(), 42_000, 80, 2)).toHaveLength(2);
    expect(lines(recovery(), 42_000, 80, 0)).toEqual([]);
  });

  test("reopened partitions are no longer done", () => {
    const progress = recovery();
    const again = [0, 3].map((pid) => ({ id: idOf(pid), replicas: [A, B, C] }));
    progress.add({ kind: "work", partitions: again }, 50_000);
    expect(progress.view(50_000).work).toMatchObject({
      of: 10,
      done: 2,
      left: 0,
      part: { of: 30, done: 7 },
    });
    for (const { id } of partitions(10)) {
      progress.add(started(stepOf("wait-ops", id.pid)), 60_000);
      progress.add({ kind: "lane-ended", id, failure: undefined }, 60_000);
    }
    const view = progress.view(60_000);
    expect(view.work).toMatchObject({ done: 10, left: 0, part: { of: 30, done: 30 } });
    expect(view.slowest).toBeUndefined();
  });
});

test("a partition without possible steps does not count as successful, nor do its replicas", () => {
  const progress = createRunProgress(0);
  progress.add({ kind: "work", partitions: partitions(2) }, 0);
  for (const { id } of partitions(2)) {
    progress.add({ kind: "lane-ended", id, failure: undefined }, 0);
  }
  expect(progress.view(0).work).toMatchObject({ done: 2, left: 2, part: { of: 6, done: 0 } });
});

describe("the progress of a planned operation", () => {
  test("moves are counted, and the oldest one in progress is named", () => {
    const progress = createRunProgress(0);
    const moves = Array.from({ length: 252 }, (_, pid) => migrate(pid));
    progress.add({ kind: "list", steps: moves }, 0);
    for (const move of moves.slice(0, 31)) {
      progress.add(started(move, "list"), 1_000);
      progress.add(ended(move, "done", "list"), 2_000);
    }
    progress.add(started(moves[31] as Step, "list"), 3_000);
    progress.add({ kind: "ops", ops: [op(40n, "doing", "kAddReplica", 31)] }, 3_000);
    expect(progressLines("scalein", progress.view(5_000), { columns: 80, rows: 20 })).toEqual([
      "scalein: waiting for ops (5 s)",
      "[##..................] 31 of 252 moves done",
      "1 waiting for ops",
      "ops: 0 queued, 1 running: 40 kAddReplica",
      "in progress (op 40): migrate db1.t1:31 10.0.0.1:9527 -> 10.0.0.2:9527",
    ]);
  });

  test("a list of several kinds counts actions, moves among them, and failures", () => {
    const progress = createRunProgress(0);
    const steps = [migrate(0), stepOf("wait-ops", 1)];
    progress.add({ kind: "list", steps }, 0);
    progress.add(started(migrate(0), "list"), 0);
    progress.add(ended(migrate(0), "stale", "list"), 0);
    expect(progressLine(progress.view(0))).toContain("1 of 2 actions done (1 failed), 1 of 1 move");
  });
});

test("the number of compared rows is shown as an estimate", () => {
  const progress = createRunProgress(0);
  const rows = { compared: 1, of: 4, rows: 2_500, expectedRows: 10_000 };
  for (let read = 250; read <= 2_500; read += 250) {
    progress.add({ kind: "rows", rows: { ...rows, rows: read } }, read * 8);
  }
  expect(progressLine(progress.view(20_000))).toBe(
    "still comparing rows (20 s); rows: 2,500 of about 10,000 read (25 %), 1 of 4 partitions compared; about 55 s left",
  );
  expect(progressLine(progress.view(10_000))).not.toContain("left");
  const none = createRunProgress(0);
  none.add({ kind: "rows", rows: { ...rows, rows: 0, expectedRows: 0 } }, 0);
  expect(progressLine(none.view(0))).toContain("(100 %)");
});

describe("the remaining time", () => {
  /** Adds one unit at each of these times. */
  function pace(times: readonly number[]) {
    const made = createPace(0);
    for (const ms of times) made.add(1, ms);
    return made;
  }
  const every = (stepMs: number, count: number, fromMs = 0) =>
    Array.from({ length: count }, (_, index) => fromMs + (index + 1) * stepMs);

  test("is computed from the pace of the last ten and of the last fifty", () => {
    const [least = 0, most = 0] = pace(every(1_000, 60)).left(60, 60_000) ?? [];
    expect([least, most]).toEqual([60_000, 60_000]);
    const slower = pace([...every(500, 60), ...every(1_000, 10, 30_000)]);
    const range = slower.left(30, 40_000) ?? [0, 0];
    expect(range[0]).toBeCloseTo(18_000, -3);
    expect(range[1]).toBe(30_000);
  });

  test("ignores a fast start: leaders are loaded, followers wait for ops", () => {
    const documented = pace([...every(50, 245), ...every(1_250, 40, 12_250)]);
    expect(documented.left(445, 62_250)?.map(Math.round)).toEqual([449_450, 556_250]);
  });

  test("is not shown if it would be a guess", () => {
    expect(pace(every(1_000, 9)).left(9, 60_000), "too few").toBeUndefined();
    expect(pace(every(100, 100)).left(100, 10_000), "too early").toBeUndefined();
    expect(pace(every(100, 100)).left(100, 120_000), "nothing of late").toBeUndefined();
    expect(pace([...every(50, 245), 20_000]).left(485, 24_000), "another kind").toBeUndefined();
    expect(pace(every(1_000, 60)).left(0, 60_000), "nothing is left").toBeUndefined();
  });

  test("is a range in words", () => {
    expect(timeLeftText([61_000, 140_000])).toBe("about 65 s to 3 min left");
    expect(timeLeftText([130_000, 170_000])).toBe("about 3 min left");
    expect(timeLeftText([130_000, 230_000])).toBe("about 3 to 4 min left");
    expect(timeLeftText([4_000_000, 8_000_000])).toBe("about 1 h 10 min to 2 h 15 min left");
    expect(timeLeftText([1, 2])).toBe("about 5 s left");
  });
});
