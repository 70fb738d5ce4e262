import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { confirmed } from "../src/commands/ask.js";
import type { CommandIo, DrawLive } from "../src/commands/command.js";
import { startProgress } from "../src/commands/progress.js";
import type { RunEvent } from "../src/model/outcome.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const INFO = { logLevel: "info" } as const;

/** The output on an interactive terminal, or in a file. */
function output(kind: "live" | "plain") {
  const stdin = new PassThrough();
  const written: string[] = [];
  const recorded: string[] = [];
  const records: object[] = [];
  let draw: DrawLive | undefined;
  const write = (text: string) => written.push(text);
  const log = (level: string) => (text: string) => {
    if (level !== "debug") written.push(`${level} ${text}`);
  };
  const io = {
    stdin,
    stdout: { write, event: (record: object) => records.push(record) },
    stderr: {
      write,
      ...(kind === "live" && {
        live: (next: DrawLive | undefined) => {
          draw = next;
        },
      }),
    },
    isInteractiveStdin: true,
    log: {
      info: log("info"),
      warn: log("warn"),
      debug: log("debug"),
      error: log("error"),
      record: (level: string, text: string) => recorded.push(`${level} ${text}`),
    },
    signal: new AbortController().signal,
  } as unknown as CommandIo;
  const block = () => draw?.({ columns: 80, rows: 20 });
  return { io, stdin, written, recorded, records, block };
}

const idOf = (pid: number) => ({ db: "db1", table: "t1", tid: 1, pid });

function work(count: number): RunEvent {
  const partitions = Array.from({ length: count }, (_, pid) => ({
    id: idOf(pid),
    replicas: ["a:1", "b:1", "c:1"],
  }));
  return { kind: "work", partitions };
}

/** One step for each of many partitions; its events share the same object. */
const STEPS = Array.from(
  { length: 1_000 },
  (_, pid) => ({ kind: "load-follower", id: idOf(pid), endpoint: "a:1", why: "x" }) as const,
);
const stepOf = (pid: number) => STEPS[pid] as (typeof STEPS)[number];

function stepStarted(pid: number): RunEvent {
  return { kind: "step-started", step: stepOf(pid), mode: "round" };
}

/** The end of one step of the partition db1.t1:`pid`. */
function stepEnded(pid: number, result: "done" | "failed"): RunEvent {
  const step = stepOf(pid);
  return { kind: "step-ended", step, mode: "round", outcome: { result, detail: "x" }, tookMs: 1 };
}

describe("without a live block", () => {
  test("a line every 10 s shows that any command is still running", async () => {
    const { io, written } = output("plain");
    const progress = startProgress(io, INFO, "verify");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(written).toEqual(["info still connecting (9 s)"]);
    progress.onEvent({ kind: "phase", phase: "looking" });
    progress.onEvent({ kind: "asked", of: 3, silent: new Set(["a:1", "b:1"]) });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(written[1]).toBe(
      "info still observing the cluster (19 s); 1 of 3 tablets have answered; no answer yet: a:1 and 1 more",
    );
    // Lines that go only to the log file do not count.
    for (let ms = 0; ms < 30_000; ms += 1_000) {
      progress.onEvent({ kind: "lane-ended", id: idOf(0), failure: undefined });
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(written).toHaveLength(5);
    progress.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(written).toHaveLength(5);
  });

  test("with few partitions every step has its line", () => {
    const { io, written, recorded } = output("plain");
    const progress = startProgress(io, INFO, "recoverdata");
    progress.onEvent(work(100));
    for (let pid = 0; pid < 100; pid += 1) progress.onEvent(stepEnded(pid, "done"));
    expect(written).toHaveLength(100);
    expect(recorded).toHaveLength(0);
    progress.stop();
  });

  test("with many partitions the screen counts them, and the log file has every step", async () => {
    const { io, written, recorded } = output("plain");
    const progress = startProgress(io, INFO, "recoverdata");
    progress.onEvent(work(80_000));
    for (let pid = 0; pid < 1_000; pid += 1) {
      progress.onEvent(stepStarted(pid));
      progress.onEvent(stepEnded(pid, pid < 900 ? "done" : "failed"));
      const failure = { endpoint: "a:1", step: "load-follower", detail: "x" } as const;
      progress.onEvent({
        kind: "lane-ended",
        id: idOf(pid),
        failure: pid < 900 ? undefined : failure,
      });
    }
    expect(recorded).toHaveLength(900 + 50);
    const warnings = written.filter((line) => line.startsWith("warn"));
    expect(warnings).toHaveLength(50);
    expect(warnings[0]).toContain("db1.t1:900: load-follower a:1: failed: x");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(written.at(-1)).toBe(
      "info still working (9 s); 1000 of 80000 partitions done (100 failed), 2700 of 240000 replicas",
    );
    progress.stop();
  });

  test("while a question is open nothing is written; events are shown after the answer", async () => {
    const { io, stdin, written } = output("plain");
    const progress = startProgress(io, INFO, "recoverdata");
    const flags = { yes: false, noInput: false };
    const asked = confirmed("go on? [y/N] ", { flags, io, signal: io.signal });
    progress.onEvent({ kind: "warning", text: "ZooKeeper does not answer" });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(written).toEqual(["go on? [y/N] "]);
    stdin.write("y\n");
    expect(await asked).toBe(true);
    progress.onEvent({ kind: "note", text: "going on" });
    expect(written.slice(1)).toEqual(["warn ZooKeeper does not answer", "info going on"]);
    progress.stop();
  });

  test("delayed events are shown even if no event follows", async () => {
    const { io, stdin, written } = output("plain");
    const progress = startProgress(io, INFO, "recoverdata");
    const flags = { yes: false, noInput: false };
    const asked = confirmed("go on? ", { flags, io, signal: io.signal });
    progress.onEvent({ kind: "warning", text: "the lock was lost" });
    stdin.end("n\n");
    await expect(asked).rejects.toMatchObject({ code: "refused" });
    progress.stop();
    expect(written).toEqual(["go on? ", "warn the lock was lost"]);
  });
});

describe("a live block", () => {
  test("appears at once, shows the activity, and is removed at the end; steps go to the log file", async () => {
    const { io, written, recorded, records, block } = output("live");
    const progress = startProgress(io, INFO, "recoverdata");
    expect(block()).toEqual(["recoverdata: connecting (0 s)"]);
    progress.onEvent({ kind: "note", text: "2 partitions" });
    progress.onEvent(work(2));
    progress.onEvent(stepEnded(0, "failed"));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(block()?.[0]).toBe("recoverdata: working (60 s)");
    expect(block()?.at(-1)).toBe("last problem: db1.t1:0: load-follower a:1: failed: x (1 ms)");
    expect(written).toEqual(["info 2 partitions"]);
    expect(recorded).toEqual(["warn db1.t1:0: load-follower a:1: failed: x (1 ms)"]);
    expect(records).toHaveLength(2);
    progress.stop();
    expect(block()).toBeUndefined();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(block()).toBeUndefined();
  });

  test("with --log_level=debug the log shows every step as well", () => {
    const { io, written } = output("live");
    const progress = startProgress(io, { logLevel: "debug" }, "recoverdata");
    progress.onEvent(work(1_000));
    progress.onEvent(stepEnded(0, "done"));
    expect(written).toHaveLength(1);
    progress.stop();
  });

  test("makes room for a question until it is answered", async () => {
    const { io, stdin, block } = output("live");
    const progress = startProgress(io, INFO, "recoverdata");
    const flags = { yes: false, noInput: false };
    const asked = confirmed("go on? ", { flags, io, signal: io.signal });
    await vi.advanceTimersByTimeAsync(5_000);
    progress.onEvent({ kind: "phase", phase: "looking" });
    expect(block()).toBeUndefined();
    stdin.write("y\n");
    await asked;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(block()?.[0]).toContain("observing the cluster");
    progress.stop();
  });
});
