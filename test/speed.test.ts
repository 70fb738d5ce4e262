// The cost of a recovery in calls and in the model's time: no step waits without a reason, and no call is repeated without
// one. The clock is virtual, so the numbers are the same on every machine.
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { createCluster } from "../src/cluster/connect.js";
import type { Transport } from "../src/cluster/transport.js";
import { diagnose } from "../src/diagnosis/diagnose.js";
import type { RunEvent } from "../src/model/outcome.js";
import { viewPartitions } from "../src/model/partition-view.js";
import type { PartitionResult, RunReport } from "../src/model/report.js";
import { observe } from "../src/observe/cluster.js";
import { putZnode } from "../src/sandbox/table-store.js";
import { treeZooKeeper, ZnodeTree } from "../src/sandbox/znode-tree.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

/** A cluster of `tables` x 8 partitions x 3 replicas, all of whose tablets have just restarted. */
async function afterOutage(
  tables: number,
  options: Parameters<typeof startVirtualCluster>[0] = {},
): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster(options);
  const { model } = virtual;
  for (let index = 0; index < tables; index += 1) {
    model.createTable({ db: "db1", table: `t${index}`, partitions: 8, replicas: 3 });
  }
  model.put(20);
  await virtual.pass(5_000);
  model.outage();
  await virtual.pass(20_000);
  return virtual;
}

/** The partitions that a report calls not healthy. */
function unhealthy({ partitions }: RunReport): PartitionResult[] {
  return partitions.filter((one) => one.problems.length > 0);
}

/** Recovers, and returns the cost. The cluster must be healthy afterwards. */
async function recovered(virtual: VirtualCluster, limits: Partial<typeof LIMITS> = {}) {
  const began = virtual.clock.now();
  const before = virtual.cluster.callCount();
  const result = await virtual.recover({ limits: { ...LIMITS, ...limits } });
  if ("error" in result) throw result.error;
  expect(unhealthy(result.report)).toEqual([]);
  return {
    tookMs: virtual.clock.now() - began,
    calls: virtual.cluster.callCount() - before,
    replicas: result.report.replicas,
  };
}

describe("the calls of a recovery", () => {
  it("are fewer than five per replica, observations of the cluster included", async () => {
    const { calls, replicas } = await recovered(await afterOutage(40));
    expect(replicas).toBe(960);
    expect(calls / replicas).toBeLessThan(5);
    // At least two calls for each replica: one reads its snapshot, one loads it.
    expect(calls / replicas).toBeGreaterThan(2);
  });

  it("grow in proportion to the cluster", async () => {
    const small = await recovered(await afterOutage(10));
    const large = await recovered(await afterOutage(40));
    expect(large.calls / small.calls).toBeLessThan(5);
  });
});

describe("no step waits without a reason", () => {
  it("does not count while it waits for a shared observation", async () => {
    // 327 partitions: each waits for about 16 ms twice, so that one after another would take more than 10 s.
    const { tookMs } = await recovered(await afterOutage(40), { concurrency: 1 });
    expect(tookMs).toBeLessThan(9_000);
  });

  it("does not count while followers are replicated to: slow answers of leaders are awaited in parallel", async () => {
    const times: number[] = [];
    for (const tables of [1, 10]) {
      const virtual = await afterOutage(tables);
      const { cluster, clock } = virtual;
      const { getTableFollower } = cluster;
      Object.assign(cluster, {
        async getTableFollower(...args: Parameters<typeof getTableFollower>) {
          await clock.sleep(5_000);
          return getTableFollower(...args);
        },
      });
      times.push((await recovered(virtual, { concurrency: 1 })).tookMs);
    }
    const [one = 0, many = 0] = times;
    expect(one).toBeGreaterThan(10_000);
    expect(many / one).toBeLessThan(1.5);
  });
});

describe("a finished partition that is not healthy at the end", () => {
  /** The link of a follower is cut by another client, after its partition has finished. */
  async function cutLater(times: number) {
    const virtual = await afterOutage(1);
    const { model } = virtual;
    let cuts = 0;
    const events: RunEvent[] = [];
    const result = await virtual.recover({
      onEvent(event) {
        events.push(event);
        if (event.kind !== "lane-ended" || event.id.pid !== 3 || cuts >= times) return;
        cuts += 1;
        const leader = [...model.tablets.values()]
          .map((tablet) => tablet.replica(event.id.tid, 3))
          .find((replica) => replica?.role === "leader");
        leader?.links.clear();
      },
    });
    if ("error" in result) throw result.error;
    const again = events.filter((event) => event.kind === "note" && /continuing/.test(event.text));
    return { virtual, report: result.report, cuts, again: again.length };
  }

  it("is recovered once more in the same run", async () => {
    const { virtual, report, cuts, again } = await cutLater(1);
    expect([cuts, again]).toEqual([1, 1]);
    expect(unhealthy(report)).toEqual([]);
    const seen = await virtual.clock.run(observe(virtual.cluster), 60_000);
    expect(viewPartitions(seen).flatMap(diagnose)).toEqual([]);
  });

  it("is reported if it does not stay healthy: there are at most three passes", async () => {
    const { report, cuts, again } = await cutLater(Number.POSITIVE_INFINITY);
    expect([cuts, again]).toEqual([3, 2]);
    expect(unhealthy(report).map(({ id, status }) => [id.pid, status])).toEqual([[3, "unhealthy"]]);
    const codes = unhealthy(report).flatMap(({ problems }) => problems.map((one) => one.code));
    expect(codes).toEqual(["not-linked", "not-linked"]);
  });
});

describe("reads of tablets", () => {
  const TABLETS = Array.from({ length: 40 }, (_, index) => `t${index}:1`);

  /** A cluster whose tablets answer when the test permits it. */
  async function heldCluster() {
    const flying = new Map<string, number>();
    const most = { tablet: 0, all: 0 };
    const held: (() => void)[] = [];
    const transport: Transport = {
      unary: (address, method) => {
        const own = (flying.get(address) ?? 0) + 1;
        flying.set(address, own);
        const all = [...flying.values()].reduce((sum, one) => sum + one, 0);
        if (method.name === "GetTableFollower") {
          most.tablet = Math.max(most.tablet, own);
          most.all = Math.max(most.all, all);
        }
        return new Promise((resolve) => {
          held.push(() => {
            flying.set(address, (flying.get(address) ?? 0) - 1);
            const code = method.name === "GetTableFollower" ? 134 : 0;
            resolve(create(method.output, { code } as never));
          });
        });
      },
      connection: () => undefined,
      close: () => undefined,
    };
    const tree = new ZnodeTree(Date.now);
    putZnode(tree, "/openmldb/leader/lock_request0000000000", "n:1");
    const cluster = await createCluster({
      zk: treeZooKeeper(tree),
      transport,
      clock: { now: () => performance.now(), wallTime: Date.now, sleep: () => Promise.resolve() },
      rootPath: "/openmldb",
      rpcTimeoutMs: 1_000,
    });
    const settle = () => new Promise((resolve) => setImmediate(resolve));
    const release = async () => {
      for (const answer of held.splice(0)) answer();
      await settle();
    };
    return { cluster, most, held, settle, release };
  }

  it("are limited, at one tablet and in total; changes are sent at once", async () => {
    const { cluster, most, held, settle, release } = await heldCluster();
    const reads = TABLETS.flatMap((endpoint) =>
      Array.from({ length: 50 }, (_, pid) => cluster.getTableFollower(endpoint, { tid: 1, pid })),
    );
    await settle();
    expect(held).toHaveLength(128);
    expect(most).toEqual({ tablet: 16, all: 128 });
    const change = cluster.changeRole(TABLETS[0] ?? "", {
      tid: 1,
      pid: 0,
      role: "follower",
      term: 0n,
      followers: [],
    });
    await settle();
    expect(held).toHaveLength(129);
    for (let round = 0; held.length > 0; round += 1) {
      expect(round).toBeLessThan(100);
      await release();
    }
    await Promise.all([change, ...reads]);
    expect(most).toEqual({ tablet: 16, all: 128 });
  });
});

describe("an optimization that would lose rows", () => {
  it("is not used: the leader is chosen by offsets read after the loads were observed", async () => {
    const virtual = await startVirtualCluster();
    const { model, cluster } = virtual;
    model.createTable({ db: "db1", table: "t1", partitions: 1, replicas: 3 });
    model.put(30);
    await virtual.pass(5_000);
    // Only the leader gets the last rows, and after the nameservers' restart no nameserver knows their offset.
    const leader = model.rows({ db: "db1" })[0]?.leader ?? "";
    for (const { endpoint } of model.tablets.values())
      if (endpoint !== leader) model.kill(endpoint);
    model.put(30);
    model.outage({ withNameservers: true });
    await virtual.pass(40_000);
    // A tablet reports "normal" an instant before it sets the offset. The first answer is from that instant.
    const { getTableStatus } = cluster;
    const seen = new Set<string>();
    Object.assign(cluster, {
      async getTableStatus(...args: Parameters<typeof getTableStatus>) {
        const reports = await getTableStatus(...args);
        return reports.map((one) => {
          const key = `${args[0]} ${one.tid}/${one.pid}`;
          if (args[0] !== leader || one.state !== "normal" || seen.has(key)) return one;
          seen.add(key);
          return { ...one, offset: 0n };
        });
      },
    });
    const result = await virtual.recover({ only: { db: "db1" } });
    if ("error" in result) throw result.error;
    expect(unhealthy(result.report)).toEqual([]);
    const [rows] = model.rows({ db: "db1" });
    expect([rows?.leader, rows?.served, rows?.lost]).toEqual([leader, 60, 0]);
  });
});
