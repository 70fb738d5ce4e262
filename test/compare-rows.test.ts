import { describe, expect, test } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import type { RowComparison } from "../src/model/rows.js";
import { type CompareOptions, compareRows } from "../src/observe/compare-rows.js";
import { provenDifferences } from "../src/policy/differing-rows.js";
import { liveRule } from "../src/policy/rows-to-compare.js";
import type { IndexSpec } from "../src/sandbox/model/indexes.js";
import { startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const SCOPE = { db: "db1", table: "t0", pid: 0 };

interface Filled {
  readonly virtual: VirtualCluster;
  readonly leader: string;
  readonly followers: readonly string[];
  compare(options?: Partial<CompareOptions>): Promise<RowComparison>;
}

async function filled(
  table: { readonly storageMode?: "memory" | "hdd"; readonly indexes?: readonly IndexSpec[] } = {},
  rows = 3_000,
): Promise<Filled> {
  const virtual = await startVirtualCluster();
  const { model, cluster, clock } = virtual;
  model.createTable({ db: "db1", table: "t0", partitions: 1, replicas: 3, ...table });
  model.put(rows);
  await virtual.pass(5_000);
  const { tid = 0, tablePartition: [part] = [] } = model.tables.find("t0", "db1") ?? {};
  const metas = part?.partitionMeta ?? [];
  const leader = metas.find((one) => one.isLeader)?.endpoint ?? "";
  const followers = metas.map((one) => one.endpoint).filter((one) => one !== leader);
  const { storageMode = "memory" } = table;
  return {
    virtual,
    leader,
    followers,
    compare: (options) =>
      clock.run(
        compareRows(
          {
            id: { ...SCOPE, tid },
            storageMode,
            leader,
            followers,
            missing: [],
            leaderRows: rows,
            rows,
          },
          {
            cluster,
            rules: { liveRule, provenDifferences },
            signal: new AbortController().signal,
            bytesPerSecond: 1e7,
            onRead: () => {},
            sampleRows: undefined,
            random: () => 0.5,
            ...options,
          },
        ),
        3_600_000,
      ),
  };
}

const KINDS: readonly (readonly [string, "memory" | "hdd", readonly IndexSpec[] | undefined])[] = [
  ["memory", "memory", undefined],
  ["hdd", "hdd", undefined],
  ...(["memory", "hdd"] as const).flatMap((mode) => [
    [`${mode}, two indexes`, mode, [{ name: "idx" }, { name: "idx2" }]] as const,
    [`${mode}, absolute`, mode, [{ name: "i", ttl: { type: "absolute", minutes: 60 } }]] as const,
    [`${mode}, latest`, mode, [{ name: "i", ttl: { type: "latest", rows: 30 } }]] as const,
    [
      `${mode}, absandlat`,
      mode,
      [{ name: "i", ttl: { type: "absandlat", minutes: 1, rows: 3 } }],
    ] as const,
    [
      `${mode}, absorlat`,
      mode,
      [{ name: "i", ttl: { type: "absorlat", minutes: 60, rows: 3 } }],
    ] as const,
  ]),
];

describe.each(KINDS)("%s", (_name, storageMode, indexes) => {
  const spec = indexes === undefined ? { storageMode } : { storageMode, indexes };

  test("replicas in sync are equal, and a planted row is found", async () => {
    const { virtual, leader, followers, compare } = await filled(spec);
    const before = await compare();
    expect(before).toMatchObject({ status: "same", differences: [], reasons: [] });
    expect(before.rows).toBeGreaterThan(40);
    const [first = "", second = ""] = followers;
    // The newest rows are live under every TTL.
    virtual.model.plantRow({ ...SCOPE, tablet: first }, 2_995n, "lost");
    const { status, differences } = await compare();
    expect(status).toBe("different");
    expect(differences).toHaveLength(indexes?.length ?? 1);
    for (const { groups } of differences) {
      const [group] = groups;
      expect(group).toMatchObject({ have: [leader, second], lack: [first], rows: 1 });
      expect(group?.isCopy).toBe(false);
    }
  });
});

test("a row that only one follower has, and a row that is there twice", async () => {
  const { virtual, leader, followers, compare } = await filled();
  const [first = "", second = ""] = followers;
  virtual.model.plantRow({ ...SCOPE, tablet: leader }, 500n, "lost");
  virtual.model.plantRow({ ...SCOPE, tablet: second }, 500n, "lost");
  virtual.model.plantRow({ ...SCOPE, tablet: first }, 500n, "doubled");
  const { differences } = await compare();
  expect(differences.flatMap((one) => one.groups)).toMatchObject([
    { have: [first], lack: [leader, second], isCopy: true, rows: 1 },
    { have: [first], lack: [leader, second], isCopy: false, rows: 1 },
  ]);
});

test("with writes, expiring rows and differing clocks no difference is reported", async () => {
  const ttl = { type: "absorlat", minutes: 20, rows: 150 } as const;
  const { virtual, leader, compare } = await filled({ indexes: [{ name: "i", ttl }] });
  const { model, clock } = virtual;
  await virtual.pass(40 * 60_000);
  for (const tablet of model.tablets.values())
    tablet.clockAheadMs = tablet.endpoint === leader ? 60_000 : -60_000;
  let isOver = false;
  const write = () => {
    if (isOver) return;
    model.put(7);
    clock.setTimer(40, write);
  };
  write();
  const found = await compare({ bytesPerSecond: 50_000 });
  isOver = true;
  expect(found).toMatchObject({ status: "same", reasons: [] });
  expect(found.expired).toBeGreaterThan(0);
});

test("a follower that does not catch up is not comparable now, never different", async () => {
  const { virtual, followers, compare } = await filled();
  const [first = ""] = followers;
  // The follower keeps reporting an old offset.
  const frozen: Cluster = {
    ...virtual.cluster,
    async getTableStatus(endpoint, of) {
      const reports = await virtual.cluster.getTableStatus(endpoint, of);
      return endpoint === first ? reports.map((one) => ({ ...one, offset: 1n })) : reports;
    },
  };
  virtual.model.plantRow({ ...SCOPE, tablet: first }, 500n, "lost");
  const { status, differences, reasons } = await compare({ cluster: frozen });
  expect({ status, differences }).toEqual({ status: "not-comparable", differences: [] });
  expect(reasons).toEqual([
    expect.stringContaining(`${first} is at offset 1 and did not reach 3000`),
  ]);
});

test("rows in an unexpected order are refused, not compared", async () => {
  const { virtual, followers, compare } = await filled();
  const backwards: Cluster = {
    ...virtual.cluster,
    async traverse(endpoint, request) {
      const { from, ...rest } = request;
      return virtual.cluster.traverse(
        endpoint,
        from === undefined ? request : { ...rest, from: undefined },
      );
    },
  };
  const { status, reasons } = await compare({ cluster: backwards });
  expect(status).toBe("not-comparable");
  expect(reasons).toEqual([expect.stringContaining("before the requested position")]);
  expect(followers).toHaveLength(2);
});

test("a sample reads about the wanted number of rows, from several positions", async () => {
  const { compare } = await filled({}, 20_000);
  const places = new Set<number>();
  let next = 0.11;
  const random = () => {
    next = (next * 7 + 0.13) % 1;
    places.add(next);
    return next;
  };
  const { status, rows, isSample } = await compare({ sampleRows: 400, random });
  expect({ status, isSample }).toEqual({ status: "same", isSample: true });
  expect(rows).toBeGreaterThanOrEqual(400);
  expect(rows).toBeLessThan(1_000);
  expect(places.size).toBeGreaterThan(8);
});
