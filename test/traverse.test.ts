import type { MessageShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { TabletServer, type TraverseResponseSchema } from "../src/gen/openmldb/api_pb.js";
import { readRecording } from "../src/sandbox/model/recording-document.js";
import { recordedAnswers } from "../src/sandbox/model/recording-file.js";
import { type ModelCluster, modelCluster } from "./helpers/model-cluster.js";
import { recordingPath } from "./helpers/sandbox.js";
import "./helpers/fixed-cases.js";

type Answer = MessageShape<typeof TraverseResponseSchema>;

const TID = 2;
const SCOPE = { db: "db1", table: "t0", pid: 0 };

/** The records of one answer, each as `pk ts row`. */
function recordsOf({ pairs }: Answer): string[] {
  const bytes = Buffer.from(pairs);
  const records: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const total = bytes.readUInt32LE(at);
    const keyEnd = at + 16 + bytes.readUInt32LE(at + 4);
    const end = at + 8 + total;
    const key = bytes.toString("latin1", at + 16, keyEnd);
    records.push(
      `${key} ${bytes.readBigUInt64LE(at + 8)} ${bytes.toString("latin1", keyEnd, end)}`,
    );
    at = end;
  }
  expect(at).toBe(bytes.length);
  return records;
}

/** Walks a whole replica, `limit` rows a call. */
async function walk(cluster: ModelCluster, endpoint: string, limit: number): Promise<string[]> {
  const records: string[] = [];
  let place = {};
  for (;;) {
    const request = { tid: TID, pid: 0, limit, ...place };
    const answer = await cluster.at(endpoint, TabletServer.method.traverse, request);
    const page = recordsOf(answer);
    expect(answer).toMatchObject({ code: 0, count: page.length });
    records.push(...page);
    if (answer.isFinish) return records;
    place = { pk: answer.pk, ts: answer.ts, tsPos: answer.tsPos };
  }
}

function filled(storageMode: "memory" | "hdd", rows: number): ModelCluster {
  const cluster = modelCluster({ table: { storageMode } });
  cluster.model.put(rows);
  return cluster;
}

test.each(["memory", "hdd"] as const)(
  "%s: leader and followers return the same rows, page by page",
  async (mode) => {
    const cluster = filled(mode, 100);
    await cluster.pass(3_000);
    const whole = await walk(cluster, cluster.holders()[0], 1_000);
    expect(whole).toHaveLength(100);
    expect(new Set(whole).size).toBe(100);
    // In memory several rows have the same key and timestamp: only ts_pos shows where to continue.
    const places = new Set(whole.map((one) => one.split(" ").slice(0, 2).join()));
    expect(places.size < 100).toBe(mode === "memory");
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 101 }), fc.nat(2), async (limit, index) => {
        expect(await walk(cluster, cluster.holders()[index] ?? "", limit)).toEqual(whole);
      }),
      { seed: 1, numRuns: 30 },
    );
  },
);

test.each([
  ["lost", 99],
  ["other", 100],
  ["doubled", 101],
] as const)("a planted row (%s) is visible, although offsets are equal", async (how, count) => {
  const cluster = filled("memory", 100);
  await cluster.pass(3_000);
  const [leader, follower] = cluster.holders() as [string, string];
  cluster.model.plantRow({ ...SCOPE, tablet: follower }, 50n, how);
  const [own, its] = [await walk(cluster, leader, 16), await walk(cluster, follower, 16)];
  expect(its).toHaveLength(count);
  expect([...its].sort()).not.toEqual([...own].sort());
  const offsets = cluster.model.tablets.get(follower)?.replica(TID, 0)?.offset;
  expect(offsets).toBe(100n);
});

test("expired rows are gone from one replica, until it is loaded again", async () => {
  const cluster = filled("memory", 100);
  await cluster.pass(3_000);
  const follower = cluster.holders()[1] as string;
  const whole = await walk(cluster, follower, 16);
  cluster.model.expireRows({ ...SCOPE, tablet: follower }, 40n);
  const left = await walk(cluster, follower, 16);
  expect(left).toHaveLength(60);
  expect(whole).toEqual(expect.arrayContaining(left));
  const status = await cluster.at(follower, TabletServer.method.getTableStatus, {
    tid: TID,
    pid: 0,
  });
  expect(status.allTableStatus[0]).toMatchObject({ offset: 100n, recordCnt: 60n });
});

test("a page can skip the rest of a key, and rows with one timestamp", async () => {
  const cluster = filled("memory", 100);
  const ask = (fields: object) =>
    cluster.at(cluster.holders()[0], TabletServer.method.traverse, { tid: TID, pid: 0, ...fields });
  const first = await ask({ limit: 1 });
  const next = await ask({ limit: 1, pk: first.pk, ts: first.ts, skipCurrentPk: true });
  expect(next.pk).not.toEqual(first.pk);
  const single = recordsOf(await ask({ limit: 1_000, enableRemoveDuplicatedRecord: true }));
  const places = single.map((one) => one.split(" ").slice(0, 2).join());
  expect(new Set(places).size).toBe(single.length);
});

test("an unloaded replica answers 100, for rows and for its schema", async () => {
  const cluster = filled("memory", 1);
  const [leader] = cluster.holders();
  cluster.model.restart(leader);
  await cluster.pass(15_000);
  const id = { tid: TID, pid: 0 };
  expect((await cluster.at(leader, TabletServer.method.traverse, id)).code).toBe(100);
  expect((await cluster.at(leader, TabletServer.method.getTableSchema, id)).code).toBe(100);
});

test("recorded answers have the same layout and the same continuation", async () => {
  const recording = readRecording(recordingPath("rows-1-healthy"));
  const answers = recordedAnswers(recording, TabletServer.method.traverse);
  const walks = new Map<string, string[]>();
  for (const { address, request, answer } of answers) {
    const key = `${address} ${request.tid}`;
    const page = recordsOf(answer);
    expect(page).toHaveLength(answer.count);
    // The last record is at the position that the answer gives as its end.
    const place = `${Buffer.from(answer.pk).toString("latin1")} ${answer.ts} `;
    expect(page.at(-1)?.startsWith(place)).toBe(true);
    walks.set(key, [...(walks.get(key) ?? []), ...page]);
  }
  expect([...walks.values()].map((rows) => new Set(rows).size)).toEqual([40, 40, 40, 40, 40, 40]);
});
