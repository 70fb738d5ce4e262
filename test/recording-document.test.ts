import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { seededRandom } from "../src/sandbox/model/random.js";
import { parseRecording, readRecording } from "../src/sandbox/model/recording-document.js";
import { startSandbox } from "../src/sandbox/start.js";
import { disturbed } from "./fuzz/answers.js";
import { recordingPath } from "./helpers/sandbox.js";

const CALL = { endpoint: "h:1", path: "/x/Y", request_base64: "" };
const RIGHT = { zk_root_path: "/x", znodes: { "/x": { data_base64: "" } }, rpc: [CALL] };

test.each([
  ["no JSON", "{", "it is not JSON"],
  ["nested deeply", `{"zk_root_path":${"[".repeat(100_000)}`, "it is nested deeper"],
  ["JSON of something else", "[1]", "the document: "],
  ["no root path", { ...RIGHT, zk_root_path: 7 }, "zk_root_path: "],
  ["a root path that is none", { ...RIGHT, zk_root_path: "x" }, "zk_root_path: expected the path"],
  ["a path upwards", { ...RIGHT, zk_root_path: "/x/.." }, "zk_root_path: expected the path"],
  ["znodes without data", { ...RIGHT, znodes: { "/x": {} } }, "znodes./x.data_base64: "],
  [
    "data that is no base64",
    { ...RIGHT, znodes: { "/x": { data_base64: "?" } } },
    "znodes./x.data",
  ],
  ["znodes elsewhere", { ...RIGHT, znodes: { "/y": { data_base64: "" } } }, "znodes./y: it is not"],
  ["no calls", { ...RIGHT, rpc: undefined }, "rpc: "],
  [
    "a call without an answering server",
    { ...RIGHT, rpc: [CALL, { ...CALL, endpoint: "h" }] },
    "rpc[1].endpoint: ",
  ],
])("%s is refused as a recording, with the path of the bad field", (_, document, problem) => {
  const text = typeof document === "string" ? document : JSON.stringify(document);
  expect(() => parseRecording(text)).toThrow(
    expect.objectContaining({ code: "usage", message: expect.stringContaining(problem) }),
  );
});

test("a recording without an answer of a nameserver is refused", async () => {
  await expect(startSandbox({ recording: parseRecording(JSON.stringify(RIGHT)) })).rejects.toThrow(
    "it holds no answer of a nameserver",
  );
});

test("the row counts of a recording are checked, too", () => {
  const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-recording-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [path, rows] = [join(folder, "a.json"), join(folder, "rows.json")];
  writeFileSync(path, JSON.stringify(RIGHT));
  writeFileSync(rows, '{"a":{"db1.t0":-1}}');
  expect(() => readRecording(path)).toThrow(/^rows.json beside the recording: a.db1.t0: /);
  writeFileSync(rows, '{"a":{"db1.t0":7},"b":{}}');
  expect(readRecording(path).rows).toEqual(new Map([["db1.t0", 7]]));
  expect(() => readRecording("/dev/zero")).toThrow(
    /^the recording \/dev\/zero: it is not a regular/,
  );
});

test("a recording with randomly changed answers boots, or is refused", async () => {
  const recording = readRecording(recordingPath("names-1-healthy"));
  let booted = 0;
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = seededRandom(seed);
    const calls = recording.calls.map((call) => {
      const { path, response } = call;
      if (response === undefined || !random.chance(0.1)) return call;
      return { ...call, response: Buffer.from(disturbed(path, response, random, 0.1)) };
    });
    try {
      const sandbox = await startSandbox({ recording: { ...recording, calls }, speed: 100 });
      await sandbox.stop();
      booted += 1;
    } catch (error) {
      expect(error, `seed ${seed}`).toMatchObject({ code: "usage" });
    }
  }
  expect(booted).toBeGreaterThan(0);
  expect(booted).toBeLessThan(40);
});
