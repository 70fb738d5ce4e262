import { describe, expect, test } from "vitest";
import { COMMANDS } from "../src/cli/command-table.js";
import type { CommonFlags } from "../src/cli/common-specs.js";
import { errorDocument, errorText } from "../src/cli/show-error.js";
import type { CommandIo } from "../src/commands/command.js";
import { showFailedObservation } from "../src/commands/watch.js";
import { OpsError } from "../src/errors.js";
import { runMain } from "./helpers/run-main.js";

const systemError = (code: string) =>
  Object.assign(new Error(`${code}: refused, open '/x'`), { code, syscall: "open" });

test.each([
  [
    systemError("EMFILE"),
    "EMFILE: refused, open '/x' (allow a process more open files: ulimit -n)",
  ],
  [
    systemError("ENOSPC"),
    "ENOSPC: refused, open '/x' (the disk is full: free some space, then run it again)",
  ],
  [new OpsError({ code: "refused", message: "no" }), "no"],
])("%s is reported with a hint", (error, text) => {
  expect(errorText(error)).toBe(text);
});

test("an unexpected error is reported as a bug, on the screen and in JSON", () => {
  const error = new TypeError("x is undefined");
  expect(errorText(error)).toContain("this is a bug");
  expect(JSON.parse(errorDocument(error, 1)).error.code).toBe("unexpected");
});

describe("with --output=json every command fails in one shape", () => {
  const shape = {
    code: "zookeeper-unreachable",
    message: expect.any(String),
    hint: expect.any(String),
  };

  test.each(
    COMMANDS.flatMap(({ name, specs }) =>
      specs.some((spec) => spec.name === "dry_run") || ["history", "config"].includes(name)
        ? []
        : [name],
    ).filter((name) => !["completion", "sandbox"].includes(name)),
  )("%s", async (command) => {
    const words = command === "getfollower" ? ["1", "0", "--endpoint=127.0.0.1:1"] : [];
    const where = ["--zk_cluster=127.0.0.1:1", "--zk_root_path=/openmldb", "--zk_timeout=100ms"];
    const { stdout, code } = await runMain([command, ...words, ...where, "--output=json"]);
    expect(JSON.parse(stdout)).toEqual({ schemaVersion: 1, command, exitCode: code, error: shape });
  });

  test("an observation of --watch too, with its time", () => {
    let stdout = "";
    const io = { stdout: { write: (text: string) => (stdout += text) } } as unknown as CommandIo;
    const error = new OpsError({ code: "no-leader", message: "nothing leads", hint: "start one" });
    const flags = { output: "json" } as CommonFlags;
    showFailedObservation({ command: "showtablet", flags, io }, error, { show: () => {} });
    expect(JSON.parse(stdout)).toEqual({
      schemaVersion: 1,
      command: "showtablet",
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      exitCode: 4,
      error: { code: "no-leader", message: "nothing leads", hint: "start one" },
    });
  });
});
