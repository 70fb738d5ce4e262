import { describe, expect, test } from "vitest";
import { adviseOnRows } from "../src/diagnosis/rows-advice.js";
import { TabletServer } from "../src/gen/openmldb/api_pb.js";
import { adviceText } from "../src/model/advice.js";
import { comparePositions, segmentOf } from "../src/model/row-order.js";
import type { RowComparison, RowGroup } from "../src/model/rows.js";
import { addTo, eachRow, emptySums, isSameSums, positionOf } from "../src/observe/row-records.js";
import { jumpFrom } from "../src/observe/row-stretch.js";
import { type HeldRow, provenDifferences } from "../src/policy/differing-rows.js";
import { isExcluded, liveRule, walkedIndexes } from "../src/policy/rows-to-compare.js";
import { readRecording } from "../src/sandbox/model/recording-document.js";
import { recordedAnswers } from "../src/sandbox/model/recording-file.js";
import { print } from "./helpers/printing.js";
import { recordingPath } from "./helpers/sandbox.js";

const SEGMENTS = 8;

test("recorded rows of a real cluster: the same sums at every replica, in the expected order", () => {
  const recording = readRecording(recordingPath("rows-1-healthy"));
  const walks = new Map<string, { sums: ReturnType<typeof emptySums>; positions: unknown[] }>();
  for (const { address, request, answer } of recordedAnswers(
    recording,
    TabletServer.method.traverse,
  )) {
    const key = `${request.tid} ${address}`;
    const walk = walks.get(key) ?? { sums: emptySums(), positions: [] };
    walks.set(key, walk);
    const problem = eachRow(answer, (row) => {
      addTo(walk.sums, row);
      walk.positions.push(positionOf(row));
      return true;
    });
    expect(problem).toBeUndefined();
  }
  // The tables are memory tables and one on disk; see the README of the recording.
  const orders = [...walks].map(([key, { positions }]) => {
    const inOrder = (segCount: number) =>
      positions.every((one, at) => {
        const of = (position: unknown) => {
          const { pk, ts } = position as { pk: Uint8Array; ts: bigint };
          return { pk, ts, segment: segmentOf(pk, segCount) };
        };
        return at === 0 || comparePositions(of(positions[at - 1]), of(one)) <= 0;
      });
    return `${key.split(" ")[0]} ${inOrder(SEGMENTS) ? "memory" : inOrder(1) ? "disk" : "none"}`;
  });
  expect(orders.sort()).toEqual([
    "7 memory",
    "7 memory",
    "7 memory",
    "8 memory",
    "9 disk",
    "9 disk",
  ]);
  for (const [key, one] of walks) {
    expect(one.sums.rows).toBe(40);
    for (const [other, two] of walks) {
      const isSameTable = key.split(" ")[0] === other.split(" ")[0];
      expect(isSameSums(one.sums, two.sums)).toBe(isSameTable);
    }
  }
});

test("an invalid answer is reported, and never read beyond its end", () => {
  const record = Buffer.alloc(20);
  record.writeUInt32LE(12, 0);
  record.writeUInt32LE(2, 4);
  const all = (pairs: Uint8Array, count: number) => eachRow({ pairs, count }, () => true);
  expect(all(record, 1)).toBeUndefined();
  expect(all(record, 2)).toBe("it has 1 records and says 2");
  expect(all(record.subarray(0, 10), 1)).toContain("cut off");
  expect(all(record.subarray(0, 18), 1)).toContain("lengths that do not fit");
  record.writeUInt32LE(0xffffffff, 4);
  expect(all(record, 1)).toContain("lengths that do not fit");
});

describe("the selection of rows", () => {
  const NOW = 1_000_000_000_000;
  const HOUR = 3_600_000n;
  const at = (minutesAgo: number) => BigInt(NOW) - BigInt(minutesAgo) * 60_000n;
  const kept = (ttl: Parameters<typeof liveRule>[0], minutesAgo: number, rank: number) => {
    const rule = liveRule(ttl, NOW);
    return rule !== undefined && !isExcluded(rule, at(minutesAgo), rank);
  };

  test.each([
    // kind, hours, rows; then minutes of age and rank, and whether the row is compared
    ["absolute", 1n, 5n, 54, 99, true],
    ["absolute", 1n, 5n, 56, 1, false],
    ["absolute", 0n, 0n, 9_999_999, 9_999, true],
    ["latest", 1n, 5n, 9_999, 5, true],
    ["latest", 1n, 5n, 0, 6, false],
    ["absandlat", 1n, 5n, 9_999, 5, true],
    ["absandlat", 1n, 5n, 54, 6, true],
    ["absandlat", 1n, 5n, 56, 6, false],
    ["absandlat", 1n, 0n, 9_999, 6, true],
    ["absorlat", 1n, 5n, 56, 1, false],
    ["absorlat", 1n, 5n, 0, 6, false],
    ["absorlat", 1n, 0n, 56, 1, false],
    ["absorlat", 0n, 5n, 9_999, 5, true],
  ] as const)(
    "%s of %i h and %i rows: %i minutes old, rank %i",
    (kind, hours, latest, age, rank, isKept) => {
      expect(kept({ kind, absMs: hours * HOUR, latest }, age, rank)).toBe(isKept);
    },
  );

  test("the margin is half of a short TTL, and an unknown kind compares nothing", () => {
    const ttl = { kind: "absolute", absMs: 120_000n, latest: 0n } as const;
    expect([kept(ttl, 0, 1), kept(ttl, 1, 1)]).toEqual([true, false]);
    expect(liveRule(ttl, NOW)?.holdsMs).toBe(30_000);
    expect(liveRule({ ...ttl, kind: "unknown" }, NOW)).toBeUndefined();
  });

  test("memory tables: of indexes over the same columns only the first is walked", () => {
    const ttl = { kind: "absolute", absMs: 0n, latest: 0n } as const;
    const index = (name: string, columns: string, isDeleted = false) => ({
      name,
      columns,
      isDeleted,
      ttl,
    });
    const all = [index("a", "c"), index("b", "c"), index("gone", "d", true), index("e", "f")];
    const names = (mode: "memory" | "ssd") =>
      walkedIndexes(all, mode).indexes.map((one) => one.name);
    expect(names("memory")).toEqual(["a", "e"]);
    expect(names("ssd")).toEqual(["a", "b", "e"]);
    expect(walkedIndexes(all, "memory").shared).toEqual([
      "index b: OpenMLDB returns the rows of index a for it, which has the same key columns",
    ]);
    expect(walkedIndexes([], "memory").indexes).toMatchObject([{ name: undefined }]);
  });
});

describe("the proof of two readings", () => {
  const held = (copies: number, more: Partial<HeldRow> = {}): HeldRow => ({
    pk: Buffer.from("k"),
    ts: 1n,
    copies,
    isLastKept: false,
    ...more,
  });
  const reading = (copies: number) => new Map(copies === 0 ? [] : [["row", held(copies)]]);
  const judge = (leader: readonly [number, number], follower: readonly [number, number]) =>
    provenDifferences(
      [
        { endpoint: "L", first: reading(leader[0]), second: reading(leader[1]) },
        { endpoint: "F", first: reading(follower[0]), second: reading(follower[1]) },
      ],
      5,
    ).groups.map(({ have, isCopy, rows }) => `${have} ${rows}${isCopy ? " copies" : ""}`);

  test.each([
    ["the same", [1, 1], [1, 1], []],
    ["only the leader has it", [1, 1], [0, 0], ["L 1"]],
    ["only the follower has it", [0, 0], [1, 1], ["F 1"]],
    ["the follower has it twice", [1, 1], [2, 2], ["F 1 copies"]],
    ["the leader has it three times", [3, 3], [1, 1], ["L 2 copies"]],
    ["it came between the leader's readings", [0, 1], [1, 1], []],
    ["it came before the follower's second reading", [1, 1], [0, 1], []],
    ["it went before the leader's second reading", [1, 0], [0, 0], []],
    ["it went before the follower's second reading", [0, 0], [1, 0], []],
    ["one more came", [1, 2], [1, 2], []],
  ] as const)("%s", (_what, leader, follower, wanted) => {
    expect(judge(leader, follower)).toEqual(wanted);
  });

  test("of rows with one timestamp, replicas may keep different ones where the number is limited", () => {
    const one = new Map([["a", held(1, { isLastKept: true })]]);
    const other = new Map([["b", held(1, { isLastKept: true })]]);
    const of = (own: typeof one, its: typeof one) =>
      provenDifferences(
        [
          { endpoint: "L", first: own, second: own },
          { endpoint: "F", first: its, second: its },
        ],
        5,
      );
    expect(of(one, other)).toEqual({ groups: [], ambiguous: 2 });
    expect(of(one, new Map())).toMatchObject({ groups: [{ have: ["L"] }], ambiguous: 0 });
  });
});

describe("what to do", () => {
  const group = (have: string[], lack: string[], isCopy = false): RowGroup => ({
    have,
    lack,
    isCopy,
    rows: 1,
    examples: [],
  });
  const advice = (groups: RowGroup[], spare: string[]) => {
    const compared: RowComparison = {
      status: "different",
      leader: "a:1",
      followers: ["b:1", "c:1"],
      rows: 1,
      expired: 0,
      bytes: 1,
      differences: [{ index: "idx", groups }],
      notWalked: [],
      reasons: [],
      isSample: false,
    };
    const id = { db: "db1", table: "t0", tid: 1, pid: 0 };
    return adviceText(adviseOnRows(compared, { id, spare, print }));
  };

  test.each([
    [
      "a follower lacks rows",
      [group(["a:1", "c:1"], ["b:1"])],
      ["d:1"],
      "first: openmldb-ops addreplica --db=db1 --table=t0 --pid=0 --endpoint=d:1",
    ],
    [
      "the same without another tablet",
      [group(["a:1", "c:1"], ["b:1"])],
      [],
      "first: openmldb-ops delreplica --db=db1 --table=t0 --pid=0 --endpoint=b:1",
    ],
    ["a follower has rows twice", [group(["c:1"], ["a:1", "b:1"], true)], [], "--endpoint=c:1"],
    [
      "the leader lacks rows, and one follower has all",
      [group(["b:1", "c:1"], ["a:1"])],
      [],
      "changeleader --db=db1 --table=t0 --pid=0 --candidate=b:1",
    ],
    [
      "no replica has all",
      [group(["b:1"], ["a:1", "c:1"]), group(["a:1", "c:1"], ["b:1"])],
      ["d:1"],
      "rebuild no replica before that",
    ],
  ] as const)("%s", (_what, groups, spare, wanted) => {
    expect(advice([...groups], [...spare])).toContain(wanted);
  });
});

test("a random position has the common prefix of the keys of its table", () => {
  const key = (text: string) => ({ pk: Buffer.from(text), ts: 1n });
  let next = 0;
  const random = () => {
    next = (next + 0.37) % 1;
    return next;
  };
  const jumps = Array.from({ length: 20 }, () =>
    Buffer.from(jumpFrom(key("user-100-x"), key("user-250-y"), random).pk).toString(),
  );
  for (const one of jumps) expect(one).toMatch(/^user-\d\d\d-[a-z]$/);
  expect(new Set(jumps).size).toBeGreaterThan(5);
});
