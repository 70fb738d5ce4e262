import type { DescMessage, DescMethodUnary, JsonValue } from "@bufbuild/protobuf";
import { create, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { TabletServer } from "../src/gen/openmldb/api_pb.js";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import { loadRecording } from "../src/sandbox/model/recording.js";
import { readRecording } from "../src/sandbox/model/recording-document.js";
import {
  type Recording,
  recordedAnswers,
  renameAddresses,
} from "../src/sandbox/model/recording-file.js";
import { readRecordings } from "./helpers/recorded.js";
import { callSandbox, recordingPath, sandboxFromRecording } from "./helpers/sandbox.js";

const NAMES = readRecordings().map((recording) => recording.name);

/**
 * Fields in which a sandbox may differ from the recorded cluster: it counts entries, not bytes,
 * has no paths, and its processes are as old as the test.
 */
const NOT_MODELLED = new Set([
  "age",
  "recordByteSize",
  "recordIdxByteSize",
  "recordPkCnt",
  "idxCnt",
  "isExpire",
  "diskused",
  "snapshotPath",
  "binlogPath",
]);

function comparable(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !NOT_MODELLED.has(key))
      .map(([key, inner]) => [key, comparable(inner as JsonValue)]),
  );
}

/** Every recorded answer to `method`, and the answer of the sandbox to the same request. */
async function compare<I extends DescMessage, O extends DescMessage>(
  recording: Recording,
  method: DescMethodUnary<I, O>,
): Promise<{ recorded: JsonValue; sandbox: JsonValue }[]> {
  return Promise.all(
    recordedAnswers(recording, method).map(async ({ address, request, answer }) => {
      const own = await callSandbox(address, method, create(method.input, request));
      const line = (message: typeof answer) => ({
        call: `${method.name} ${address} ${JSON.stringify(toJson(method.input, request))}`,
        answer: comparable(toJson(method.output, message)),
      });
      return { recorded: line(answer), sandbox: line(own) };
    }),
  );
}

const COMPARED: readonly DescMethodUnary[] = [
  NameServer.method.showTable,
  NameServer.method.showTablet,
  NameServer.method.showDatabase,
  NameServer.method.showOPStatus,
  NameServer.method.confGet,
  TabletServer.method.getTableStatus,
  TabletServer.method.getTableFollower,
  TabletServer.method.getTermPair,
];

describe.each(NAMES)("%s", (name) => {
  test("answers as the recorded cluster did", async () => {
    const sandbox = await sandboxFromRecording(name, { speed: 0.1 });
    const recording = renameAddresses(readRecording(recordingPath(name)), sandbox.addresses);
    for (const method of COMPARED) {
      const answers = await compare(recording, method);
      expect(answers.length).toBeGreaterThan(0);
      expect(answers.map((pair) => pair.sandbox)).toEqual(answers.map((pair) => pair.recorded));
    }
  });

  test("has disks with the rows listed in its README", async () => {
    const cluster = loadRecording(readRecording(recordingPath(name)));
    const rows = new Map<string, bigint[]>();
    for (const tablet of cluster.tablets) {
      for (const { meta, pid, runs } of tablet.disk) {
        const key = `${meta.db}.${meta.name}/${pid}`;
        rows.set(key, [...(rows.get(key) ?? []), runs.at(-1)?.to ?? 0n]);
      }
    }
    const text = [...rows].map(([key, held]) => `${key} ${held.join(" ")}`).sort();
    expect(text.filter((line) => /^db\d/.test(line)).join("\n")).toBe(ROWS[name]);
  });
});

/** Rows of each user partition on the disks of the tablets that have it, in the order of the tablets. */
const ROWS: Readonly<Record<string, string>> = {
  "restart-1-healthy": restartRows(60),
  "restart-2-after-tablets-killed": restartRows(90),
  "restart-3-while-recovering": restartRows(90),
  "restart-4-one-replica-left": restartRows(90),
  "failover-1-two-flagged-leaders": restartRows(110).replace("t0/0 110 110 110", "t0/0 110 90 110"),
  "failover-2-everything-restarted": restartRows(110).replace(
    "t0/0 110 110 110",
    "t0/0 110 90 110",
  ),
  "autofailover-1-one-tablet-dead": autofailoverRows("120 50 120", "120 50 120"),
  "autofailover-2-everything-restarted": autofailoverRows("120 50 120", "120 50 120"),
  "autofailover-3-forty-seconds-later": autofailoverRows("120 50 120", "120 50 120"),
  "autofailover-4-after-the-old-tool": autofailoverRows("120 120 120", "50 50 50"),
  "names-1-healthy": "db1.t0/0 50 50 50\ndb1.t0/1 50 50 50",
  "names-2-after-tablets-killed": "db1.t0/0 50 50 50\ndb1.t0/1 50 50 50",
  "rows-1-healthy": threeTablets(40),
  "lost-1-one-tablet-stays-away": threeTablets(40),
  "lost-2-taken-off-the-record": threeTablets(40),
  "lost-3-back-with-its-old-disk": threeTablets(40),
  // 13923 is gone, and 13924 has the same directories.
  "moved-1-back-under-another-port": threeTablets(40).replaceAll("40 40 40", "40 40 40 40"),
  "moved-2-record-names-the-new-one": threeTablets(40),
  "oldrecord-1-everything-restarted": threeTablets(60),
};

function restartRows(n: number): string {
  const three = `${n} ${n} ${n}`;
  return [
    `db1.single0/0 ${n}`,
    `db1.t0/0 ${three}`,
    `db1.t0/1 ${three}`,
    `db1.t1/0 ${three}`,
    `db1.t1/1 ${three}`,
    "db2.disk0/0 40 40",
    "db2.disk0/1 40 40",
  ].join("\n");
}

function threeTablets(n: number): string {
  const three = `${n} ${n} ${n}`;
  return [
    `db1.single0/0 ${n}`,
    `db1.t0/0 ${three}`,
    `db1.t0/1 ${three}`,
    `db1.t0/2 ${three}`,
    `db2.disk0/0 ${n} ${n}`,
  ].join("\n");
}

function autofailoverRows(most: string, pid1: string): string {
  return [
    "db1.single0/0 50",
    `db1.t0/0 ${most}`,
    `db1.t0/1 ${pid1}`,
    `db1.t0/2 ${most}`,
    `db1.t0/3 ${most}`,
  ].join("\n");
}

test("rows-1: GetTableSchema answers as the recorded cluster did", async () => {
  const name = "rows-1-healthy";
  const sandbox = await sandboxFromRecording(name);
  const recording = renameAddresses(readRecording(recordingPath(name)), sandbox.addresses);
  const answers = await compare(recording, TabletServer.method.getTableSchema);
  expect(answers).toHaveLength(6);
  expect(answers.map((pair) => pair.sandbox)).toEqual(answers.map((pair) => pair.recorded));
});

test("entries carry the terms of the history, those of a dead ex-leader the terms before the newest", async () => {
  const { tablets } = loadRecording(
    readRecording(recordingPath("autofailover-2-everything-restarted")),
  );
  const terms = tablets.map(({ address, disk }) => {
    const dir = disk.find(({ meta, pid }) => meta.name === "t0" && pid === 1);
    const runs = dir?.runs.map(({ from, to, term }) => `${from}-${to} in term ${term}`);
    return `${address} ${dir?.meta.mode}: ${runs?.join(", ")}`;
  });
  expect(terms).toEqual([
    "127.0.0.1:15921 follower: 1-50 in term 1, 51-120 in term 3",
    "127.0.0.1:15922 leader: 1-50 in term 1",
    "127.0.0.1:15923 follower: 1-50 in term 1, 51-120 in term 3",
  ]);
});

test("a cluster with server names keeps the names and changes only their addresses", async () => {
  const sandbox = await sandboxFromRecording("names-2-after-tablets-killed");
  expect(sandbox.tablets).toEqual(["tablet-a", "tablet-b", "tablet-c"]);
  expect(sandbox.nameservers).toEqual(["ns-a", "ns-b"]);
});

test("a recording can be given another root path", async () => {
  const sandbox = await sandboxFromRecording("restart-1-healthy", { zkRootPath: "/a/b" });
  expect(sandbox.zkRootPath).toBe("/a/b");
  expect(sandbox.model.tree.children("/a/b/table/db_table_data")).toHaveLength(9);
  expect(sandbox.model.tree.get("/openmldb")).toBeUndefined();
  expect(sandbox.model.healthy()).toEqual([]);
});

test("addresses are replaced only by addresses of the same length", async () => {
  const recording = readRecording(recordingPath("restart-1-healthy"));
  const longer = new Map([["127.0.0.1:14921", "127.0.0.1:149211"]]);
  expect(() => renameAddresses(recording, longer)).toThrow(/the lengths differ/);
});
