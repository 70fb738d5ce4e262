import { expect, it } from "vitest";
import { inspectFacts } from "../src/inspect/inspection.js";
import { isWorthWatching, stuckReason } from "../src/inspect/op-age.js";
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

/** Facts with these ops; those of the given ids have been in the same task for 10 s. */
const facts = (ops: readonly Op[], ...still: bigint[]) => ({
  state: { ops } as unknown as ClusterState,
  watched: { forMs: 10_000, still: new Set(still) },
  otherCounts: [],
});

it("the nameserver's own times prove a minimum running time of an op", () => {
  const old = op({ task: "kLoadTable" });
  expect(stuckReason(old, facts([old], 1n))).toBeUndefined();
  const later = op({ id: 2n, status: "done", startTime: NOW + 700n, endTime: NOW + 701n });
  expect(stuckReason(old, facts([old, later], 1n))).toMatch(
    /during the 10 s of observation.* for at least 11 min 41 s by the nameserver's clock/,
  );
  expect(stuckReason(later, facts([old, later], 1n))).toBeUndefined();
});

it("times of an adjusted clock prove nothing about an op that makes progress", () => {
  const moved = op({});
  const later = op({ id: 2n, status: "done", startTime: NOW + 3_700n, endTime: NOW + 3_701n });
  expect(stuckReason(moved, facts([moved, later]))).toBeUndefined();
});

it("an op that was seen twice in a short task is stuck, one that copies a snapshot may be running", () => {
  const short = op({});
  const long = op({ id: 2n, task: "kSendSnapshot" });
  const seen = facts([short, long], 1n, 2n);
  expect(stuckReason(short, seen)).toMatch(/stayed in task kDelReplica during the 10 s/);
  expect(stuckReason(long, seen)).toBeUndefined();
});

it("a running op is watched, whatever its times; one in a long task if it is old", () => {
  const later = op({ id: 2n, status: "done", startTime: NOW + 700n, endTime: NOW + 701n });
  const long = op({ task: "kSendSnapshot" });
  expect(isWorthWatching(op({}), [op({})])).toBe(true);
  expect(isWorthWatching(op({ status: "inited" }), [later])).toBe(false);
  expect(isWorthWatching(long, [long])).toBe(false);
  expect(isWorthWatching(long, [long, later])).toBe(true);
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
])("with a nameserver's clock that is %s, a stuck op is detected", async (_what, ms) => {
  const virtual = await withOp(({ model }) => {
    model.stepClock("nameserver1", ms);
    model.stickOp("kDelReplica", 1);
  });
  await virtual.pass(15 * MINUTE);
  expect(await opFindings(virtual)).toEqual(["op-stuck"]);
});

it.each([
  ["ahead", HOUR, HOUR + 2 * MINUTE],
  ["behind", -HOUR, 2 * MINUTE],
])(
  "a stuck op is detected although a clock that is %s makes it look young or old",
  async (_what, ms, afterMs) => {
    const virtual = await withOp(({ model }) => {
      model.stepClock("nameserver1", ms);
      model.stickOp("kDelReplica", 1);
    });
    await virtual.pass(afterMs);
    expect(await opFindings(virtual)).toEqual(["op-stuck"]);
  },
);

it.each([
  ["forward", HOUR],
  ["back", -HOUR],
])(
  "a nameserver's clock that is set %s while an op runs does not make it count as stuck",
  async (_what, ms) => {
    const virtual = await withOp(() => undefined);
    await virtual.pass(1_500);
    virtual.model.stepClock("nameserver1", ms);
    expect(await opFindings(virtual)).toEqual(["ops-running"]);
  },
);
