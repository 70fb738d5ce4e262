import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { OpsError } from "../src/errors.js";
import { assertAppendable, assertUserFile, readUserFile } from "../src/util/user-file.js";

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-user-file-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string) => join(folder, name);
const read = (path: string, maxBytes = 100) => readUserFile(path, { where: "--x", maxBytes });

/** The message of the usage error that `work` ends with. */
function usageError(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(OpsError);
    expect((error as OpsError).code).toBe("usage");
    return (error as OpsError).message;
  }
  throw new Error("nothing was thrown");
}

writeFileSync(at("text"), "数据\n");
symlinkSync(at("text"), at("link"));
mkdirSync(at("folder"));
execFileSync("sh", ["-c", `mkfifo ${at("pipe")}`]);

describe("a file named by the user", () => {
  it("is read as UTF-8, through a symbolic link too", () => {
    expect(read(at("text"))).toBe("数据\n");
    expect(read(at("link"))).toBe("数据\n");
  });

  it("may be as long as its limit, and no longer", () => {
    writeFileSync(at("long"), "x".repeat(100));
    expect(read(at("long"))).toHaveLength(100);
    expect(usageError(() => read(at("long"), 99))).toBe("--x: it is larger than 99 bytes");
  });

  it("that is far too long is not read", () => {
    writeFileSync(at("sparse"), "");
    truncateSync(at("sparse"), 2 ** 40);
    expect(usageError(() => read(at("sparse")))).toBe("--x: it is larger than 100 bytes");
  });

  it.each([
    { path: "/dev/zero", error: "it is not a regular file" },
    { path: "/dev/null", error: "it is not a regular file" },
    { path: at("folder"), error: "it is a folder" },
    { path: at("none"), error: "there is no such file or folder" },
    { path: join(at("text"), "x"), error: "a part of the path is not a folder" },
    { path: `/${"x".repeat(5_000)}`, error: "the path is too long" },
  ])("$error: $path", ({ path, error }) => {
    expect(usageError(() => read(path))).toBe(`--x: ${error}`);
    expect(usageError(() => assertUserFile(path, "--x"))).toBe(`--x: ${error}`);
  });

  it("may not be a socket", async () => {
    const server = createServer().listen(at("socket"));
    await new Promise((resolve) => server.once("listening", resolve));
    expect(usageError(() => read(at("socket")))).toBe("--x: it is not a regular file");
    server.close();
  });

  it("may be a pipe with a writer, but not one without", () => {
    const kept = openSync(at("pipe"), constants.O_RDONLY | constants.O_NONBLOCK);
    execFileSync("sh", ["-c", `printf hello > ${at("pipe")}`]);
    expect(read(at("pipe"))).toBe("hello");
    closeSync(kept);
    expect(usageError(() => read(at("pipe")))).toBe("--x: nothing is written to this pipe");
  });

  it("may be a pipe of any length up to its limit", () => {
    const kept = openSync(at("pipe"), constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = spawn("sh", ["-c", `exec cat /dev/zero > ${at("pipe")}`]);
    expect(usageError(() => read(at("pipe"), 1_000_000))).toBe(
      "--x: it is larger than 1000000 bytes",
    );
    writer.kill();
    closeSync(kept);
  });
});

describe("a file to be appended to", () => {
  it("is created if it does not exist, and kept if it does", () => {
    assertAppendable(at("new"), "--x");
    expect(statSync(at("new")).size).toBe(0);
    writeFileSync(at("new"), "kept");
    assertAppendable(at("new"), "--x");
    expect(readFileSync(at("new"), "utf8")).toBe("kept");
  });

  it("may be a device", () => {
    expect(() => assertAppendable("/dev/null", "--x")).not.toThrow();
  });

  it("may not be a pipe without a reader, or a folder", () => {
    expect(usageError(() => assertAppendable(at("pipe"), "--x"))).toContain("nothing reads from");
    expect(usageError(() => assertAppendable(at("folder"), "--x"))).toBe("--x: it is a folder");
  });
});
