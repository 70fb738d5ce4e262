import { expect, test } from "vitest";
import type { ProcessIo } from "../src/cli/process-io.js";
import { streamIo } from "../src/cli/stream-io.js";
import { runBin } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";

/** The lines of a stream, each one JSON object with a kind. */
function linesOf(stdout: string): { readonly kind: string; readonly [key: string]: unknown }[] {
  expect(stdout.endsWith("\n")).toBe(true);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test("a document in any pieces becomes one line, beside events", () => {
  const written: string[] = [];
  const out = (text: string) => void written.push(text);
  const io = streamIo({
    out,
    print: async (text: string) => out(text),
    hasWritten: () => written.length > 0,
  } as ProcessIo);
  for (const char of '{\n  "a": {\n    "text": "}\\n"\n  }\n}\n') io.out(char);
  io.event({ kind: "note", text: "between" });
  expect(io.hasWritten()).toBe(true);
  io.out('{"b":"18446744073709551615"}\n');
  expect(linesOf(written.join(""))).toEqual([
    { kind: "result", a: { text: "}\n" } },
    { kind: "note", text: "between" },
    { kind: "result", b: "18446744073709551615" },
  ]);
});

test("recoverdata streams its events as they happen, and the result last", async () => {
  const sandbox = await sandboxForTest({ speed: 40, autoFailover: true });
  await sandbox.outage({ withNameservers: false });
  const where = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  const [stream, again] = [
    await runBin(["recoverdata", "--output=ndjson", ...where]),
    await runBin(["recoverdata", "--output=json", ...where]),
  ];
  expect(stream.code, stream.stderr).toBe(0);
  const lines = linesOf(stream.stdout);
  const result = lines.pop();
  expect(result).toMatchObject({ kind: "result", command: "recoverdata", exitCode: 0 });
  expect(Object.keys(result ?? {}).slice(1)).toEqual(Object.keys(JSON.parse(again.stdout)));
  const kinds = new Set(lines.map(({ kind }) => kind));
  // A slow disk is warned of.
  kinds.delete("warning");
  expect([...kinds].sort()).toEqual([
    "note",
    "observed",
    "partition-ended",
    "plan",
    "step-ended",
    "step-started",
  ]);
  const ended = lines.filter(({ kind }) => kind === "step-ended");
  expect(ended.length).toBeGreaterThan(7);
  expect(ended[0]).toMatchObject({ result: "done", time: expect.stringMatching(/^\d{4}-.*Z$/) });
});

test("commands without events, and errors, are one line", async () => {
  const sandbox = await sandboxForTest({ speed: 40 });
  const where = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  const inspect = await runBin(["inspect", "--output=ndjson", ...where]);
  expect(inspect.code, inspect.stderr).toBe(0);
  expect(linesOf(inspect.stdout)).toMatchObject([{ kind: "result", command: "inspect" }]);
  const refused = await runBin(["inspect", "--output=ndjson", "--table=none", ...where]);
  expect(linesOf(refused.stdout)).toMatchObject([{ kind: "result", exitCode: 4, error: {} }]);
  const usage = await runBin(["inspect", "--output=ndjson", "--no_such_flag"]);
  expect(linesOf(usage.stdout)).toMatchObject([{ kind: "result", exitCode: 2, error: {} }]);
});
