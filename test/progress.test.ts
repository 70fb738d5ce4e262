import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { confirmed } from "../src/commands/ask.js";
import type { CommandIo } from "../src/commands/command.js";
import { startProgress } from "../src/commands/progress.js";
import type { RunEvent } from "../src/model/outcome.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Somebody at a terminal, and everything that is written to it. */
function terminal() {
  const stdin = new PassThrough();
  const written: string[] = [];
  const recorded: string[] = [];
  const log = (level: string) => (text: string) => written.push(`${level} ${text}`);
  const io = {
    stdin,
    stdout: { write: (text: string) => written.push(text) },
    stderr: { write: (text: string) => written.push(text) },
    isInteractiveStdin: true,
    isInteractiveStderr: true,
    log: {
      info: log("info"),
      warn: log("warn"),
      debug: log("debug"),
      error: log("error"),
      record: (level: string, text: string) => recorded.push(`${level} ${text}`),
    },
    hasColor: false,
    columns: 80,
    signal: new AbortController().signal,
    onSecondSignal: () => undefined,
  } as unknown as CommandIo;
  return { io, stdin, written, recorded };
}

test("a run that is silent shows that it lives; while a question is open nothing is written", async () => {
  const { io, stdin, written } = terminal();
  const progress = startProgress(io);
  await vi.advanceTimersByTimeAsync(12_000);
  expect(written).toEqual(["info still working: 0 steps under way, 0 partitions through"]);
  const { signal } = io;
  const flags = { yes: false, noInput: false };
  const asked = confirmed("go on? [y/N] ", { flags, io, signal });
  progress.onEvent({ kind: "warning", text: "ZooKeeper does not answer" });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(written.slice(1)).toEqual(["go on? [y/N] "]);
  stdin.write("y\n");
  expect(await asked).toBe(true);
  progress.onEvent({ kind: "note", text: "going on" });
  expect(written.slice(2)).toEqual(["warn ZooKeeper does not answer", "info going on"]);
  progress.stop();
});

test("what was held back is told even if nothing comes after it", async () => {
  const { io, stdin, written } = terminal();
  const progress = startProgress(io);
  const { signal } = io;
  const asked = confirmed("go on? ", { flags: { yes: false, noInput: false }, io, signal });
  progress.onEvent({ kind: "warning", text: "the lock was lost" });
  stdin.end("n\n");
  await expect(asked).rejects.toMatchObject({ code: "refused" });
  progress.stop();
  expect(written).toEqual(["go on? ", "warn the lock was lost"]);
});

/** The end of one step of the partition db1.t1:`pid`. */
function stepEnded(pid: number, result: "done" | "failed"): RunEvent {
  return {
    kind: "step-ended",
    step: {
      kind: "load-follower",
      id: { db: "db1", table: "t1", tid: 1, pid },
      endpoint: "a:1",
      why: "not-loaded",
    },
    mode: "round",
    outcome: { result, detail: "x" },
    tookMs: 1,
  };
}

test("with many partitions the screen counts them, and the log file has every step", async () => {
  const { io, written, recorded } = terminal();
  const progress = startProgress(io);
  progress.onEvent({ kind: "note", text: "80,000 partitions", partitions: 80_000 });
  for (let pid = 0; pid < 1_000; pid += 1) {
    progress.onEvent(stepEnded(pid, pid < 900 ? "done" : "failed"));
    const id = { db: "db1", table: "t1", tid: 1, pid };
    const failure = { endpoint: "a:1", step: "load-follower", detail: "x" } as const;
    progress.onEvent({ kind: "lane-ended", id, failure: pid < 900 ? undefined : failure });
  }
  expect(recorded).toHaveLength(900 + 50);
  const warnings = written.filter((line) => line.startsWith("warn"));
  expect(warnings).toHaveLength(50);
  expect(warnings[0]).toContain("db1.t1:900: load-follower a:1: failed: x");
  await vi.advanceTimersByTimeAsync(2_000);
  expect(written.at(-1)).toMatch(
    /^info still working: .*, 1000 of 80000 partitions through, 100 of them not recovered$/,
  );
  expect(written.filter((line) => line.startsWith("info"))).toHaveLength(2);
  progress.stop();
});

test("with few partitions every step has its line", () => {
  const { io, written, recorded } = terminal();
  const progress = startProgress(io);
  progress.onEvent({ kind: "note", text: "100 partitions", partitions: 100 });
  for (let pid = 0; pid < 100; pid += 1) progress.onEvent(stepEnded(pid, "done"));
  expect(written).toHaveLength(101);
  expect(recorded).toHaveLength(0);
  progress.stop();
});

test("with many partitions and no terminal, a line comes every 10 s while steps go on unseen", async () => {
  const { io, written } = terminal();
  const progress = startProgress({ ...io, isInteractiveStderr: false });
  progress.onEvent({ kind: "note", text: "101 partitions", partitions: 101 });
  const toldAt: number[] = [];
  for (let ms = 0; ms < 60_000; ms += 200) {
    progress.onEvent(stepEnded(ms / 200, "done"));
    const before = written.length;
    await vi.advanceTimersByTimeAsync(200);
    if (written.length > before) toldAt.push(ms + 200);
  }
  expect(written.slice(1).every((line) => line.startsWith("info still working: "))).toBe(true);
  expect(toldAt.length).toBeGreaterThanOrEqual(5);
  const pauses = toldAt.map((at, index) => at - (toldAt[index - 1] ?? 0));
  expect(Math.max(...pauses)).toBeLessThanOrEqual(10_000);
  progress.stop();
});
