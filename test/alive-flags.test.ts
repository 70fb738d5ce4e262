import { beforeEach, describe, expect, test } from "vitest";
import { OpsError } from "../src/errors.js";
import type { RecoverOptions } from "../src/execution/recover.js";
import type { Endpoint, Role } from "../src/model/cluster-state.js";
import type { RunEvent } from "../src/model/outcome.js";
import type { PartitionView } from "../src/model/partition-view.js";
import type { PartitionResult } from "../src/model/report.js";
import { evidenceOf } from "../src/policy/evidence.js";
import { newestLeaders } from "../src/policy/flagged-leader.js";
import { decideLeader } from "../src/policy/who-may-lead.js";
import { createKnownOffsetsStore } from "../src/run/known-offsets-store.js";
import { treeZooKeeper } from "../src/sandbox/znode-tree.js";
import { partition } from "./helpers/view.js";
import { startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const TWO = [
  { term: 1n, offset: 0n },
  { term: 3n, offset: 12n },
];
const FLAGS: Readonly<Record<Endpoint, Role>> = { a: "leader", b: "follower", c: "follower" };

/** A view for which an earlier run stored those flags, in that term. */
function flagged(view: PartitionView, term: bigint, flags = FLAGS): PartitionView {
  const bounds = { term, offsets: new Map(), alive: new Map(Object.entries(flags)) };
  return { ...view, known: { bounds, replicas: new Map() } };
}

function decided(view: PartitionView): string {
  const decision = decideLeader(view, new Map());
  return "blocked" in decision ? decision.blocked.code : decision.leader.endpoint;
}

test.each(["alive", "dead"])(
  "a replica that is flagged %s and cannot be read is waited for if the newest leader's disk lost entries",
  (flag) => {
    const view = (held: number) =>
      partition(
        `a leader,alive - follower,normal,${held}\n b follower,${flag} - offline\n c follower,alive - follower,normal,17`,
      );
    expect(decided(view(9))).toBe("unread");
    expect(decided(view(17))).toBe("a");
  },
);

describe("a replica that was flagged alive when the partition was left", () => {
  const marked = partition(
    "a leader,alive - follower,normal,9\n b follower,dead - offline\n c follower,alive - follower,normal,17",
  );

  test("no longer counts in a newer term, or if another replica is flagged leader than in the stored flags", () => {
    const ex = partition(
      "a leader,dead 11 follower,normal,19\n b follower,alive 11 follower,normal,15\n d leader,dead 11 follower,normal,14",
      { terms: TWO },
    );
    expect(decided(flagged(ex, 3n))).toBe("a");
    expect(decided(flagged(ex, 1n))).not.toBe("a");
    const other: Readonly<Record<Endpoint, Role>> = { b: "follower", d: "leader" };
    expect(decided(flagged(ex, 3n, other))).not.toBe("a");
  });

  test("no longer counts once a replica leads: the flags are not stored again", () => {
    const led = partition(
      "a leader,alive 9 leader,normal,9 replicates\n b follower,dead 9 offline\n c follower,alive 9 follower,normal,9",
    );
    expect(evidenceOf(flagged(led, 1n)).bounds.alive).toBeUndefined();
    expect(evidenceOf(flagged(marked, 1n)).bounds.alive).toEqual(new Map(Object.entries(FLAGS)));
  });

  test("led the newest term if it was flagged leader, whichever ex-leader keeps its flag", () => {
    const view = partition(
      "a leader,dead 11 offline\n b follower,alive 11 follower,normal,19\n d leader,dead 11 follower,normal,14",
      { terms: TWO },
    );
    expect(newestLeaders(view).map((one) => one.endpoint)).toEqual(["a", "d"]);
    expect(newestLeaders(flagged(view, 3n)).map((one) => one.endpoint)).toEqual(["a"]);
  });

  test("has a log of the surviving history", () => {
    const view = partition(
      "a leader,dead 11 follower,normal,19\n b follower,alive 11 follower,normal,15\n d leader,dead 11 follower,normal,14",
      { terms: TWO },
    );
    expect(decided(view)).not.toBe("a");
    expect(decided(flagged(view, 3n))).toBe("a");
  });
});

describe("flags that outlive the run", () => {
  const NAME = "db1.t1:0";
  let virtual: VirtualCluster;
  let id: { readonly tid: number; readonly pid: number };
  let away: Endpoint;
  let best: Endpoint;
  const node = () => virtual.model.tree.get(`/openmldb/ops_tool/seen/${id.tid}_0`);
  const rows = () => virtual.model.rows().map((one) => one.served);

  async function run(more: Partial<RecoverOptions> = {}): Promise<PartitionResult | undefined> {
    const result = await virtual.recover(more);
    if ("error" in result) throw result.error;
    return result.report.partitions[0];
  }

  /**
   * All servers lose power. Of 20 rows the leader keeps 9 and a follower 17, and the other follower does not
   * return. A run has left the partition, and then auto_failover marked that replica not alive.
   */
  beforeEach(async () => {
    virtual = await startVirtualCluster({ model: { autoFailover: false } });
    const { model, clock, cluster } = virtual;
    const of = { db: "db1", table: "t1", pid: 0 };
    id = { tid: model.createTable({ ...of, partitions: 1, replicas: 3 }), pid: 0 };
    model.put(20);
    await virtual.pass(5_000);
    const [table] = await clock.run(cluster.showTable(), 60_000);
    const replicas = table?.partitions[0]?.replicas ?? [];
    const leader = replicas.find((one) => one.isLeader)?.endpoint ?? "";
    [best = "", away = ""] = replicas.flatMap((one) => (one.isLeader ? [] : [one.endpoint]));
    model.outage({ withNameservers: true });
    for (const name of [leader, best, away]) model.kill(name);
    model.cutBinlog(leader, of, 11);
    model.cutBinlog(best, of, 3);
    for (const name of [leader, best]) model.restart(name);
    await virtual.pass(60_000);
    expect((await run())?.failure?.decision).toMatchObject({ code: "unread", endpoint: away });
    await clock.run(cluster.updateTableAlive({ ...of, endpoint: away }, false), 60_000);
  });

  test("the next run leaves the same decision; once the replica is back, no row is lost and no flag is stored", async () => {
    expect((await run())?.failure?.decision).toMatchObject({ code: "unread", candidate: best });
    expect(node()).toBeDefined();
    virtual.model.restart(away);
    await virtual.pass(30_000);
    expect(await run()).toMatchObject({ status: "recovered" });
    expect(rows()).toEqual([20]);
    expect(node()).toBeUndefined();
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("after the operator's decision no flag is stored, and the decision is not asked for again", async () => {
    expect(await run({ accept: new Map([[NAME, best]]) })).toMatchObject({ isServing: true });
    expect(node()).toBeUndefined();
    expect((await run())?.failure?.decision).toBeUndefined();
    expect(rows()).toEqual([17]);
  });

  test("if the operator declares its tablet lost, the run asks to accept the possible loss", async () => {
    const left = await run({ lost: new Set([away]) });
    expect(left?.failure?.decision).toMatchObject({ code: "unread", isOfLost: true });
    const acceptsLossOfLost = { atLeast: 0n, atMost: undefined };
    expect(await run({ lost: new Set([away]), acceptsLossOfLost })).toMatchObject({
      status: "recovered",
    });
    expect(node()).toBeUndefined();
    expect((await run())?.failure).toBeUndefined();
  });

  test("they are read as they were written; an unknown role is ignored as garbage; older records have no flags", async () => {
    const events: RunEvent[] = [];
    const { clock, model } = virtual;
    const zk = treeZooKeeper(model.tree);
    const onEvent = (event: RunEvent) => events.push(event);
    const store = createKnownOffsetsStore({ zk, clock, rootPath: "/openmldb", onEvent });
    const kept = async () => (await clock.run(store.read(), 60_000)).get(`${id.tid}/0`);
    const [leader = "", ...followers] = [...((await kept())?.alive ?? [])].map(String);
    expect([leader, ...followers]).toHaveLength(3);
    const written = await clock.run(zk.getData(`/openmldb/ops_tool/seen/${id.tid}_0`), 60_000);
    const { alive, ...older } = JSON.parse(String(written));
    expect(alive[away]).toBe("follower");
    const put = (content: object) =>
      clock.run(
        zk.setData(`/openmldb/ops_tool/seen/${id.tid}_0`, Buffer.from(JSON.stringify(content))),
        60_000,
      );
    await put(older);
    expect(await kept()).toMatchObject({ alive: undefined, partition: NAME });
    await put({ ...older, alive: { [away]: "observer" } });
    expect(await kept()).toBeUndefined();
    expect(events).toHaveLength(1);
  });
});

describe("a partition whose leader", () => {
  const SEEN = "/openmldb/ops_tool/seen";

  async function led(): Promise<{ virtual: VirtualCluster; leader: Endpoint }> {
    const virtual = await startVirtualCluster({ model: { autoFailover: false } });
    virtual.model.createTable({ db: "db1", table: "t1", partitions: 1, replicas: 3 });
    const [table] = await virtual.clock.run(virtual.cluster.showTable(), 60_000);
    const leader = table?.partitions[0]?.replicas.find((one) => one.isLeader)?.endpoint ?? "";
    return { virtual, leader };
  }

  test("may serve although it is unreachable: no flag is stored", async () => {
    const { virtual, leader } = await led();
    const { cluster } = virtual;
    const result = await virtual.recover(
      {},
      {
        async getTableStatus(endpoint, of) {
          if (endpoint !== leader) return cluster.getTableStatus(endpoint, of);
          throw new OpsError({
            code: "unreachable",
            message: "no route",
            retryable: true,
            endpoint,
          });
        },
      },
    );
    expect("report" in result && result.report.partitions[0]?.status).toBe("unhealthy");
    expect(virtual.model.tree.get(SEEN)).toBeUndefined();
  });

  test("returns within a moment: the run waits for it, and stores no flag", async () => {
    const { virtual, leader } = await led();
    virtual.model.kill(leader);
    virtual.clock.setTimer(20_000, () => virtual.model.restart(leader));
    await virtual.pass(12_000);
    const result = await virtual.recover();
    expect("report" in result && result.report.partitions[0]?.status).toBe("recovered");
    expect(virtual.model.tree.get(SEEN)).toBeUndefined();
  });
});
