import { problemsAt } from "../diagnosis/diagnose.js";
import { refused } from "../errors.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { groupBy } from "../model/groups.js";
import { partitionName, replicaAt } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { recoverStep } from "./condition.js";
import {
  leaderSteps,
  opsNotes,
  type PartitionSurvey,
  survey,
  touchedViews,
  unfinished,
} from "./moves.js";
import type { Operation, OperationPlan } from "./operation.js";
import { leads, type UpgradeOptions, upgradeFlags } from "./pre-upgrade.js";
import { contradicts, isLineOf, type StatLine, statText } from "./statfile.js";
import { assertNone, assertUsable, type Obstacle, shortList } from "./targets.js";

/**
 * Recovers the replicas of a tablet after its upgrade, makes it lead the partitions in the statfile
 * again, and deletes the replicas that were added meanwhile. A line is removed from the statfile as
 * soon as its partition is restored.
 */
export function postUpgradeOperation(options: UpgradeOptions): Operation {
  const { endpoint, store } = options;
  return {
    typed: { cmd: "post-upgrade", ...upgradeFlags(options) },
    needsOff: true,
    waitsForOps: true,
    concurrency: options.concurrency,
    plan: (state) => planPostUpgrade(state, options, store.read()),
    async afterLane(steps) {
      const id = steps[0]?.id;
      if (id !== undefined) {
        store.remove((line) => line.endpoint === endpoint && isLineOf(line, id));
      }
    },
    verify: (after, results) =>
      unfinished(after, results, () => {
        const lines = store.read();
        // The last line was removed with its partition.
        return lines === undefined ? NOTHING : planPostUpgrade(after, options, lines);
      }),
    conclude(after) {
      const all = survey(after, true);
      const byKey = new Map(all.map((one) => [one.key, one]));
      store.remove((line) => line.endpoint === endpoint && isDone(line, byKey));
      const left = (store.read() ?? []).filter((line) => line.endpoint === endpoint).length;
      const led = all.filter((one) => leads(one, endpoint)).length;
      return [
        `${endpoint} leads ${led} partitions now; ${left === 0 ? "it leads all its partitions again" : `${left} lines are left in ${store.path}`}`,
      ];
    },
  };
}

const NOTHING: OperationPlan = { steps: [], notes: [], restsOn: [] };

/** @param lines The lines of the statfile; undefined if there is none. */
function planPostUpgrade(
  state: ClusterState,
  options: UpgradeOptions,
  lines: readonly StatLine[] | undefined,
): OperationPlan {
  const { endpoint, store } = options;
  if (lines === undefined) {
    throw refused(
      `there is no statfile ${store.path}: either post-upgrade has restored everything already, or pre-upgrade wrote another one`,
      "name the statfile of pre-upgrade with --statfile",
    );
  }
  assertUsable(state, endpoint, "tablet");
  const own = lines.filter((line) => line.endpoint === endpoint);
  const byKey = groupBy(own, replicaKey);
  const linesOf = (one: PartitionSurvey) => byKey.get(one.key) ?? [];
  const all = survey(state, true);
  const here = all.filter((one) => replicaAt(one.view, endpoint) !== undefined);
  assertNone(
    [
      ...all.flatMap((one) => contradictions(one, linesOf(one), options)),
      ...here.flatMap((one) => withoutLeader(one, linesOf(one), options)),
      ...here.flatMap((one) => shortages(one, linesOf(one), options)),
    ],
    `post-upgrade of ${endpoint}`,
  );
  const steps = here.flatMap((one) => lane(one, linesOf(one), endpoint));
  const known = new Set(here.flatMap((one) => linesOf(one)));
  const gone = own.filter((line) => !known.has(line));
  return {
    steps,
    notes: [
      ...opsNotes(state),
      ...shortList(gone.map(statText), `${endpoint} has no replica of it any more, left out: `),
      ...(own.length === 0 ? [`${store.path} has no line of ${endpoint}`] : []),
    ],
    restsOn: touchedViews(here, steps),
  };
}

/**
 * The steps that restore one partition to its state before `pre-upgrade`.
 *
 * @param lines The lines of this partition, for one tablet.
 */
function lane(one: PartitionSurvey, lines: readonly StatLine[], endpoint: Endpoint): Step[] {
  const { view, condition } = one;
  const steps: Step[] = [];
  if (condition.kind === "half-done") for (const one of condition.heal) steps.push(one);
  else if (isUnhealthy(one, endpoint)) {
    steps.push(recoverStep(view, endpoint, "not loaded after the restart"));
  }
  if (lines.length === 0) return steps;
  const leader = condition.kind === "unhealthy" ? servingLeader(view)?.endpoint : condition.leader;
  if (leader !== undefined && leader !== endpoint) {
    const why = "it led before the upgrade";
    const back = leaderSteps(view, { from: leader, to: endpoint, why, isFirst: true });
    for (const one of back) steps.push(one);
  }
  for (const added of addedOf(one, lines)) {
    steps.push({
      kind: "del-replica",
      id: view.id,
      endpoint: added,
      why: "it was added for the upgrade",
    });
  }
  return steps;
}

function isUnhealthy({ view }: PartitionSurvey, endpoint: Endpoint): boolean {
  return problemsAt(view, endpoint).some((one) => one.code !== "behind");
}

/** Replicas that were added for the upgrade and still exist. */
function addedOf({ view }: PartitionSurvey, lines: readonly StatLine[]): Endpoint[] {
  return [...new Set(lines.map((line) => line.added))].filter(
    (added) =>
      replicaAt(view, added) !== undefined && !lines.some((line) => line.endpoint === added),
  );
}

/**
 * Lines whose partition has another name in this cluster: they were written for another cluster.
 */
function contradictions(
  { view }: PartitionSurvey,
  lines: readonly StatLine[],
  { store }: UpgradeOptions,
): Obstacle[] {
  return lines
    .filter((line) => contradicts(line, view.id))
    .map((line) => ({
      text: `${store.path} says "${statText(line)}", and partition ${line.pid} of table id ${line.tid} is ${partitionName(view.id)} here`,
      hint: "name the statfile that pre-upgrade wrote for this cluster with --statfile",
    }));
}

/** Replicas that the statfile lists as added, and that the table needs. */
function shortages(
  one: PartitionSurvey,
  lines: readonly StatLine[],
  { store }: UpgradeOptions,
): Obstacle[] {
  const { specified } = one;
  const { id, replicas } = one.view;
  const added = addedOf(one, lines);
  const left = replicas.length - added.length;
  if (added.length === 0 || left >= specified) return [];
  return [
    {
      text: `${partitionName(id)}: ${store.path} says that the replica at ${added.join(" and ")} was added for the upgrade, but without it ${left} replicas are left of the ${specified} that the table specifies`,
      hint: "find out why; to keep the replica, remove its endpoint from the line in the statfile",
    },
  ];
}

/** Why a partition in the statfile cannot be restored now. */
function withoutLeader(
  { view, condition }: PartitionSurvey,
  lines: readonly StatLine[],
  { print }: UpgradeOptions,
): Obstacle[] {
  if (lines.length === 0 || condition.kind !== "unhealthy") return [];
  if (servingLeader(view) !== undefined || view.replicas.length === 1) return [];
  return [
    {
      text: `${partitionName(view.id)}: it has no leader: ${condition.why}`,
      hint: `recover it first with: ${print({ cmd: "recoverdata" })}`,
    },
  ];
}

/**
 * True if nothing is left to do for a line, also if the tablet has no replica of the partition any
 * more.
 */
function isDone(line: StatLine, all: ReadonlyMap<string, PartitionSurvey>): boolean {
  const one = all.get(replicaKey(line));
  if (one === undefined || replicaAt(one.view, line.endpoint) === undefined) return true;
  if (contradicts(line, one.view.id)) return false;
  return leads(one, line.endpoint) && addedOf(one, [line]).length === 0;
}
