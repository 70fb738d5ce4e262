import { expect, it } from "vitest";
import { inspectFacts } from "../src/inspect/inspection.js";
import { isWorthWatching, standsStill } from "../src/inspect/op-age.js";
import type { ClusterState, Op } from "../src/model/cluster-state.js";
import { finish } from "../src/model/work.js";
import { B, MINUTE, P0, run } from "./helpers/inspect-faults.js";
import { factsOf, wellCluster } from "./helpers/inspected.js";
import type { VirtualCluster } from "./helpers/virtual-cluster.js";

const HOUR = 60 * MINUTE;
const NOW = 1_800_000_000n;

const op = (parts: Partial<Op>): Op => ({
  id: 1n,
  type: "kRecoverTableOP",
  status: "doing",
  db: "db1",
  table: "t0",
  pid: 0,
  task: "kDelReplica",
  startTime: NOW,
  endTime: 0n,
  ...parts,
});

/** Facts with these ops; those with the given ids were in the same task 6 s later. */
const facts = (ops: readonly Op[], ...still: bigint[]) => ({
  state: { ops } as unknown as ClusterState,
  watched: { forMs: 6_000, still: new Set(still) },
  otherCounts: [],
});

it("the nameserver's own times prove how long an op has been at work at least", () => {
  const old = op({});
  expect(standsStill(old, facts([old]))).toBeUndefined();
  const later = op({ id: 2n, status: "done", startTime: NOW + 700n, endTime: NOW + 701n });
  expect(standsStill(old, facts([old, later]))).toMatch(
    /for at least 11 min by the nameserver's clock/,
  );
  expect(standsStill(later, facts([old, later]))).toBeUndefined();
});

it("an op that was seen twice in a short task stands still, one that copies a snapshot may be at work", () => {
  const short = op({});
  const long = op({ id: 2n, task: "kSendSnapshot" });
  const seen = facts([short, long], 1n, 2n);
  expect(standsStill(short, seen)).toMatch(/doing kDelReplica and nothing else for the 6 s/);
  expect(standsStill(long, seen)).toBeUndefined();
});

it("an op is looked at twice if it seems old, or to begin in the future", () => {
  const nowMs = Number(NOW) * 1000;
  expect(isWorthWatching(op({}), nowMs)).toBe(false);
  expect(isWorthWatching(op({}), nowMs + HOUR)).toBe(true);
  expect(isWorthWatching(op({}), nowMs - HOUR)).toBe(true);
  expect(isWorthWatching(op({ status: "inited" }), nowMs + HOUR)).toBe(false);
});

/** The codes of inspect's findings about ops. */
async function opFindings(virtual: VirtualCluster): Promise<string[]> {
  const { findings } = finish(inspectFacts(await factsOf(virtual)));
  return findings.map((one) => one.code).filter((code) => code.startsWith("op"));
}

async function withOp(seed: (virtual: VirtualCluster) => void): Promise<VirtualCluster> {
  const virtual = await wellCluster();
  await run(virtual, virtual.cluster.confSet("auto_failover", "false"));
  await run(virtual, virtual.cluster.updateTableAlive({ ...P0, endpoint: B }, false));
  seed(virtual);
  await run(virtual, virtual.cluster.recoverTable(P0, B));
  return virtual;
}

it.each([
  ["an hour behind", -HOUR],
  ["right", 0],
  ["an hour ahead", HOUR],
])("with a nameserver's clock that is %s, a new op is no stuck op", async (_what, ms) => {
  const virtual = await withOp(({ model }) => model.stepClock("nameserver1", ms));
  await virtual.pass(1_500);
  expect(await opFindings(virtual)).toEqual(["ops-running"]);
});

it.each([
  ["an hour behind", -HOUR],
  ["right", 0],
  ["an hour ahead", HOUR],
])("with a nameserver's clock that is %s, an op that stands still is found", async (_what, ms) => {
  const virtual = await withOp(({ model }) => {
    model.stepClock("nameserver1", ms);
    model.stickOp("kDelReplica", 1);
  });
  await virtual.pass(15 * MINUTE);
  expect(await opFindings(virtual)).toEqual(["op-stuck"]);
});
