import { expect, test } from "vitest";
import { TableMode } from "../src/gen/openmldb/api_pb.js";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import { flag, flags, load, type ModelCluster, modelCluster, T0 } from "./helpers/model-cluster.js";

// The reactions of auto_failover, by OpenMLDB's source (name_server_impl.cc), and the rows that they lose.

const server = NameServer.method;

/** Three tablets, auto_failover on, 50 rows in each replica. */
async function serving(): Promise<{ it: ModelCluster; leader: string; followers: string[] }> {
  const it = modelCluster({ options: { autoFailover: true }, table: { partitions: 1 } });
  it.model.put(50);
  await it.pass(3_000);
  const [leader, ...followers] = it.holders();
  return { it, leader, followers };
}

/** The leader takes five rows that no follower gets, and is then down for 20 s, less than the timeout. */
async function aheadAndGone() {
  const cluster = await serving();
  const { it, leader, followers } = cluster;
  await switchTo(it, false);
  for (const one of followers) it.model.kill(one);
  await it.pass(15_000);
  it.model.put(5);
  it.model.kill(leader);
  for (const one of followers) it.model.restart(one);
  await it.pass(20_000);
  return cluster;
}

function switchTo(it: ModelCluster, isOn: boolean) {
  return it.ns(server.confSet, { conf: { key: "auto_failover", value: String(isOn) } });
}

const lost = ({ model }: ModelCluster) => model.rows().map((one) => one.lost);

test("a lost session without a restart causes no action", async () => {
  const { it, leader } = await serving();
  it.model.hang(leader);
  await it.pass(20_000);
  it.model.resume(leader);
  await it.pass(120_000);
  expect(await it.ops()).toEqual([]);
  expect(it.model.healthy()).toEqual([]);
});

test("a tablet that restarted is treated as gone at once, whatever the heartbeat timeout", async () => {
  const { it, leader } = await serving();
  it.model.kill(leader);
  await it.pass(15_000);
  expect(await it.ops()).toEqual([]);
  it.model.restart(leader);
  await it.pass(1_000);
  expect(await it.ops()).toContain("kChangeLeaderOP kDone -");
  expect(await flags(it)).toContain(`${leader} leader dead`);
  await it.pass(60_000);
  expect(it.model.healthy()).toEqual([]);
});

test("a tablet that registered and does not answer is treated in the same way", async () => {
  const { it, leader } = await serving();
  it.model.kill(leader);
  await it.pass(15_000);
  it.model.restart(leader);
  it.model.hang(leader);
  await it.pass(5_000);
  expect((await it.ops()).map((op) => op.split(" ")[0])).toContain("kChangeLeaderOP");
});

test("an election does not compare the absent leader's entries, and RecoverTable moves its binlog away", async () => {
  const { it, leader, followers } = await aheadAndGone();
  // The state in which a recovery leaves replicas when it waits for a decision.
  for (const one of followers) await load(it, one, { mode: TableMode.kTableFollower });
  await switchTo(it, true);
  it.model.restart(leader);
  await it.pass(120_000);
  expect(it.holders()[0]).not.toBe(leader);
  expect(lost(it)).toEqual([5]);
});

test("no election succeeds while a follower is not loaded, and the absent leader keeps its binlog", async () => {
  const { it, leader } = await aheadAndGone();
  await switchTo(it, true);
  it.model.restart(leader);
  await it.pass(120_000);
  expect(await it.ops()).toContain("kChangeLeaderOP kFailed kSelectLeader");
  expect(await flags(it)).toContain(`${leader} leader dead`);
  expect(lost(it)).toEqual([0]);
});

test("a tablet that returns while auto_failover is off gets no op, even after it is on again", async () => {
  const { it, leader } = await aheadAndGone();
  it.model.restart(leader);
  await it.pass(5_000);
  await switchTo(it, true);
  await it.pass(300_000);
  expect(await it.ops()).toEqual([]);
  expect(lost(it)).toEqual([0]);
});

test("a timeout that ended while auto_failover was off has no effect before the tablet is back", async () => {
  const { it, leader } = await serving();
  await switchTo(it, false);
  it.model.kill(leader);
  await it.pass(100_000);
  await switchTo(it, true);
  await it.pass(300_000);
  expect(await it.ops()).toEqual([]);
  expect(await flags(it)).toContain(`${leader} leader alive`);
});

test("a replica that is not flagged leader is not recovered without an alive leader, and keeps its binlog", async () => {
  const { it, leader, followers } = await aheadAndGone();
  const [one = ""] = followers;
  await flag(it, leader, false);
  it.model.kill(one);
  await it.pass(15_000);
  await switchTo(it, true);
  it.model.restart(one);
  await it.pass(60_000);
  expect((await it.ops()).filter((op) => op.startsWith("kRecoverTableOP"))).toEqual([]);
  expect(lost(it)).toEqual([0]);
});

test("leadership is restored only to a replica with all entries of its leader", async () => {
  const { it, leader } = await serving();
  await it.pass(3_000);
  it.model.kill(leader);
  await it.pass(100_000);
  it.model.put(20);
  await it.pass(3_000);
  await switchTo(it, false);
  it.model.restart(leader);
  await it.pass(15_000);
  await it.ns(server.recoverEndpoint, { endpoint: leader, needRestore: true });
  await it.pass(90_000);
  expect(it.holders()[0]).toBe(leader);
  expect(it.model.rows()).toMatchObject([{ served: 70, lost: 0 }]);
});

test("a nameserver that takes over during kChangeLeader waits for that step forever", async () => {
  const it = modelCluster({ options: { opStepMs: 500 }, table: { partitions: 1 } });
  it.model.put(10);
  await it.pass(3_000);
  const [leader, candidate = ""] = it.holders();
  await it.ns(server.changeLeader, { ...T0, pid: 0, candidateLeader: candidate });
  await it.pass(700);
  it.model.kill("nameserver1");
  await it.pass(60_000);
  const { opStatus } = await it.at("ns2", server.showOPStatus, {});
  expect(opStatus).toMatchObject([{ status: "kDoing", taskType: "kChangeLeader" }]);
  expect(it.holders()[0]).toBe(leader);
  await it.at("ns2", server.cancelOP, { opId: opStatus[0]?.opId ?? 0n });
  await it.pass(5_000);
  const after = await it.at("ns2", server.showOPStatus, {});
  expect(after.opStatus.map((op) => op.status)).not.toContain("kDoing");
});
