import { describe, expect, test } from "vitest";
import type { PartitionResult } from "../src/model/report.js";
import { startVirtualCluster } from "./helpers/virtual-cluster.js";

// The disk of a leader loses entries. It leads again before its followers can be read, and clients write other rows under the
// same numbers in the same term. Then no offset shows that the logs have diverged.
const OF = { db: "db1", table: "t1", pid: 0 };
const NAME = "db1.t1:0";

/**
 * Three replicas in sync at 60. All processes were killed, the leader's disk lost everything, and only
 * the leader is back.
 */
async function damagedCluster() {
  const virtual = await startVirtualCluster({ model: { autoFailover: false, loadRowMs: 20 } });
  const { model } = virtual;
  const tid = model.createTable({ ...OF, partitions: 1, replicas: 3 });
  model.put(60);
  // Loads of 20 s keep the run going.
  model.createTable({ db: "db1", table: "long", partitions: 3, replicas: 1 });
  model.put(1_000, { table: "long" });
  await virtual.pass(10_000);
  const leader = model.rows(OF)[0]?.leader ?? "";
  const followers = [...model.tablets.keys()].filter((one) => one !== leader);
  const nameservers = [...model.nameservers.keys()];
  for (const one of [...nameservers, ...followers, leader]) model.kill(one);
  model.cutBinlog(leader, OF, "all");
  for (const one of [...nameservers, leader]) model.restart(one);
  await virtual.pass(40_000);
  const recover = async (accept?: ReadonlyMap<string, string>): Promise<PartitionResult[]> => {
    const result = await virtual.recover(accept === undefined ? {} : { accept });
    if ("error" in result) throw result.error;
    return result.report.partitions.filter((one) => one.id.table === "t1");
  };
  const isKept = () => model.tree.get(`/openmldb/ops_tool/seen/${tid}_0`) !== undefined;
  return { ...virtual, leader, followers, recover, isKept };
}

describe("a leader that lost its log leads again while its followers are away", () => {
  test("followers with the lost entries are left for a decision, even after the leader has written more than they hold", async () => {
    const { model, pass, leader, followers, recover, isKept } = await damagedCluster();
    await recover();
    expect(model.put(20, OF)).toMatchObject([{ accepted: 20, leader }]);
    for (const one of followers) model.restart(one);
    await pass(30_000);
    expect((await recover())[0]).toMatchObject({ status: "needs-decision" });
    expect(isKept()).toBe(true);
    model.put(100, OF);
    await pass(5_000);
    const [left] = await recover();
    expect(left).toMatchObject({
      status: "needs-decision",
      isServing: true,
      failure: { decision: { candidate: leader, loss: { atLeast: 40n, atMost: 60n } } },
    });
    expect(model.rows(OF)[0]?.replicas.map((one) => one.held)).toEqual(
      [...model.tablets.keys()].map((one) => (one === leader ? 120 : 60)),
    );

    const [kept] = await recover(new Map([[NAME, leader]]));
    expect(kept).toMatchObject({ status: "recovered" });
    // All replicas hold the entries of the leader, not only as many.
    expect(model.healthy()).toEqual([]);
    expect(model.rows(OF)[0]?.served).toBe(120);
    expect(isKept()).toBe(false);
    expect(await recover()).toEqual([]);
  });

  test("a follower that returns in the same run is compared with the entries that the leader held when it took the role", async () => {
    const { model, clock, leader, followers, recover, isKept } = await damagedCluster();
    const write = () => {
      if (model.put(1, OF)[0]?.refused === undefined) model.put(100, OF);
      else clock.setTimer(10, write);
    };
    write();
    for (const one of followers) clock.setTimer(1_000, () => model.restart(one));
    const [left] = await recover();
    expect(model.rows(OF)[0]?.replicas.find((one) => one.endpoint === leader)?.held).toBe(101);
    expect(left).toMatchObject({
      status: "needs-decision",
      failure: { decision: { candidate: leader, loss: { atLeast: 60n, atMost: 60n } } },
    });
    expect(isKept()).toBe(true);
    expect((await recover())[0]).toMatchObject({ status: "needs-decision" });
  });

  test("followers that hold no more than the leader follow it again, and no evidence is stored", async () => {
    const virtual = await startVirtualCluster({ model: { autoFailover: false } });
    const { model } = virtual;
    model.createTable({ ...OF, partitions: 1, replicas: 3 });
    model.put(60);
    await virtual.pass(10_000);
    const leader = model.rows(OF)[0]?.leader;
    const [away = "", ...others] = [...model.tablets.keys()].filter((one) => one !== leader);
    for (const one of [away, leader ?? "", ...others]) model.kill(one);
    for (const one of [leader ?? "", ...others]) model.restart(one);
    await virtual.pass(40_000);
    await virtual.recover();
    model.put(40);
    model.restart(away);
    await virtual.pass(40_000);
    await virtual.recover();
    expect(model.healthy()).toEqual([]);
    expect(model.tree.children("/openmldb/ops_tool/seen") ?? []).toEqual([]);
  });

  test.each([
    ["accepted others after it was first seen", 20],
    ["accepted none after it was first seen", 0],
  ])("if another replica is chosen, the former leader, which %s, gets a copy", async (_, more) => {
    const { model, pass, leader, followers, recover } = await damagedCluster();
    await recover();
    model.put(20, OF);
    for (const one of followers) model.restart(one);
    await pass(30_000);
    expect((await recover())[0]).toMatchObject({ status: "needs-decision" });
    model.put(more, OF);
    await pass(5_000);
    // After the restart no replica leads. All entries of the former leader are its own.
    model.outage({ withNameservers: true });
    await pass(60_000);
    const [chosen = ""] = followers;
    const [left] = await recover();
    expect(left?.failure?.decision).toMatchObject({ code: "diverged", candidate: leader });
    const choices = left?.choices ?? [];
    expect(choices.find((one) => one.endpoint === chosen)?.loss.atMost).toBe(20n + BigInt(more));
    const [kept] = await recover(new Map([[NAME, chosen]]));
    expect(kept).toMatchObject({ status: "recovered", leader: chosen });
    // Every replica holds the entries of the chosen one, not other ones under the same numbers.
    expect(model.healthy()).toEqual([]);
    expect(model.rows(OF)[0]?.replicas.map((one) => one.held)).toEqual([60, 60, 60]);
  });
});
