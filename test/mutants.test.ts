import { afterEach, expect, test, vi } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import type { PartitionId } from "../src/model/cluster-state.js";
import type { PartitionView } from "../src/model/partition-view.js";
import type { Lane, Step } from "../src/model/plan.js";
import type { Method } from "../src/planning/method.js";
import type { Decision } from "../src/policy/who-may-lead.js";
import type { Guard } from "../src/run/guard.js";
import type { Checker } from "./simulation/checkers.js";
import type { SimulationOptions } from "./simulation/simulate.js";

/** A bug that somebody could write, and what must notice it. */
interface Mutant {
  readonly name: string;
  readonly method: Method;
  /** Any of these may be the first to notice. */
  readonly caughtBy: readonly Checker[];
  /** A module of src that is replaced, with what replaces some of its exports. */
  readonly module?: string;
  readonly replace?: (real: Record<string, unknown>) => Record<string, unknown>;
  /** Or clients that misbehave. */
  readonly spoil?: (cluster: Cluster) => Cluster;
  /** The first seed to try, where it takes a rare fault; 1 if left out. */
  readonly from?: number;
}

const SEEDS_MAX = 150;

const MUTANTS: readonly Mutant[] = [
  {
    name: "the last replica flagged leader leads, whatever it holds (direct)",
    method: "direct",
    caughtBy: ["best-log-leads", "no-row-lost", "one-history"],
    module: "policy/who-may-lead",
    replace: (real) => ({ ...real, decideLeader: lastFlagged }),
  },
  {
    name: "the leader is chosen from the offsets that the nameserver remembers",
    method: "direct",
    caughtBy: ["best-log-leads", "no-row-lost", "one-history", "same-entries"],
    module: "policy/who-may-lead",
    replace: (real) => ({
      ...real,
      decideLeader: (view: PartitionView, known: unknown) =>
        (real["decideLeader"] as (view: PartitionView, known: unknown) => Decision)(
          withStaleOffsets(view),
          known,
        ),
    }),
  },
  {
    name: "an op that is running is not looked for",
    method: "documented",
    caughtBy: ["op-not-repeated"],
    module: "steps/waits",
    replace: (real) => ({ ...real, opsEnded: async () => [] }),
  },
  {
    name: "auto_failover is not put back",
    method: "direct",
    caughtBy: ["auto-failover-kept"],
    module: "run/guard",
    replace: (real) => ({
      ...real,
      createGuard: (options: unknown): Guard => {
        const guard = (real["createGuard"] as (options: unknown) => Guard)(options);
        return new Proxy(guard, {
          get(target, name) {
            if (name === "restore") return async () => undefined;
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
    }),
  },
  {
    name: "whatever is left is called well",
    method: "direct",
    caughtBy: ["true-verdict"],
    module: "diagnosis/verdict",
    replace: (real) => ({
      ...real,
      judge: (input: unknown) => ({
        ...(real["judge"] as (input: unknown) => object)(input),
        partitions: [],
      }),
    }),
  },
  {
    name: "RecoverTable is asked for twice",
    method: "documented",
    caughtBy: ["op-not-repeated"],
    spoil: (cluster) => ({
      ...cluster,
      async recoverTable(id, endpoint) {
        await cluster.recoverTable(id, endpoint);
        await cluster.recoverTable(id, endpoint);
      },
    }),
  },
  {
    name: "RecoverEndpoint is asked for, whatever else it recovers",
    method: "documented",
    caughtBy: ["op-not-repeated"],
    spoil: (cluster) => ({
      ...cluster,
      recoverTable: (_id, endpoint) =>
        cluster.recoverEndpoint(endpoint, { needRestore: false, concurrency: 8 }),
    }),
  },
  {
    name: "RecoverTable is asked for again when its answer was lost",
    method: "documented",
    caughtBy: ["op-not-repeated"],
    spoil: (cluster) => ({
      ...cluster,
      recoverTable: (id, endpoint) =>
        cluster.recoverTable(id, endpoint).catch(() => cluster.recoverTable(id, endpoint)),
    }),
  },
  {
    name: "a healthy replica is marked dead for a moment",
    method: "direct",
    caughtBy: ["healthy-untouched"],
    spoil: (cluster) => ({
      ...cluster,
      async updateTableAlive(target, isAlive) {
        await cluster.updateTableAlive(target, isAlive);
        if (!isAlive) return;
        await cluster.updateTableAlive(target, false);
        await cluster.updateTableAlive(target, true);
      },
    }),
  },
  {
    name: "every replica is loaded as leader",
    method: "direct",
    caughtBy: ["one-writer", "one-leader-made", "best-log-leads", "one-history"],
    spoil: (cluster) => ({
      ...cluster,
      loadTable: (endpoint, request) => cluster.loadTable(endpoint, { ...request, role: "leader" }),
    }),
  },
  {
    name: "the shortest log leads, and the others are given to RecoverTable",
    method: "direct",
    caughtBy: ["no-row-lost"],
    module: "policy/who-may-lead",
    replace: (real) => ({ ...real, decideLeader: shortest, isSuspect: () => true }),
  },
  {
    name: "no step looks again whether the plan still fits",
    method: "direct",
    caughtBy: ["one-leader-made", "one-writer"],
    module: "steps/step-preconditions",
    replace: (real) => ({
      ...real,
      outdated: () => undefined,
      otherLeader: async () => undefined,
      serves: () => true,
    }),
  },
  {
    name: "whoever is flagged leader is loaded as leader and marked alive",
    method: "direct",
    caughtBy: ["one-writer"],
    spoil: (cluster) => ({
      ...cluster,
      loadTable: (endpoint, request) => cluster.loadTable(endpoint, { ...request, role: "leader" }),
      changeRole: async (endpoint, request) => {
        if (request.role === "leader") await cluster.changeRole(endpoint, request);
      },
      setPartitionFlags: (id) => markLeadersAlive(cluster, id),
    }),
  },
  {
    name: "a load that fails is waited for without end",
    method: "direct",
    caughtBy: ["bounded"],
    spoil: (cluster) => ({
      ...cluster,
      loadTable: (endpoint, request) =>
        cluster.loadTable(endpoint, request).catch(() => new Promise<never>(() => undefined)),
    }),
  },
  {
    name: "a run that is told to stop waits for its calls",
    method: "direct",
    caughtBy: ["stops-in-time"],
    // Calls are not made again after the signal, so only one that hangs holds the run up.
    from: 560,
    module: "util/until-aborted",
    replace: (real) => ({ ...real, untilAborted: (work: Promise<unknown>) => work }),
  },
  {
    name: "followers are left to others",
    method: "direct",
    caughtBy: ["converges"],
    module: "planning/direct",
    replace: (real) => ({
      ...real,
      planDirect: (...args: readonly unknown[]) => {
        const lane = (real["planDirect"] as (...all: readonly unknown[]) => Lane)(...args);
        const isKept = ({ kind }: Step) => kind !== "feed" && kind !== "recover-table";
        return { ...lane, steps: lane.steps.filter(isKept) };
      },
    }),
  },
  {
    name: "a plan is executed on whatever cluster there is",
    method: "direct",
    caughtBy: ["plan-kept"],
    module: "planning/check-saved-plan",
    replace: (real) => ({ ...real, checkPlan: () => undefined }),
  },
];

async function markLeadersAlive(cluster: Cluster, id: PartitionId): Promise<void> {
  const [table] = await cluster.showTable(id);
  const part = table?.partitions.find((one) => one.pid === id.pid);
  for (const { endpoint, isLeader } of part?.replicas ?? []) {
    if (isLeader) await cluster.updateTableAlive({ ...id, endpoint }, true);
  }
}

function lastFlagged(view: PartitionView): Decision {
  const loaded = view.replicas.filter((one) => one.report !== undefined);
  const leader = loaded.filter((one) => one.claim.isLeader).at(-1) ?? loaded.at(-1);
  if (leader === undefined) {
    return { blocked: { code: "not-loaded", endpoint: undefined, text: "nothing is loaded" } };
  }
  return { leader, joiners: loaded.filter((one) => one !== leader) };
}

function shortest(view: PartitionView): Decision {
  const loaded = view.replicas.filter((one) => one.report !== undefined);
  const offsetOf = (one: (typeof loaded)[number]) => Number(one.report?.offset ?? 0n);
  const [leader] = [...loaded].sort((a, b) => offsetOf(a) - offsetOf(b));
  if (leader === undefined) {
    return { blocked: { code: "not-loaded", endpoint: undefined, text: "nothing is loaded" } };
  }
  return { leader, joiners: [] };
}

function withStaleOffsets(view: PartitionView): PartitionView {
  const replicas = view.replicas.map((one) =>
    one.report === undefined
      ? one
      : { ...one, report: { ...one.report, offset: one.claim.offset ?? 0n } },
  );
  return { ...view, replicas };
}

afterEach(() => {
  for (const { module } of MUTANTS) {
    if (module !== undefined) vi.doUnmock(`../src/${module}.js`);
  }
  vi.resetModules();
});

test.each(MUTANTS)("caught: $name", async (mutant) => {
  const sound = (await import("./simulation/simulate.js")).simulate;
  const { module, replace } = mutant;
  if (module !== undefined && replace !== undefined) {
    vi.resetModules();
    vi.doMock(`../src/${module}.js`, async (real) => replace(await real()));
  }
  const { simulate } = await import("./simulation/simulate.js");
  const options: SimulationOptions = { method: mutant.method };
  const spoiled = mutant.spoil === undefined ? options : { ...options, spoil: mutant.spoil };
  const { from = 1 } = mutant;
  for (let seed = from; seed < from + SEEDS_MAX; seed += 1) {
    const found = (await simulate(seed, spoiled)).violations.map((one) => one.checker);
    const by = found.find((checker) => mutant.caughtBy.includes(checker));
    // A seed that fails without the bug proves nothing.
    if (by === undefined || (await sound(seed, options)).violations.length > 0) continue;
    process.stdout.write(`caught by ${by}, seed ${seed}: ${mutant.name}\n`);
    expect(mutant.caughtBy).toContain(by);
    return;
  }
  expect.fail(`none of ${SEEDS_MAX} seeds from ${from} noticed: ${mutant.name}`);
});
