import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inLines, parsePlan, planLines } from "../src/commands/plan-store.js";
import { OpsError } from "../src/errors.js";
import { observeAndPlan } from "../src/execution/observe-and-plan.js";
import type { Op } from "../src/model/cluster-state.js";
import { type PartitionView, viewPartitions } from "../src/model/partition-view.js";
import { PROBLEM_CODES } from "../src/model/problem.js";
import { finish } from "../src/model/work.js";
import { observe } from "../src/observe/cluster.js";
import { NO_ATTEMPTS } from "../src/planning/attempt-history.js";
import { assertSamePlan, boundPlanner } from "../src/planning/check-saved-plan.js";
import { planDirect } from "../src/planning/direct.js";
import { differencesOf, factsOf } from "../src/planning/plan-facts.js";
import { planText, questionText } from "../src/planning/plan-text.js";
import {
  type Plan,
  type PlannedPartition,
  type PlannedRound,
  plannedLeader,
  type RecoveryPlan,
  sizeOf,
} from "../src/planning/recovery-plan.js";
import { planDocument, type SavedPlan, savedPlan } from "../src/planning/saved-plan.js";
import { servingLeader } from "../src/policy/what-it-holds.js";
import { jsonPieces, jsonText } from "../src/util/text.js";
import { allLines } from "./helpers/all-lines.js";
import { partition } from "./helpers/view.js";
import { startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";
import "./helpers/fixed-cases.js";

const digest = () => createHash("sha256");
const maker = (rootPath: string) => ({
  command: "recoverdata",
  words: ["--cmd=recoverdata"],
  rootPath,
});

const text = fc.string({ unit: "binary", maxLength: 12 });
const endpoint = fc.constantFrom("a:1", "b:1", "täblet-3", "");
const perhaps = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined });
const code = fc.constantFrom(...PROBLEM_CODES);

const problem = fc
  .record({ code, endpoint: perhaps(endpoint), text, candidate: perhaps(endpoint) })
  .map(({ candidate, ...one }) => (candidate === undefined ? one : { ...one, candidate }));

const common = { why: text, expects: text };
const number = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

const step = fc.oneof(
  fc.record({ kind: fc.constant("wait-ops"), ...common }),
  fc.record({
    kind: fc.constant("promote"),
    endpoint,
    followers: fc.array(endpoint, { maxLength: 3 }),
    ...common,
  }),
  fc.record({
    kind: fc.constant("set-flags"),
    endpoint,
    alive: fc.array(endpoint, { maxLength: 3 }),
    ...common,
  }),
  fc.record({
    kind: fc.constant("recover-table"),
    endpoint,
    isForced: fc.boolean(),
    since: number,
    ...common,
  }),
  fc.record({
    kind: fc.constant("change-leader"),
    endpoint,
    from: endpoint,
    acceptsLoss: fc.boolean(),
    offset: number,
    ...common,
  }),
);
const other = fc.oneof(
  fc.record({ kind: fc.constant("cancel-op"), op: number, ...common }),
  fc.record({ kind: fc.constant("recover-endpoint"), endpoint, concurrency: fc.nat(), ...common }),
);
const facts = fc
  .dictionary(
    text.filter((key) => key !== "__proto__"),
    text,
    { noNullPrototype: true, maxKeys: 5 },
  )
  .map((all) => new Map(Object.entries(all)));

const round: fc.Arbitrary<PlannedRound> = fc.record({
  leader: perhaps(endpoint),
  steps: fc.array(step, { maxLength: 4 }),
  notes: fc.array(text, { maxLength: 2 }),
  blocked: perhaps(problem),
}) as unknown as fc.Arbitrary<PlannedRound>;

const plannedPartition: fc.Arbitrary<PlannedPartition> = (
  fc.record({
    id: fc.record({ db: text, table: text, tid: fc.nat(), pid: fc.nat() }),
    facts,
    problems: fc.array(problem, { maxLength: 3 }),
    rounds: fc.tuple(round, fc.array(round, { maxLength: 2 })).map(([one, more]) => [one, ...more]),
  }) as unknown as fc.Arbitrary<PlannedPartition>
).map((one) => {
  const [first, ...later] = one.rounds.map((each) => ({
    ...each,
    steps: each.steps.map((step) => ({ ...step, id: one.id })),
  })) as unknown as [PlannedRound, ...PlannedRound[]];
  return { ...one, first, rounds: [first, ...later] };
});

const plan: fc.Arbitrary<RecoveryPlan> = fc.record({
  method: fc.constantFrom("direct" as const, "documented" as const),
  only: fc.record({
    db: perhaps(text),
    table: perhaps(text),
    pids: perhaps(fc.array(fc.nat(), { maxLength: 3 })),
    endpoint: perhaps(text),
    isForced: fc.boolean(),
  }),
  accept: fc.array(fc.tuple(text, endpoint), { maxLength: 2 }).map((pairs) => new Map(pairs)),
  lost: fc.record({
    tablets: fc.array(endpoint, { maxLength: 2 }).map((all) => new Set(all)),
    losses: fc
      .array(fc.tuple(text, fc.record({ atLeast: number, atMost: perhaps(number) })), {
        maxLength: 2,
      })
      .map((pairs) => new Map(pairs)),
  }),
  madeAt: text,
  basis: fc.record({
    nameserver: endpoint,
    tablets: fc.array(endpoint, { maxLength: 3 }),
    autoFailover: fc.boolean(),
    partitions: fc.nat(),
  }),
  partitions: fc.array(plannedPartition, { maxLength: 3 }),
  others: fc.array(other, { maxLength: 2 }),
  facts,
  notes: fc.array(text, { maxLength: 2 }),
}) as unknown as fc.Arbitrary<RecoveryPlan>;

function fileOf(saved: SavedPlan): string {
  return `${jsonText(planDocument(saved), 2)}\n`;
}

/** The error of reading a plan, as `message (hint)`. */
function refusalOfText(file: string): string {
  try {
    parsePlan(file, "--apply=p");
  } catch (thrown) {
    if (!(thrown instanceof OpsError)) throw thrown;
    expect(thrown.code).toBe("usage");
    expect(thrown.message).not.toMatch(/\n/);
    return `${thrown.message} (${thrown.hint})`;
  }
  throw new Error("it was read");
}

describe("a plan in a file", () => {
  test("is read back unchanged", async () => {
    await fc.assert(
      fc.asyncProperty(plan, async (one) => {
        const saved = finish(savedPlan(one, maker("/openmldb"), digest));
        expect(parsePlan(fileOf(saved), "--apply=p")).toEqual(saved);
        const asLines = [...inLines(jsonPieces(planDocument(saved)))].join("");
        expect(parsePlan(asLines, "--apply=p")).toEqual(saved);
        expect(planLines(asLines)?.partitions.length ?? 0).toBe(one.partitions.length);
        expect(JSON.parse(asLines)).toEqual(JSON.parse(fileOf(saved)));
      }),
      { numRuns: 300 },
    );
  });

  test("any other document is refused in one line", async () => {
    const [sample] = fc.sample(plan, { numRuns: 1, seed: 7 });
    const good = fileOf(finish(savedPlan(sample as RecoveryPlan, maker("/openmldb"), digest)));
    expect(refusalOfText("")).toMatch(/not a plan of openmldb-ops: it does not begin like a plan/);
    expect(refusalOfText(good.slice(0, good.length / 2))).toMatch(/or is incomplete/);
    expect(refusalOfText("[]")).toMatch(/not a plan of openmldb-ops/);
    expect(refusalOfText("{}")).toMatch(/not a plan of openmldb-ops/);
    expect(refusalOfText(good.replace('"formatVersion": 2', '"formatVersion": 1'))).toMatch(
      /format version 1, and this openmldb-ops reads version 2 only/,
    );
    expect(refusalOfText(good.replace('"/openmldb"', '"/other"'))).toMatch(/was edited after/);
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (junk) => {
        expect(() => parsePlan(junk, "--apply=p")).toThrow(OpsError);
      }),
    );
  });

  test("equal plans have equal ids, different plans different ones", async () => {
    const [one, other] = fc.sample(plan, { numRuns: 2, seed: 3 }) as [RecoveryPlan, RecoveryPlan];
    const idOf = async (of: RecoveryPlan, rootPath: string) =>
      finish(savedPlan(of, maker(rootPath), digest)).id;
    const id = await idOf(one, "/a");
    expect(await idOf({ ...one }, "/a")).toBe(id);
    expect(new Set([id, await idOf(one, "/b"), await idOf(other, "/a")]).size).toBe(3);
  });
});

const BASE = `
  a leader,alive   10 leader,normal,10 replicates b=10
  b follower,alive 10 follower,normal,10
  c follower,dead  8  -
  d follower,alive -  offline`;
const base = partition(BASE);
const op: Op = {
  id: 5n,
  type: "kRecoverTableOP",
  status: "doing",
  db: "db1",
  table: "t1",
  pid: 0,
  task: "-",
  startTime: 0n,
  endTime: 0n,
};

function changed(from: string, to: string): PartitionView {
  expect(BASE).toContain(from);
  return partition(BASE.replace(from, to));
}

/** The facts that differ from those of {@link base}. */
function differing(view: PartitionView): string[] {
  return differencesOf("x", factsOf(base), factsOf(view)).map((one) => one.fact);
}

describe("the facts that steps rely on", () => {
  test.each<[string, PartitionView, string[]]>([
    ["a leader flag", changed("b follower,alive", "b leader,alive"), ["b is flagged"]],
    ["an alive flag", changed("c follower,dead", "c follower,alive"), ["c is flagged"]],
    [
      "the offset of a replica that is not loaded",
      changed("dead  8", "dead  9"),
      ["c was last seen at offset"],
    ],
    ["an offset that got lost", changed("dead  8", "dead  -"), ["c was last seen at offset"]],
    [
      "a role",
      changed("b follower,alive 10 follower", "b follower,alive 10 leader"),
      ["b runs as", "b replicates to"],
    ],
    ["a state", changed("follower,normal,10", "follower,loading,10"), ["b runs as"]],
    ["paused snapshots", changed("leader,normal", "leader,snapshot-paused"), ["a runs as"]],
    [
      "a load",
      changed("dead  8  -", "dead  8  follower,normal,8"),
      ["c runs as", "c was last seen at offset"],
    ],
    ["a tablet that came back", changed("offline", "-"), ["tablet of d is", "d runs as"]],
    ["a tablet that fell silent", changed("offline", "silent"), ["tablet of d is"]],
    [
      "the follower list of the leader",
      changed("replicates b=10", "replicates b=10 c=8"),
      ["a replicates to"],
    ],
    [
      "a replica more",
      partition(`${BASE}\n e follower,alive 1 offline`),
      ["replicas", "e is flagged", "tablet of e is", "e runs as", "e was last seen at offset"],
    ],
    [
      "the term history",
      {
        ...base,
        terms: [
          { term: 1n, offset: 0n },
          { term: 2n, offset: 5n },
        ],
      },
      ["terms"],
    ],
    ["the storage mode", { ...base, storageMode: "hdd" }, ["storage mode"]],
    ["the number of segments", { ...base, segCount: 1 }, ["segments"]],
    ["another table of the same name", { ...base, id: { ...base.id, tid: 8 } }, ["table id"]],
    ["an op at work", { ...base, activeOps: [op] }, ["ops that have not ended"]],
  ])("%s", (_what, view, facts) => {
    expect(differing(view)).toEqual(facts);
  });

  test("values that change by themselves are no facts: offsets of loaded replicas, snapshots being made", () => {
    expect(
      differing(
        changed("leader,normal,10 replicates b=10", "leader,making-snapshot,12 replicates b=11"),
      ),
    ).toEqual([]);
    expect(
      differing(
        changed("b follower,alive 10 follower,normal,10", "b follower,alive 12 follower,normal,12"),
      ),
    ).toEqual([]);
  });
});

/** The plan of a virtual cluster as it is now. */
async function planOf(virtual: VirtualCluster): Promise<RecoveryPlan> {
  const signal = new AbortController().signal;
  return (await virtual.clock.run(observeAndPlan(virtual.cluster, { signal }), 60_000)).plan;
}

/** A cluster with one table of two partitions, killed and restarted. */
async function brokenCluster(): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({ tablets: 3, model: { autoFailover: false } });
  virtual.model.createTable({ db: "db1", table: "t1", partitions: 2, replicas: 3 });
  virtual.model.put(50);
  await virtual.pass(5_000);
  virtual.model.outage();
  await virtual.pass(30_000);
  return virtual;
}

describe("planning and applying", () => {
  test("the prediction holds if the offsets are as last seen", async () => {
    const virtual = await brokenCluster();
    const made = await planOf(virtual);
    expect(made.partitions.map((one) => one.rounds.length)).toEqual([2, 2]);
    const foreseen = made.partitions.flatMap((one) =>
      one.rounds.flatMap((round) =>
        round.steps.map((step) => `${one.id.pid} ${step.kind} ${step.endpoint}`),
      ),
    );
    await virtual.recover({ planned: made });
    const done = virtual.events.flatMap((event) =>
      event.kind === "step-ended"
        ? [`${event.step.id?.pid} ${event.step.kind} ${event.step.endpoint}`]
        : [],
    );
    expect([...done].sort()).toEqual([...foreseen].sort());
    const after = viewPartitions(await virtual.clock.run(observe(virtual.cluster), 60_000));
    expect(after.map((view) => servingLeader(view)?.endpoint)).toEqual(
      made.partitions.map(plannedLeader),
    );
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("a changed cluster is left alone, and the differences are listed", async () => {
    const virtual = await brokenCluster();
    const made = await planOf(virtual);
    virtual.model.kill("b:9527");
    await virtual.pass(30_000);
    const before = virtual.model.events.length;
    const error: unknown = await virtual
      .recover({ planned: made })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "plan-stale" });
    expect((error as OpsError).details).toContain(
      "db1.t1:0: tablet of b:9527 is: was ok, is offline",
    );
    expect(virtual.model.events.slice(before)).toEqual([]);
  });

  test("partitions that are healthy by now count as done; partitions outside the plan are not changed", async () => {
    const virtual = await brokenCluster();
    const made = await planOf(virtual);
    const half = { ...made, partitions: made.partitions.slice(0, 1) };
    await virtual.recover({ planned: half });
    expect(virtual.model.rows().map((one) => one.served)).toEqual([50, undefined]);
    const seen = virtual.events.length;
    await virtual.recover({ planned: made });
    expect(virtual.model.healthy()).toEqual([]);
    const touched = virtual.events
      .slice(seen)
      .flatMap((event) => (event.kind === "step-ended" ? [event.step.id?.pid] : []));
    expect(new Set(touched)).toEqual(new Set([1]));
  });

  test("a plan of a healthy cluster does not fit an unhealthy one: nothing is done", async () => {
    const virtual = await brokenCluster();
    const made = { ...(await planOf(virtual)), partitions: [] };
    const before = virtual.events.length;
    const error: unknown = await virtual.recover({ planned: made }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "plan-stale" });
    expect((error as OpsError).details?.[0]).toMatch(/^db1\.t1:0: health: was healthy, is .+/);
    expect(virtual.events.slice(before).some((one) => one.kind === "step-started")).toBe(false);
  });

  test("another client changes the cluster during the question: nothing is done", async () => {
    const virtual = await brokenCluster();
    const error: unknown = await virtual
      .recover({
        review: async () => {
          virtual.model.kill("c:9527");
          await virtual.cluster.clock.sleep(30_000);
          return true;
        },
      })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "plan-stale" });
    expect(virtual.events.filter((event) => event.kind === "step-started")).toEqual([]);
  });

  test("a plan that moves a replica to another tablet is another plan", () => {
    const { id } = partition("a leader,alive 5 leader,normal,5");
    const movingTo = (to: string): Plan => ({
      ...{ method: undefined, only: {}, accept: new Map(), madeAt: "", partitions: [] },
      basis: { nameserver: "n", tablets: ["a"], autoFailover: false, partitions: 1 },
      others: [{ kind: "migrate", id, endpoint: "a", to, why: "", expects: "" }],
      ...{ facts: new Map(), notes: [] },
    });
    expect(() => assertSamePlan(movingTo("b"), movingTo("b"))).not.toThrow();
    expect(() => assertSamePlan(movingTo("b"), movingTo("c"))).toThrow("1 difference in 1 place");
  });

  test("a replica that the plan does not name never leads: not-as-planned", () => {
    const foreseen = partition(`
      a leader,alive   10 -
      b follower,alive 10 -`);
    const evidence = partition(`
      a leader,alive   10 follower,normal,4
      b follower,alive 10 follower,normal,10`);
    const first = {
      leader: undefined,
      steps: planDirect(foreseen).steps.map((one) => ({ ...one, expects: "" })),
      notes: [],
      blocked: undefined,
    };
    const made: RecoveryPlan = {
      ...(fc.sample(plan, { numRuns: 1, seed: 1 })[0] as RecoveryPlan),
      partitions: [
        {
          id: foreseen.id,
          facts: factsOf(foreseen),
          problems: [],
          first,
          rounds: [first, { leader: "a", steps: [], notes: [], blocked: undefined }],
        },
      ],
    };
    const bound = boundPlanner(made, planDirect);
    expect(planDirect(evidence).leader).toBe("b");
    expect(bound(foreseen, NO_ATTEMPTS).steps.map((one) => one.kind)).toEqual([
      "load-follower",
      "load-follower",
    ]);
    expect(bound(evidence, NO_ATTEMPTS)).toMatchObject({
      steps: [],
      blocked: { code: "not-as-planned", text: expect.stringContaining("names a to lead") },
    });
    const other = { ...evidence, id: { ...evidence.id, pid: 1 } };
    expect(bound(other, NO_ATTEMPTS)).toMatchObject({
      steps: [],
      blocked: { code: "not-as-planned" },
    });
  });
});

describe("the text of a plan", () => {
  test("shows every step, its expectations, the predicted rounds, and refusals", async () => {
    const virtual = await brokenCluster();
    virtual.model.kill("a:9527");
    await virtual.pass(30_000);
    const made = await planOf(virtual);
    const size = finish(sizeOf(made));
    const lines = allLines(planText(finish(savedPlan(made, maker("/openmldb"), digest)), size));
    const shown = lines.join("\n");
    expect(shown).toMatch(
      /round 1, to gather evidence:\n {4}1\. load b:9527 as follower, without replication \[not-loaded\]; expects: not loaded, last seen at offset 50/,
    );
    expect(shown).toContain("if the offsets are as last seen");
    expect(shown).toMatch(/stops there: its leader is unreachable: a:9527/);
    expect(lines.at(-1)).toMatch(
      /^plan: 2 of 2 partitions not healthy; \d+ changes to 4 replicas of 2 partitions; 0 left alone$/,
    );
    const question = questionText(made, size, "at /openmldb").join("\n");
    expect(question).toContain(`2 partitions, 4 replicas, about ${size.changes} changes`);
    expect(question).toContain("continue? [y/N]");
  });
});

describe("a plan of many partitions", () => {
  test("fits a screen: partitions with the same problems form one group; all steps with --verbose", async () => {
    const virtual = await startVirtualCluster({ model: { autoFailover: false } });
    virtual.model.createTable({ db: "db1", table: "t0", partitions: 305, replicas: 3 });
    virtual.model.put(3);
    await virtual.pass(5_000);
    virtual.model.outage();
    await virtual.pass(30_000);
    const made = await planOf(virtual);
    const size = finish(sizeOf(made));
    const saved = finish(savedPlan(made, maker("/openmldb"), digest));
    const lines = allLines(planText(saved, size));
    expect(lines.length).toBeLessThanOrEqual(24);
    expect(lines[1]).toMatch(/^305 partitions, not-loaded x3: load-follower x3, then /);
    expect(lines[2]).toBe("    db1.t0:0, db1.t0:1, db1.t0:2 and 302 more");
    expect(allLines(planText(saved, size, { isVerbose: true })).length).toBeGreaterThan(3_000);
    const rests = [...planText(saved, size)].filter((line) => line === undefined);
    expect(rests.length, "it may rest before each partition").toBeGreaterThanOrEqual(305);
  });
});
