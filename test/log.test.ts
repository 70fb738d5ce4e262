import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { LogLevel } from "../src/cli/common-specs.js";
import { openLog } from "../src/log.js";
import { openLogFile } from "../src/log-file.js";

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-log-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

function openLogTo(path: string, level: LogLevel, write: (line: string) => void) {
  return openLog({ level, write, file: openLogFile(path, level, write) });
}

/** Opens a log with a new file; the texts for the terminal are in `shown`. */
function openTestLog(level: LogLevel) {
  const shown: string[] = [];
  const path = join(folder, `${files++}.log`);
  const log = openLogTo(path, level, (line) => shown.push(line));
  const fileLines = () =>
    readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line): Record<string, unknown> => JSON.parse(line));
  return { log, shown, path, fileLines };
}

describe("the log", () => {
  it("has written every line when it is closed, in order", async () => {
    const { log, shown, fileLines } = openTestLog("info");
    const messages = Array.from({ length: 2000 }, (_, index) => `line ${index}`);
    for (const message of messages) log.info(message);
    await log.close();
    expect(fileLines().map((line) => line["message"])).toEqual(messages);
    expect(shown.map((line) => line.replace(/^\d\d:\d\d:\d\d /, ""))).toEqual(
      messages.map((message) => `${message}\n`),
    );
  });

  it("never throws, even if its sink does", async () => {
    const write = () => {
      throw new Error("the terminal is gone");
    };
    const path = join(folder, `${files++}.log`);
    const log = openLogTo(path, "debug", write);
    for (const say of [log.error, log.warn, log.info, log.debug]) say("something");
    await log.close();
    log.info("something else");
    expect(readFileSync(path, "utf8").match(/something/g)?.length).toBeGreaterThanOrEqual(3);
  });

  it("shows lines from its level up, and writes lines from info up to the file", async () => {
    const { log, shown, fileLines } = openTestLog("warn");
    log.debug("d");
    log.info("i");
    log.warn("w");
    log.record("error", "file only");
    await log.close();
    expect(shown).toHaveLength(1);
    expect(shown[0]).toMatch(/^\d\d:\d\d:\d\d warn: w\n$/);
    expect(fileLines().map((line) => [line["level"], line["message"]])).toEqual([
      ["info", "i"],
      ["warn", "w"],
      ["error", "file only"],
    ]);
  });

  it("writes one line for each message, whatever its content", async () => {
    const { log, shown, fileLines } = openTestLog("info");
    log.info("a\nb\x1b[2J");
    await log.close();
    expect(shown).toHaveLength(1);
    expect(shown[0]).toMatch(/^[^\n]* a\\nb\\x1b\[2J\n$/);
    expect(fileLines()[0]).toMatchObject({ message: "a\nb\x1b[2J" });
  });

  it("appends to an existing file", async () => {
    const path = join(folder, "old.log");
    writeFileSync(path, '{"message":"old"}\n');
    const log = openLogTo(path, "info", () => {});
    log.info("new");
    await log.close();
    expect(readFileSync(path, "utf8")).toMatch(/^{"message":"old"}\n{.*"message":"new".*}\n$/);
  });

  it("reports a full disk once, and continues", async () => {
    const shown: string[] = [];
    const log = openLogTo("/dev/full", "info", (line) => shown.push(line));
    log.info("one");
    log.info("two");
    await log.close();
    expect(
      shown.filter((line) => line.includes("no more is written to the log file")),
    ).toHaveLength(1);
    expect(shown.some((line) => line.endsWith(" two\n"))).toBe(true);
  });
});
