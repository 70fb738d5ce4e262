import { describe, expect, it } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import { resolveEndpoint } from "../src/cluster/topology.js";
import { OpsError } from "../src/errors.js";
import { recoverData } from "../src/execution/recover.js";
import type { Rules } from "../src/execution/rules.js";
import { adviceText } from "../src/model/advice.js";
import type { TableClaim } from "../src/model/cluster-state.js";
import { refuseCrossedAddresses } from "../src/observe/addresses-refused.js";
import { foreignSchema, foreignTables, recordedTables } from "../src/policy/tablet-identity.js";
import { watchMutations } from "../src/run/watch-mutations.js";
import { treeZooKeeper } from "../src/sandbox/znode-tree.js";
import { jsonText } from "../src/util/text.js";
import { again, print } from "./helpers/printing.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const A = "a:9527";

/** Three tablets after an outage of all of them, db1.t0 with two partitions of three replicas. */
async function afterOutage(): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster();
  virtual.model.createTable({ db: "db1", table: "t0", partitions: 2, replicas: 3 });
  virtual.model.put(30);
  await virtual.pass(5_000);
  virtual.model.outage();
  await virtual.pass(20_000);
  return virtual;
}

/** Recovers with changed answers. @returns The report, and the changes that were sent to tablet A. */
async function recoverThrough(
  virtual: VirtualCluster,
  spoil: (real: Cluster) => Partial<Cluster>,
  rules: Partial<Rules> = {},
) {
  const sent: string[] = [];
  const real: Cluster = { ...virtual.cluster, ...spoil(virtual.cluster) };
  const watched = watchMutations(real, {
    async before({ method, target, args }) {
      if (jsonText([target, args]).includes(A)) sent.push(method);
    },
    after: () => Promise.resolve(),
  });
  const result = await virtual.clock.run(
    recoverData(watched, {
      rules,
      limits: LIMITS,
      signal: new AbortController().signal,
      onEvent: (event) => virtual.events.push(event),
      again,
      print,
    }),
    7_200_000,
  );
  if (!("report" in result)) throw result.error;
  return { report: result.report, sent };
}

describe("a tablet of another cluster", () => {
  it("whose tables have other names is detected before any change is sent to it", async () => {
    const virtual = await afterOutage();
    const { report, sent } = await recoverThrough(virtual, (real) => ({
      async getTableStatus(endpoint, of) {
        const reports = await real.getTableStatus(endpoint, of);
        if (endpoint !== A) return reports;
        const foreign = { tid: 2, pid: 0, role: "leader", state: "normal", offset: 9n } as const;
        const empty = { recordCount: 9n, memoryBytes: 0n, indexBytes: 0n, diskBytes: 0n };
        return [{ ...foreign, ...empty, table: "users" }];
      },
    }));
    expect(sent).toEqual([]);
    expect(report.absentTablets).toEqual([
      expect.objectContaining({
        endpoint: A,
        absence: {
          kind: "not-what-it-says",
          mismatch: expect.stringContaining(
            'it has loaded table "users" as tid 2, which is "t0" here',
          ),
        },
      }),
    ]);
    // A partition that it may be leading elsewhere is left alone, the other is recovered.
    expect(report.partitions.map(({ status, failure }) => [status, failure?.decision])).toEqual([
      ["unhealthy", undefined],
      ["unhealthy", undefined],
    ]);
    expect(report.partitions.filter((one) => one.isServing)).toHaveLength(1);
    expect(adviceText(report.partitions[0]?.next ?? [])).toMatch(
      /^correct the address of tablet a:9527 /,
    );
  });

  it("planted bug, identity not checked: calls to it are detected here", async () => {
    const virtual = await afterOutage();
    virtual.model.putForeignTablet("tablet1");
    const identify = (cluster: Cluster) => cluster;
    const { sent } = await recoverThrough(virtual, () => ({}), { identify });
    expect(sent).not.toEqual([]);
  });

  it("with nothing loaded is detected by the schema of the first replica that is loaded there", async () => {
    const virtual = await afterOutage();
    const { report, sent } = await recoverThrough(virtual, (real) => ({
      getTableSchema: async (endpoint, id) => {
        const schema = await real.getTableSchema(endpoint, id);
        return endpoint === A ? { ...schema, db: "shop" } : schema;
      },
    }));
    expect(sent).toEqual(["loadTable"]);
    expect(report.absentTablets.map(({ absence }) => absence.kind)).toEqual(["not-what-it-says"]);
    expect(report.partitions.filter((one) => one.isServing)).toHaveLength(1);
  });

  it("gets one LoadTable, also if its schema cannot be read at once", async () => {
    const virtual = await afterOutage();
    virtual.model.putForeignTablet("tablet1", { hasLoaded: false });
    let asked = 0;
    const { report, sent } = await recoverThrough(virtual, (real) => ({
      getTableSchema: async (endpoint, id) => {
        asked += 1;
        if (asked > 1) return real.getTableSchema(endpoint, id);
        throw new OpsError({ code: "unreachable", message: "no answer", retryable: true });
      },
    }));
    expect(asked).toBeGreaterThan(1);
    expect(sent).toEqual(["loadTable"]);
    expect(report.absentTablets.map(({ endpoint }) => endpoint)).toEqual([A]);
  });

  it("gets one LoadTable, also if the answer is lost", async () => {
    const virtual = await afterOutage();
    virtual.model.putForeignTablet("tablet1", { hasLoaded: false });
    let isLost = false;
    const { sent } = await recoverThrough(virtual, (real) => ({
      loadTable: async (endpoint, request) => {
        await real.loadTable(endpoint, request);
        if (endpoint !== A || isLost) return;
        isLost = true;
        throw new OpsError({ code: "unreachable", message: "no answer", retryable: true });
      },
    }));
    expect(isLost).toBe(true);
    expect(sent).toEqual(["loadTable"]);
  });

  it("that has a table loaded under this cluster's name, by an earlier run, is detected by its schema", async () => {
    const virtual = await afterOutage();
    virtual.model.putForeignTablet("tablet1", { hasLoaded: false });
    await recoverThrough(virtual, () => ({}));
    const { report, sent } = await recoverThrough(virtual, () => ({}));
    expect(sent).toEqual([]);
    expect(report.absentTablets.map(({ endpoint }) => endpoint)).toEqual([A]);
  });

  it("a tablet that cannot report schemas is accepted", async () => {
    const virtual = await afterOutage();
    const { report } = await recoverThrough(virtual, (real) => ({
      getTableSchema: (endpoint, id) => real.getTableSchema(endpoint, { ...id, tid: id.tid + 100 }),
    }));
    expect(report.absentTablets).toEqual([]);
    expect(report.partitions.map((one) => one.status)).toEqual(["recovered", "recovered"]);
  });
});

describe("two names with one address", () => {
  it("neither tablet receives a change, and both names are reported", async () => {
    const virtual = await afterOutage();
    const { report, sent } = await recoverThrough(virtual, (real) => ({
      addressOf: async (endpoint) => {
        const own = await real.addressOf(endpoint);
        return endpoint === "b:9527"
          ? { ...own, located: "10.0.0.1:1" }
          : endpoint === A
            ? { ...own, located: "10.0.0.1:1" }
            : own;
      },
    }));
    expect(sent).toEqual([]);
    const reasons = report.absentTablets.map(({ endpoint, reason }) => `${endpoint}: ${reason}`);
    expect(reasons).toEqual([
      expect.stringMatching(/^a:9527: .*same address as b:9527: 10\.0\.0\.1:1$/),
      expect.stringMatching(/^b:9527: .*same address as a:9527: 10\.0\.0\.1:1$/),
    ]);
  });
});

describe("the comparison", () => {
  const table = (parts: Partial<TableClaim>): TableClaim => ({
    db: "db1",
    table: "t0",
    tid: 7,
    segCount: 8,
    storageMode: "memory",
    replicaCount: 1,
    compressType: "kNoCompress",
    partitions: [{ pid: 0, terms: [], replicas: [] }],
    ...parts,
  });
  const report = (tid: number, name: string | undefined) => ({
    tid,
    pid: 0,
    role: "follower" as const,
    state: "normal" as const,
    offset: 1n,
    recordCount: 1n,
    memoryBytes: 0n,
    indexBytes: 0n,
    diskBytes: 0n,
    table: name,
  });
  const replica = {
    endpoint: A,
    isLeader: true,
    isAlive: true,
    offset: undefined,
    recordCount: undefined,
    memoryBytes: undefined,
    diskBytes: 0n,
  };
  const record = recordedTables([
    table({ partitions: [{ pid: 0, terms: [], replicas: [replica] }] }),
  ]);

  it("another name under a known id is proof; a tablet that sends no name is accepted", () => {
    expect(foreignTables(A, [report(7, "t9")], record)?.isProof).toBe(true);
    expect(foreignTables(A, [report(7, "t0")], record)).toBeUndefined();
    expect(foreignTables(A, [report(7, undefined)], record)).toBeUndefined();
  });

  it("an unknown id counts only if no loaded replica is on record there", () => {
    expect(foreignTables(A, [report(99, "x")], record)?.isProof).toBe(false);
    expect(foreignTables(A, [report(7, "t0"), report(99, "x")], record)).toBeUndefined();
    expect(foreignTables("new:9527", [report(99, "x")], record)).toBeUndefined();
  });

  it("the schema: name, database, and columns if both sides have them", () => {
    const columns = "digest of two columns";
    const own = table({ columns });
    const schema = { table: "t0", db: "db1", columns, segCount: 8, indexes: [] };
    expect(foreignSchema(own, schema)).toBeUndefined();
    expect(foreignSchema(own, { ...schema, db: "", columns: undefined })).toBeUndefined();
    expect(foreignSchema(own, { ...schema, table: "t9" })).toContain('"db1.t9"');
    expect(foreignSchema(own, { ...schema, db: "shop" })).toContain('"shop.t0"');
    expect(foreignSchema(own, { ...schema, columns: "digest of one" })).toContain("other columns");
    expect(foreignSchema(table({}), schema)).toBeUndefined();
  });
});

it("names that lead to each other's tablets are refused, by the nameserver's addresses", async () => {
  const entries: Record<string, string> = { a: "x:1", b: "x:2", c: "x:3", moved: "x:9" };
  const claims = Object.entries({ a: "x:2", b: "x:1", c: "x:3", moved: "x:4" }).map(
    ([endpoint, realEndpoint]) =>
      ({ endpoint, state: "kHealthy", isHealthy: true, ageMs: 0n, realEndpoint }) as const,
  );
  const refused = new Map<string, string>();
  const addressOf = async (endpoint: string) => {
    const dialled = entries[endpoint] ?? "";
    return { dialled, located: dialled };
  };
  await refuseCrossedAddresses({ addressOf }, refused, claims);
  expect([...refused]).toEqual([
    ["a", "its name leads to x:1, where the nameserver reaches b; it reaches a at x:2"],
    ["b", "its name leads to x:2, where the nameserver reaches a; it reaches b at x:1"],
  ]);
});

it("an empty entry of map/names means that the name is the address", async () => {
  const { model } = await startVirtualCluster();
  model.tree.create("/openmldb/map/names/10.0.0.1:9527", Buffer.alloc(0), { parents: true });
  model.tree.create("/openmldb/map/names/tablet-1", Buffer.alloc(0), { parents: true });
  const zk = treeZooKeeper(model.tree);
  await expect(resolveEndpoint(zk, "/openmldb", "10.0.0.1:9527")).resolves.toBe("10.0.0.1:9527");
  await expect(resolveEndpoint(zk, "/openmldb", "tablet-1")).rejects.toMatchObject({
    code: "unreachable",
    message: expect.stringContaining("nor a server name with an address"),
  });
});
