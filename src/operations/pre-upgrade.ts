import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { partitionName, replicaAt } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import type { PrintCommand } from "../model/tool-command.js";
import { checkLeaderChange } from "../policy/check-leader-change.js";
import { isFit } from "./condition.js";
import {
  leaderSteps,
  opsNotes,
  type PartitionSurvey,
  placed,
  survey,
  touchedViews,
  unfinished,
  usableTablets,
} from "./moves.js";
import type { Operation, OperationPlan } from "./operation.js";
import { countReplicas, emptiest } from "./placement.js";
import { type LeaderChoice, spreadLeaders } from "./placement-leaders.js";
import { isLineOf, type StatLine, type StatStore } from "./statfile.js";
import { assertNone, assertUsable, type Obstacle, shortList } from "./targets.js";

/** The options of `pre-upgrade` and `post-upgrade`. */
export interface UpgradeOptions {
  readonly endpoint: Endpoint;
  readonly store: StatStore;
  /** Limit of partitions that are processed concurrently. */
  readonly concurrency: number;
  readonly print: PrintCommand;
}

/** The options of `pre-upgrade`. */
export interface PreUpgradeOptions extends UpgradeOptions {
  /** True if partitions with one replica stay on the tablet, out of service meanwhile. */
  readonly allowsSingle: boolean;
}

/** The flags of both commands. */
export function upgradeFlags({ endpoint, store }: UpgradeOptions) {
  return { endpoints: [endpoint], statfile: store.path };
}

/**
 * Moves the leaders off a tablet that is about to be stopped. A partition with one replica gets a
 * second one on another tablet first. Each partition is written to the statfile before it is changed,
 * so that `post-upgrade` can also restore what an interrupted run changed.
 */
export function preUpgradeOperation(options: PreUpgradeOptions): Operation {
  const { endpoint, store, allowsSingle } = options;
  let planned: OperationPlan | undefined;
  return {
    typed: { cmd: "pre-upgrade", ...upgradeFlags(options), allow_single_replica: allowsSingle },
    needsOff: true,
    waitsForOps: true,
    concurrency: options.concurrency,
    plan(state) {
      planned = planPreUpgrade(state, options, store.read());
      return planned;
    },
    async before(step) {
      const line = planned && lineFor(planned.steps, step, endpoint);
      if (line === undefined || isNoted(store, line)) return;
      store.append(line);
    },
    verify: (after, results) =>
      unfinished(after, results, () => planPreUpgrade(after, options, store.read())),
    conclude(after) {
      store.touch();
      const left = survey(after, true).filter((one) => leads(one, endpoint));
      const lines = (store.read() ?? []).filter((line) => line.endpoint === endpoint);
      const singles = left.length === 0 ? "" : `, ${left.length} partitions with one replica stay`;
      return [
        `${endpoint} leads ${left.length} partitions now${singles}; ${lines.length} to be restored are in ${store.path}`,
        `when the tablet is back: ${options.print({ cmd: "post-upgrade", ...upgradeFlags(options) })}`,
      ];
    },
  };
}

/** True if the tablet leads the partition, also if an interrupted run marked it not alive. */
export function leads({ view, condition }: PartitionSurvey, endpoint: Endpoint): boolean {
  if (condition.kind !== "unhealthy") return condition.leader === endpoint;
  return view.replicas.some(
    (one) => one.endpoint === endpoint && one.claim.isLeader && one.claim.isAlive,
  );
}

/** @param noted The lines of the statfile; undefined if there is none. */
function planPreUpgrade(
  state: ClusterState,
  options: PreUpgradeOptions,
  noted: readonly StatLine[] | undefined,
): OperationPlan {
  const { endpoint, store, allowsSingle } = options;
  assertUsable(state, endpoint, "tablet");
  const all = survey(state, true);
  const here = all.filter((one) => replicaAt(one.view, endpoint) !== undefined);
  const led = here.filter((one) => leads(one, endpoint));
  const staying = allowsSingle ? led.filter((one) => one.view.replicas.length === 1) : [];
  const going = led.filter((one) => !staying.includes(one));
  const others = usableTablets(state).filter((one) => one !== endpoint);
  assertNone(
    going.flatMap((one) => obstacleTo(one, others, options) ?? []),
    `pre-upgrade of ${endpoint}`,
  );
  const lines = (noted ?? []).filter((line) => line.endpoint === endpoint);
  const additions = chooseAdditions(all, going, others);
  const choices = all.map((one) => choiceOf(one, { endpoint, lines, additions, going }));
  const newLeaders = spreadLeaders(choices, others, true);
  const steps = here.flatMap((one) => [
    // The leftovers of an interrupted run are repaired also where the tablet no longer leads.
    ...(one.condition.kind === "half-done" ? one.condition.heal : []),
    ...(going.includes(one)
      ? stepsToHandOver(one, {
          endpoint,
          to: newLeaders.get(one.key) ?? "",
          adds: additions.has(one.key),
        })
      : []),
  ]);
  return {
    steps,
    notes: [
      ...opsNotes(state),
      ...shortList(
        staying.map((one) => partitionName(one.view.id)),
        "one replica, stays and is out of service while the tablet is down: ",
      ),
      ...(lines.length > 0
        ? [`${store.path} has ${lines.length} lines of ${endpoint} from before; they stay`]
        : []),
    ],
    restsOn: touchedViews(here, steps),
    facts: { "tablets that may lead": others.join(" ") },
  };
}

function obstacleTo(
  { view, condition }: PartitionSurvey,
  others: readonly Endpoint[],
  { endpoint, print }: PreUpgradeOptions,
): Obstacle | undefined {
  const name = partitionName(view.id);
  if (view.replicas.length === 1) {
    if (others.length > 0 && condition.kind !== "unhealthy") return undefined;
    return {
      text: `${name} has one replica, and no other tablet can take a second one`,
      hint: "leave such partitions there, out of service, with --allow_single_replica",
    };
  }
  const follower = view.replicas.find((one) => one.endpoint !== endpoint && isFit(view, one));
  if (condition.kind === "half-done") return undefined;
  const change =
    follower && checkLeaderChange(view, { candidate: follower.endpoint, acceptsLoss: false });
  if (change !== undefined && !("refusal" in change)) return undefined;
  const why =
    change?.refusal ??
    (condition.kind === "unhealthy" ? condition.why : "no other replica is healthy");
  return {
    text: `${name}: no follower can lead instead of ${endpoint}: ${why}`,
    hint: `recover its followers first with: ${print({ cmd: "recoverdata" })}`,
  };
}

/**
 * Chooses the tablets on which partitions with one replica get a second one: those with the fewest replicas, in turn.
 */
function chooseAdditions(
  all: readonly PartitionSurvey[],
  going: readonly PartitionSurvey[],
  others: readonly Endpoint[],
): ReadonlyMap<string, Endpoint> {
  const counts = countReplicas(all.map(placed), others);
  const chosen = new Map<string, Endpoint>();
  for (const { key, view } of going.filter((one) => one.view.replicas.length === 1)) {
    const to = emptiest(counts, (one) => replicaAt(view, one) === undefined);
    if (to === undefined) continue;
    counts.set(to, (counts.get(to) ?? 0) + 1);
    chosen.set(key, to);
  }
  return chosen;
}

function choiceOf(
  one: PartitionSurvey,
  of: {
    readonly endpoint: Endpoint;
    readonly lines: readonly StatLine[];
    readonly additions: ReadonlyMap<string, Endpoint>;
    readonly going: readonly PartitionSurvey[];
  },
): LeaderChoice {
  const { key, view } = one;
  const { endpoint } = of;
  const current = view.replicas.find((replica) => leads(one, replica.endpoint))?.endpoint ?? "";
  if (!of.going.includes(one)) return { key, current, candidates: [current] };
  // A replica that an interrupted run added is meant to lead.
  const line = of.lines.find((text) => isLineOf(text, view.id) && text.added !== "");
  const followers = view.replicas.filter((replica) => replica.endpoint !== endpoint);
  const added = followers.find((replica) => replica.endpoint === line?.added)?.endpoint;
  const known = of.additions.get(key) ?? added;
  const fit = followers.filter((replica) => isFit(view, replica));
  const candidates = fit.length > 0 ? fit : followers;
  return {
    key,
    current: endpoint,
    candidates: known === undefined ? candidates.map((replica) => replica.endpoint) : [known],
  };
}

function stepsToHandOver(
  { view }: PartitionSurvey,
  {
    endpoint,
    to,
    adds,
  }: { readonly endpoint: Endpoint; readonly to: Endpoint; readonly adds: boolean },
): Step[] {
  const why = `${endpoint} is to be upgraded`;
  return [
    ...(adds
      ? [{ kind: "add-replica" as const, id: view.id, endpoint: to, why: "it has one replica" }]
      : []),
    ...leaderSteps(view, { from: endpoint, to, why, isFirst: true }),
  ];
}

/**
 * The line that must be in the statfile before a step; undefined if the partition's leader does not
 * change.
 */
function lineFor(steps: readonly Step[], step: Step, endpoint: Endpoint): StatLine | undefined {
  const { id } = step;
  const own = steps.filter((one) => one.id === id);
  if (id === undefined || !own.some((one) => one.kind === "change-leader")) return undefined;
  const added = own.find((one) => one.kind === "add-replica")?.endpoint ?? "";
  return { endpoint, db: id.db, table: id.table, tid: id.tid, pid: id.pid, added };
}

/**
 * True if the statfile has the line already. A line with an added replica must not be replaced by one
 * without.
 */
function isNoted(store: StatStore, line: StatLine): boolean {
  const own = (store.read() ?? []).filter(
    (one) => one.endpoint === line.endpoint && isLineOf(one, line),
  );
  return own.some((one) => line.added === "" || one.added === line.added);
}
