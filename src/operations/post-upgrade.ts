import { diagnose } from "../diagnosis/diagnose.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { partitionName } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { recoverStep } from "./condition.js";
import { leaderSteps, opsNotes, type Surveyed, stillToDo, survey } from "./moves.js";
import type { Operation, OperationPlan } from "./operation.js";
import { leads, type UpgradeOptions, upgradeFlags } from "./pre-upgrade.js";
import { shortList, touchedProblems } from "./scaleout.js";
import { contradicts, isLineOf, type StatLine, statText } from "./statfile.js";
import { assertNone, assertUsable, type Obstacle, refused, replicaAt } from "./targets.js";

/**
 * Brings the replicas of a tablet back after its upgrade, gives it the leaders back that the statfile
 * names, and takes the replicas away that were added meanwhile. A line leaves the statfile as soon as
 * its partition is as it was.
 */
export function postUpgradeOperation(options: UpgradeOptions): Operation {
  const { endpoint, store } = options;
  return {
    command: "post-upgrade",
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
    verify(after, results) {
      const lines = store.read();
      const left =
        lines === undefined ? [] : stillToDo(() => planPostUpgrade(after, options, lines));
      return [...touchedProblems(after, results), ...left];
    },
    conclude(after) {
      const all = survey(after, true);
      const byKey = new Map(all.map((one) => [one.key, one]));
      store.remove((line) => line.endpoint === endpoint && isDone(line, byKey));
      const left = (store.read() ?? []).filter((line) => line.endpoint === endpoint).length;
      const led = all.filter((one) => leads(one, endpoint)).length;
      return [
        `${endpoint} leads ${led} partitions now; ${left === 0 ? "nothing is left to be given back" : `${left} lines are left in ${store.path}`}`,
      ];
    },
  };
}

/** @param lines The lines of the statfile; undefined if there is none. */
function planPostUpgrade(
  state: ClusterState,
  options: UpgradeOptions,
  lines: readonly StatLine[] | undefined,
): OperationPlan {
  const { endpoint, store } = options;
  if (lines === undefined) {
    throw refused(
      `there is no statfile ${store.path}: either post-upgrade gave everything back already, or pre-upgrade wrote another one`,
      "name the statfile of pre-upgrade with --statfile",
    );
  }
  assertUsable(state, endpoint, "tablet");
  const own = lines.filter((line) => line.endpoint === endpoint);
  const byKey = byPartition(own);
  const linesOf = (one: Surveyed) => byKey.get(one.key) ?? [];
  const all = survey(state, true);
  const here = all.filter((one) => replicaAt(one.view, endpoint) !== undefined);
  const counts = new Map(state.tables.map((table) => [table.tid, table.replicaCount]));
  assertNone(
    [
      ...all.flatMap((one) => contradictions(one, linesOf(one), options)),
      ...here.flatMap((one) => withoutLeader(one, linesOf(one), options)),
      ...here.flatMap((one) => {
        const wanted = counts.get(one.view.id.tid) ?? 0;
        return shortages(one, linesOf(one), { options, wanted });
      }),
    ],
    `post-upgrade of ${endpoint}`,
  );
  const steps = here.flatMap((one) => lane(one, linesOf(one), endpoint));
  const touched = new Set(steps.map((step) => step.id));
  const known = new Set(here.flatMap((one) => linesOf(one)));
  const gone = own.filter((line) => !known.has(line));
  return {
    steps,
    notes: [
      ...opsNotes(state),
      ...shortList(gone.map(statText), `${endpoint} has no replica of it any more, left out: `),
      ...(own.length === 0 ? [`${store.path} has no line of ${endpoint}`] : []),
    ],
    restsOn: here.map((one) => one.view).filter((view) => touched.has(view.id)),
  };
}

/** The lines by the numbers of their partition, in the form of {@link Surveyed.key}. */
function byPartition(lines: readonly StatLine[]): ReadonlyMap<string, readonly StatLine[]> {
  const groups = new Map<string, StatLine[]>();
  for (const line of lines) {
    const group = groups.get(replicaKey(line));
    if (group === undefined) groups.set(replicaKey(line), [line]);
    else group.push(line);
  }
  return groups;
}

/**
 * What brings one partition back to what it was before `pre-upgrade`.
 *
 * @param lines Those of the partition, of one tablet.
 */
function lane(one: Surveyed, lines: readonly StatLine[], endpoint: Endpoint): Step[] {
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

function isUnhealthy({ view }: Surveyed, endpoint: Endpoint): boolean {
  return diagnose(view).some((one) => one.endpoint === endpoint && one.code !== "behind");
}

/** Replicas that were added for the upgrade and are still there. */
function addedOf({ view }: Surveyed, lines: readonly StatLine[]): Endpoint[] {
  return [...new Set(lines.map((line) => line.added))].filter(
    (added) =>
      replicaAt(view, added) !== undefined && !lines.some((line) => line.endpoint === added),
  );
}

/** Lines that call a partition by another name than the cluster does: they were written for another cluster. */
function contradictions(
  { view }: Surveyed,
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

/** Replicas that the statfile calls added, and that the table cannot spare. */
function shortages(
  one: Surveyed,
  lines: readonly StatLine[],
  { options, wanted }: { readonly options: UpgradeOptions; readonly wanted: number },
): Obstacle[] {
  const { id, replicas } = one.view;
  const added = addedOf(one, lines);
  const left = replicas.length - added.length;
  if (added.length === 0 || left >= wanted) return [];
  return [
    {
      text: `${partitionName(id)}: ${options.store.path} says that the replica at ${added.join(" and ")} was added for the upgrade, but without it ${left} replicas are left of the ${wanted} that the table wants`,
      hint: "find out why; to keep the replica, take its endpoint out of the line in the statfile",
    },
  ];
}

/** Why a partition that the statfile names cannot be given back now. */
function withoutLeader(
  { view, condition }: Surveyed,
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

/** Whether a line has nothing left to be done; a partition that is gone from the tablet has not. */
function isDone(line: StatLine, all: ReadonlyMap<string, Surveyed>): boolean {
  const one = all.get(replicaKey(line));
  if (one === undefined || replicaAt(one.view, line.endpoint) === undefined) return true;
  if (contradicts(line, one.view.id)) return false;
  return leads(one, line.endpoint) && addedOf(one, [line]).length === 0;
}
