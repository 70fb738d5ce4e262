import { diagnose, servingLeader } from "../diagnosis/diagnose.js";
import type { Action } from "../model/action.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { recoverAction } from "./condition.js";
import { leaderActions, opsNotes, type Surveyed, stillToDo, survey } from "./moves.js";
import type { Operation, OperationPlan } from "./operation.js";
import { leads, type UpgradeWish, upgradeWords } from "./pre-upgrade.js";
import { shortList, touchedProblems } from "./scaleout.js";
import { isLineOf, type StatLine, statText } from "./statfile.js";
import {
  assertNone,
  assertUsable,
  type Obstacle,
  partitionFacts,
  refused,
  replicaAt,
} from "./targets.js";

/**
 * Brings the replicas of a tablet back after its upgrade, gives it the leaders back that the statfile
 * names, and takes the replicas away that were added meanwhile. A line leaves the statfile as soon as
 * its partition is as it was.
 */
export function postUpgradeOperation(wish: UpgradeWish): Operation {
  const { endpoint, store } = wish;
  return {
    command: "post-upgrade",
    words: upgradeWords("post-upgrade", wish),
    needsOff: true,
    waitsForOps: true,
    concurrency: wish.concurrency,
    plan: (state) => planPostUpgrade(state, wish),
    async afterLane(actions) {
      const id = actions[0]?.id;
      if (id !== undefined) {
        store.remove((line) => line.endpoint === endpoint && isLineOf(line, id));
      }
    },
    verify: (after, results) => [
      ...touchedProblems(after, results),
      ...(store.read() === undefined ? [] : stillToDo(() => planPostUpgrade(after, wish))),
    ],
    conclude(after) {
      const all = survey(after, true);
      store.remove((line) => line.endpoint === endpoint && isDone(line, all));
      const left = (store.read() ?? []).filter((line) => line.endpoint === endpoint).length;
      const led = all.filter((one) => leads(one, endpoint)).length;
      return [
        `${endpoint} leads ${led} partitions now; ${left === 0 ? "nothing is left to be given back" : `${left} lines are left in ${store.path}`}`,
      ];
    },
  };
}

function planPostUpgrade(state: ClusterState, wish: UpgradeWish): OperationPlan {
  const { endpoint, store } = wish;
  const lines = store.read();
  if (lines === undefined) {
    throw refused(
      `there is no statfile ${store.path}: either post-upgrade gave everything back already, or pre-upgrade wrote another one`,
      "name the statfile of pre-upgrade with --statfile",
    );
  }
  assertUsable(state, endpoint, "tablet");
  const own = lines.filter((line) => line.endpoint === endpoint);
  const all = survey(state, true);
  const here = all.filter((one) => replicaAt(one.view, endpoint) !== undefined);
  assertNone(
    here.flatMap((one) => obstacleTo(one, own, wish) ?? []),
    `post-upgrade of ${endpoint}`,
  );
  const actions = here.flatMap((one) => lane(one, own, endpoint));
  const touched = new Set(actions.map((action) => action.id));
  const gone = own.filter((line) => !here.some((one) => isLineOf(line, one.view.id)));
  return {
    actions,
    notes: [
      ...opsNotes(state),
      ...shortList(gone.map(statText), `${endpoint} has no replica of it any more, left out: `),
      ...(own.length === 0 ? [`${store.path} has no line of ${endpoint}`] : []),
    ],
    facts: partitionFacts(here.map((one) => one.view).filter((view) => touched.has(view.id))),
  };
}

/** What brings one partition back to what it was before `pre-upgrade`. */
function lane(one: Surveyed, lines: readonly StatLine[], endpoint: Endpoint): Action[] {
  const { view, condition } = one;
  const line = lines.find((text) => isLineOf(text, view.id));
  const actions: Action[] = [];
  if (condition.kind === "half-done") for (const one of condition.heal) actions.push(one);
  else if (isSick(one, endpoint)) {
    actions.push(recoverAction(view, endpoint, "not loaded after the restart"));
  }
  if (line === undefined) return actions;
  const leader = condition.kind === "sick" ? servingLeader(view)?.endpoint : condition.leader;
  if (leader !== undefined && leader !== endpoint) {
    const why = "it led before the upgrade";
    const back = leaderActions(view, { from: leader, to: endpoint, why, isFirst: true });
    for (const one of back) actions.push(one);
  }
  for (const added of addedOf(one, lines, endpoint)) {
    actions.push({
      verb: "del-replica",
      id: view.id,
      endpoint: added,
      why: "it was added for the upgrade",
    });
  }
  return actions;
}

function isSick({ view }: Surveyed, endpoint: Endpoint): boolean {
  return diagnose(view).some((one) => one.endpoint === endpoint && one.code !== "behind");
}

/** Replicas that were added for the upgrade and are still there. */
function addedOf({ view }: Surveyed, lines: readonly StatLine[], endpoint: Endpoint): Endpoint[] {
  const named = lines.filter((line) => isLineOf(line, view.id)).map((line) => line.added);
  return [...new Set(named)].filter(
    (added) => added !== endpoint && replicaAt(view, added) !== undefined,
  );
}

/** Why a partition that the statfile names cannot be given back now. */
function obstacleTo(
  one: Surveyed,
  lines: readonly StatLine[],
  { commandLine }: UpgradeWish,
): Obstacle | undefined {
  const { view, condition } = one;
  const isNamed = lines.some((line) => isLineOf(line, view.id));
  if (!isNamed || condition.kind !== "sick") return undefined;
  if (servingLeader(view) !== undefined || view.replicas.length === 1) return undefined;
  return {
    text: `${view.id.db}.${view.id.table}:${view.id.pid}: nobody leads it: ${condition.why}`,
    hint: `bring it back first with: ${commandLine(["recoverdata"])}`,
  };
}

/** Whether a line has nothing left to be done; a partition that is gone from the tablet has not. */
function isDone(line: StatLine, all: readonly Surveyed[]): boolean {
  const key = replicaKey(line);
  const one = all.find((each) => each.key === key);
  if (one === undefined || replicaAt(one.view, line.endpoint) === undefined) return true;
  return leads(one, line.endpoint) && addedOf(one, [line], line.endpoint).length === 0;
}
