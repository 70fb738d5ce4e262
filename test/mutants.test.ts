import { expect, test } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import { RULES } from "../src/execution/rules.js";
import { type PartitionId, type Role, replicaKey } from "../src/model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../src/model/partition-view.js";
import type { Lane, Method } from "../src/model/plan.js";
import type { Step } from "../src/model/step.js";
import type { Decision } from "../src/policy/who-may-lead.js";
import type { AnomalyName } from "./simulation/anomaly-kinds.js";
import type { Checker } from "./simulation/checkers.js";
import { simulate } from "./simulation/simulate.js";
import type { Planted } from "./simulation/tool-run.js";

/**
 * A bug that a change of the code could introduce, and the checkers that must detect it. It is planted through the seams of
 * {@link Planted}: replaced decisions, or the cluster, guard and signal of a run.
 */
interface Mutant {
  readonly name: string;
  readonly method: Method;
  /** At least one of these checkers must detect the bug. */
  readonly caughtBy: readonly Checker[];
  readonly plant: Planted;
  /** The anomaly of the seeds, in addition to their outage; none if left out. */
  readonly anomaly?: AnomalyName;
  /** The first seed to try, if the bug requires a rare fault; 1 if left out. */
  readonly from?: number;
}

const SEEDS_MAX = 150;
/** Ends a search that hangs. The number of seeds bounds any other one, whatever the speed of the machine. */
const SEARCH_MS = 600_000;

const MUTANTS: readonly Mutant[] = [
  {
    name: "the last replica flagged leader leads, whatever it holds (direct)",
    method: "direct",
    caughtBy: ["best-log-leads", "no-row-lost", "one-history"],
    plant: { rules: { decideLeader: lastFlagged } },
  },
  {
    name: "the leader is chosen from the offsets that the nameserver remembers",
    method: "direct",
    caughtBy: ["best-log-leads", "no-row-lost", "one-history", "same-entries"],
    plant: {
      rules: {
        decideLeader: (view, known) => RULES.decideLeader(withStaleOffsets(view), known),
      },
    },
  },
  {
    name: "an unread replica that is marked not alive is passed over, although the leader's disk lost entries",
    method: "direct",
    from: 960_386,
    caughtBy: ["best-log-leads"],
    plant: {
      rules: {
        decideLeader: (view, known) => RULES.decideLeader(withoutMarkedDead(view), known),
      },
    },
  },
  {
    name: "flags from before auto_failover marked replicas not alive are forgotten",
    method: "direct",
    from: 401_588,
    caughtBy: ["best-log-leads"],
    plant: {
      rules: {
        decideLeader: (view, known) => RULES.decideLeader(withoutEarlierEvidence(view), known),
      },
    },
  },
  {
    name: "the check for a tablet that is back right before a leader is made is left out",
    method: "direct",
    from: 402_774,
    caughtBy: ["best-log-leads"],
    plant: {
      rules: {
        plannerOf: (...args) => {
          const planner = RULES.plannerOf(...args);
          return (view, attempts) => withNoneAway(planner(view, attempts));
        },
      },
    },
  },
  {
    name: "the check for a running op is left out",
    method: "documented",
    caughtBy: ["op-not-repeated"],
    plant: { cluster: (cluster) => ({ ...cluster, showOpStatus: async () => [] }) },
  },
  {
    name: "auto_failover is not restored",
    method: "direct",
    caughtBy: ["auto-failover-kept"],
    plant: { guard: (guard) => wrapped(guard, { restore: async () => undefined }) },
  },
  {
    name: "every remaining partition is reported healthy",
    method: "direct",
    caughtBy: ["true-verdict"],
    plant: {
      rules: {
        *verifyPartitions(input) {
          return { ...(yield* RULES.verifyPartitions(input)), partitions: [] };
        },
      },
    },
  },
  {
    name: "RecoverTable is requested twice",
    method: "documented",
    caughtBy: ["op-not-repeated"],
    plant: {
      cluster: (cluster) => ({
        ...cluster,
        async recoverTable(id, endpoint) {
          await cluster.recoverTable(id, endpoint);
          await cluster.recoverTable(id, endpoint);
        },
      }),
    },
  },
  {
    name: "RecoverEndpoint is requested, whatever else it recovers",
    method: "documented",
    caughtBy: ["op-not-repeated"],
    plant: {
      cluster: (cluster) => ({
        ...cluster,
        recoverTable: (_id, endpoint) =>
          cluster.recoverEndpoint(endpoint, { needRestore: false, concurrency: 8 }),
      }),
    },
  },
  {
    name: "RecoverTable is requested again when its answer was lost",
    method: "documented",
    caughtBy: ["op-not-repeated"],
    plant: {
      cluster: (cluster) => ({
        ...cluster,
        recoverTable: (id, endpoint) =>
          cluster.recoverTable(id, endpoint).catch(() => cluster.recoverTable(id, endpoint)),
      }),
    },
  },
  {
    name: "a healthy replica is marked not alive for a moment",
    method: "direct",
    caughtBy: ["healthy-untouched"],
    plant: {
      cluster: (cluster) => ({
        ...cluster,
        async updateTableAlive(target, isAlive) {
          await cluster.updateTableAlive(target, isAlive);
          if (!isAlive) return;
          await cluster.updateTableAlive(target, false);
          await cluster.updateTableAlive(target, true);
        },
      }),
    },
  },
  {
    name: "every replica is loaded as leader",
    method: "direct",
    caughtBy: ["one-writer", "one-leader-made", "best-log-leads", "one-history"],
    plant: { cluster: loadingLeaders },
  },
  {
    name: "the shortest log leads",
    method: "direct",
    // Rows are not lost: what the others hold beyond it is left for a decision.
    caughtBy: ["best-log-leads"],
    plant: { rules: { decideLeader: shortest } },
  },
  {
    name: "no step sees a leader that was made since the first observation",
    method: "direct",
    caughtBy: ["one-leader-made", "one-writer"],
    plant: { cluster: rememberingRoles },
  },
  {
    name: "whichever replica is flagged leader is loaded as leader and marked alive",
    method: "direct",
    caughtBy: ["one-writer"],
    plant: {
      cluster: (cluster) => ({
        ...loadingLeaders(cluster),
        changeRole: async (endpoint, request) => {
          if (request.role === "leader") return cluster.changeRole(endpoint, request);
          const table = (await cluster.showTable()).find((one) => one.tid === request.tid);
          if (table !== undefined) await markLeadersAlive(cluster, { ...table, pid: request.pid });
        },
        setPartitionFlags: (id) => markLeadersAlive(cluster, id),
      }),
    },
  },
  {
    name: "a load that fails is waited for without end",
    method: "direct",
    caughtBy: ["bounded"],
    plant: {
      cluster: (cluster) => ({
        ...cluster,
        loadTable: (endpoint, request) =>
          cluster.loadTable(endpoint, request).catch(() => new Promise<never>(() => undefined)),
      }),
    },
  },
  {
    name: "a run that is stopped waits for its calls",
    method: "direct",
    caughtBy: ["stops-in-time"],
    // Calls are not made again after the signal, so only one that hangs holds the run up.
    from: 560,
    plant: { signal: wakingNothing },
  },
  {
    name: "followers are not recovered",
    method: "direct",
    caughtBy: ["converges"],
    plant: {
      rules: {
        plannerOf: (...args) => {
          const planner = RULES.plannerOf(...args);
          const isKept = ({ kind }: Step) => kind !== "replicate" && kind !== "recover-table";
          return (view, attempts) => {
            const lane = planner(view, attempts);
            return { ...lane, steps: lane.steps.filter(isKept) };
          };
        },
      },
    },
  },
  {
    name: "identity is not checked: any process that answers at a name is taken for that tablet",
    method: "direct",
    anomaly: "any",
    caughtBy: ["foreign-tablet-untouched"],
    plant: { rules: { identify: (cluster) => cluster } },
  },
  {
    name: "identity is checked once in a run: the tablet of a new connection is taken for the same",
    method: "direct",
    anomaly: "any",
    from: 60,
    caughtBy: ["foreign-tablet-untouched"],
    plant: { cluster: withLastingConnections },
  },
  {
    name: "a plan is executed without a check that it is of this cluster",
    method: "direct",
    caughtBy: ["plan-kept"],
    plant: { rules: { checkPlan: () => undefined } },
  },
  {
    name: "rows that have expired or soon will are compared too",
    method: "direct",
    from: 46,
    caughtBy: ["rows-agree"],
    plant: {
      rules: { liveRule: () => RULES.liveRule({ kind: "absolute", absMs: 0n, latest: 0n }, 0) },
    },
  },
  {
    name: "rows are compared beyond the offset that all replicas had reached",
    method: "direct",
    from: 64,
    caughtBy: ["rows-agree"],
    plant: {
      rules: {
        provenDifferences: (replicas, most) =>
          RULES.provenDifferences(
            replicas.map((one) => ({ ...one, second: one.first })),
            most,
          ),
      },
    },
  },
  {
    name: "rows are reported the same without a comparison",
    method: "direct",
    caughtBy: ["rows-agree"],
    plant: { rules: { provenDifferences: () => ({ groups: [], ambiguous: 0 }) } },
  },
];

/** An object whose other methods are those of `real`. */
function wrapped<T extends object>(real: T, changed: Partial<T>): T {
  return new Proxy(real, {
    get(target, name) {
      if (Object.hasOwn(changed, name)) return Reflect.get(changed, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A signal that is aborted with `signal`, and calls no listener. */
function wakingNothing(signal: AbortSignal): AbortSignal {
  const mute = new AbortController().signal;
  return Object.defineProperties(mute, {
    aborted: { get: () => signal.aborted },
    reason: { get: () => signal.reason },
    throwIfAborted: { value: () => signal.throwIfAborted() },
  });
}

function loadingLeaders(cluster: Cluster): Cluster {
  return {
    ...cluster,
    loadTable: (endpoint, request) => cluster.loadTable(endpoint, { ...request, role: "leader" }),
  };
}

/** Each replica keeps the role in which it was first seen. */
function rememberingRoles(cluster: Cluster): Cluster {
  const seen = new Map<string, Role | undefined>();
  return {
    ...cluster,
    async getTableStatus(endpoint, of) {
      const reports = await cluster.getTableStatus(endpoint, of);
      return reports.map((report) => {
        const key = `${endpoint} ${replicaKey(report)}`;
        const role = seen.get(key) ?? report.role;
        seen.set(key, role);
        return { ...report, role };
      });
    },
  };
}

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

function withoutMarkedDead(view: PartitionView): PartitionView {
  const isKept = ({ claim, report }: ReplicaView) =>
    claim.isAlive || claim.isLeader || report !== undefined;
  return { ...view, replicas: view.replicas.filter(isKept) };
}

function withoutEarlierEvidence(view: PartitionView): PartitionView {
  if (view.known === undefined) return view;
  const { bounds, replicas } = view.known;
  const forgotten = { ...bounds, alive: undefined, offsets: new Map() };
  return { ...view, known: { bounds: forgotten, replicas } };
}

function withNoneAway(lane: Lane): Lane {
  const { bounds, replicas } = lane.evidence;
  const there = [...replicas].map(([key, one]) => [key, { ...one, away: undefined }] as const);
  return { ...lane, evidence: { bounds, replicas: new Map(there) } };
}

function withLastingConnections(cluster: Cluster): Cluster {
  const first = new Map<string, ReturnType<Cluster["connection"]>>();
  return {
    ...cluster,
    connection(endpoint) {
      const connection = first.get(endpoint) ?? cluster.connection(endpoint);
      first.set(endpoint, connection);
      return connection;
    },
    admit: () => undefined,
  };
}

test.each(MUTANTS)("caught: $name", { timeout: SEARCH_MS }, async (mutant) => {
  const { name, plant, caughtBy, from = 1, ...how } = mutant;
  const play = { method: how.method, anomaly: how.anomaly };
  for (let seed = from; seed < from + SEEDS_MAX; seed += 1) {
    const found = (await simulate(seed, { ...play, plant })).violations.map((one) => one.checker);
    const by = found.find((checker) => caughtBy.includes(checker));
    // A seed that fails without the bug proves nothing.
    if (by === undefined || (await simulate(seed, play)).violations.length > 0) continue;
    process.stdout.write(`caught by ${by}, seed ${seed}: ${name}\n`);
    return;
  }
  expect.fail(`none of ${SEEDS_MAX} seeds from ${from} noticed: ${name}`);
});
