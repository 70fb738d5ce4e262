import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { confirmed } from "../src/commands/ask.js";
import type { CommandIo } from "../src/commands/command.js";
import { startProgress } from "../src/commands/progress.js";

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
  const log = (level: string) => (text: string) => written.push(`${level} ${text}`);
  const io = {
    stdin,
    stdout: { write: (text: string) => written.push(text) },
    stderr: { write: (text: string) => written.push(text) },
    isInteractiveStdin: true,
    isInteractiveStderr: true,
    log: { info: log("info"), warn: log("warn"), debug: log("debug"), error: log("error") },
    hasColor: false,
    columns: 80,
    signal: new AbortController().signal,
    onSecondSignal: () => undefined,
  } as unknown as CommandIo;
  return { io, stdin, written };
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
