import { diagnose } from "../diagnosis/diagnose.js";
import { refused } from "../errors.js";
import {
  type ClusterState,
  type Endpoint,
  isOpActive,
  replicaKey,
} from "../model/cluster-state.js";
import { groupBy } from "../model/groups.js";
import type { StepResult } from "../model/outcome.js";
import {
  compareText,
  type PartitionView,
  partitionName,
  tabletHealth,
  viewPartitions,
} from "../model/partition-view.js";
import { type Step, verbOf } from "../model/step.js";
import { leftoverTablets } from "../policy/free-tablets.js";
import { newestTerm } from "../policy/what-it-holds.js";
import { type Condition, conditionOf } from "./condition.js";
import type { OperationPlan } from "./operation.js";
import type { PlacedPartition, Placement } from "./placement.js";
import type { LeaderChoice } from "./placement-leaders.js";
import { strayText } from "./targets.js";

/** A partition with its condition. */
export interface PartitionSurvey {
  readonly key: string;
  readonly view: PartitionView;
  readonly condition: Condition;
  /** Number of replicas that its table specifies; 0 if unknown. */
  readonly specified: number;
  /** Number of replicas that it should have. */
  readonly wanted: number;
  /** The tablets that have it loaded without a replica on record, so that no replica of it can be sent there. */
  readonly barred: readonly Endpoint[];
}

/** Returns every partition with its condition, system databases first. */
export function survey(state: ClusterState, keepsSurplus: boolean): PartitionSurvey[] {
  const counts = new Map(state.tables.map((table) => [table.tid, table.replicaCount]));
  return viewPartitions(state).map((view) => {
    const specified = counts.get(view.id.tid) ?? 0;
    const isAsIs = keepsSurplus || specified === 0;
    return {
      key: replicaKey(view.id),
      view,
      condition: conditionOf(view),
      specified,
      barred: leftoverTablets(state, view),
      wanted: isAsIs ? view.replicas.length : Math.min(specified, view.replicas.length),
    };
  });
}

/** The tablets that can take replicas: healthy for the nameserver, and answering. */
export function usableTablets(state: ClusterState): Endpoint[] {
  return [...state.tablets.values()]
    .filter((one) => tabletHealth(one).tablet === "ok")
    .map((one) => one.endpoint)
    .sort(compareText);
}

/** The tablets that can take replicas. @throws OpsError `refused` if there is none. */
export function requiredTablets(state: ClusterState): Endpoint[] {
  const tablets = usableTablets(state);
  if (tablets.length > 0) return tablets;
  throw refused("no tablet is healthy and answers", "start the tablets first");
}

/**
 * A note if ops are active while the plan is made, which happens only if the plan is just shown.
 */
export function opsNotes({ ops }: ClusterState): string[] {
  const count = ops.filter(isOpActive).length;
  return count === 0
    ? []
    : [
        `${count} ops are running: they are waited for before any change, and the plan is made again`,
      ];
}

/** A note for each tablet that is not used, with the reason. */
export function unusableNotes(state: ClusterState): string[] {
  return [...state.tablets.values()]
    .filter((one) => tabletHealth(one).tablet !== "ok")
    .map((one) => `tablet ${one.endpoint} is not used: ${tabletHealth(one).tabletDetail}`)
    .sort(compareText);
}

/** One line for each tablet that a partition's replicas cannot be sent to, because it has the partition loaded. */
export function leftoverLines(state: ClusterState, surveyed: readonly PartitionSurvey[]): string[] {
  return surveyed.flatMap(({ view, barred }) =>
    barred.map((endpoint) => {
      const role = state.tablets.get(endpoint)?.reports?.get(replicaKey(view.id))?.role;
      return `${partitionName(view.id)}: ${strayText(view.id, endpoint, role)}`;
    }),
  );
}

/** The partition as input of placement. */
export function placed({ key, view, condition, wanted, barred }: PartitionSurvey): PlacedPartition {
  return {
    key,
    table: String(view.id.tid),
    replicas: view.replicas.map((one) => one.endpoint),
    leader: leaderOf(view, condition),
    wanted,
    isMovable: condition.kind !== "unhealthy",
    barred,
  };
}

function leaderOf(view: PartitionView, condition: Condition): Endpoint {
  if (condition.kind !== "unhealthy") return condition.leader;
  return view.replicas.find((one) => one.claim.isLeader)?.endpoint ?? "";
}

/** The changes to one partition. */
export interface Change {
  readonly one: PartitionSurvey;
  readonly moves: readonly { readonly from: Endpoint; readonly to: Endpoint }[];
  readonly drops: readonly Endpoint[];
  /** The leader after the changes. */
  readonly leader: Endpoint;
}

/** Groups a placement by partition; leaders stay for now. */
export function changesOf(surveyed: readonly PartitionSurvey[], placement: Placement): Change[] {
  const moves = groupBy(placement.moves, (move) => move.key);
  const drops = groupBy(placement.drops, (drop) => drop.key);
  return surveyed.map((one) => ({
    one,
    moves: moves.get(one.key) ?? [],
    drops: (drops.get(one.key) ?? []).map((drop) => drop.from),
    leader: leaderOf(one.view, one.condition),
  }));
}

/** The replicas that can lead after the moves. */
export function leaderChoice(change: Change): LeaderChoice {
  const { one, moves, leader } = change;
  if (one.condition.kind === "unhealthy")
    return { key: one.key, current: leader, candidates: [leader] };
  const arrival = moves.find((move) => move.from === leader)?.to;
  const candidates = holdersAfter(change);
  const isOnly = candidates.length === 1;
  return { key: one.key, current: leader, candidates, detour: isOnly ? undefined : arrival };
}

/** The tablets with a replica after the changes, by name. */
function holdersAfter({ one, moves, drops }: Change): Endpoint[] {
  const gone = new Set([...moves.map((move) => move.from), ...drops]);
  const held = [...one.view.replicas.map((replica) => replica.endpoint), ...moves.map((m) => m.to)];
  return held.filter((endpoint) => !gone.has(endpoint)).sort(compareText);
}

/** The steps of one partition, in order; empty if nothing changes. */
export function stepsOf(change: Change): Step[] {
  const { one, moves, drops, leader: next } = change;
  if (one.condition.kind === "unhealthy") return [];
  const { view, condition } = one;
  const lane = new LaneSteps(view, condition.leader);
  if (condition.kind === "half-done") for (const one of condition.heal) lane.steps.push(one);
  const last = moves.find((move) => move.from === condition.leader);
  for (const move of moves) if (move !== last) lane.migrate(move);
  if (last !== undefined && view.replicas.length === 1) {
    lane.push(
      "add-replica",
      last.to,
      `single replica: copied before it is deleted from ${last.from}`,
    );
    lane.lead(last.to, `${last.from} is emptied of it`);
    lane.push("del-replica", last.from, `it is at ${last.to} now`);
    return lane.steps;
  }
  if (last !== undefined) {
    lane.lead(next === last.to ? detourOf(change, next) : next, "a leader cannot be migrated");
    lane.migrate(last);
  }
  const isDropped = drops.includes(condition.leader);
  lane.lead(next, isDropped ? "a leader cannot be deleted" : "leaders are spread over the tablets");
  for (const endpoint of drops) {
    lane.push("del-replica", endpoint, `one replica more than the table's ${one.wanted}`);
  }
  return lane.steps;
}

/** The interim leader while the old leader's replica moves to where it will lead. */
function detourOf(change: Change, not: Endpoint): Endpoint {
  return holdersAfter(change).find((endpoint) => endpoint !== not) ?? not;
}

/** Collects the steps of one partition and tracks its leader. */
class LaneSteps {
  readonly steps: Step[] = [];
  readonly #view: PartitionView;
  readonly #first: Endpoint;
  #leader: Endpoint;

  constructor(view: PartitionView, leader: Endpoint) {
    this.#view = view;
    this.#first = leader;
    this.#leader = leader;
  }

  push(kind: "add-replica" | "del-replica", endpoint: Endpoint, why: string): void {
    this.steps.push({ kind, id: this.#view.id, endpoint, why });
  }

  migrate({ from, to }: { readonly from: Endpoint; readonly to: Endpoint }): void {
    const { id } = this.#view;
    this.steps.push({ kind: "migrate", id, endpoint: from, to, why: "moves a follower" });
  }

  /** Makes a replica the leader and the old leader a follower. Adds no step if it leads already. */
  lead(endpoint: Endpoint, why: string): void {
    const old = this.#leader;
    if (endpoint === old) return;
    const isFirst = old === this.#first;
    const steps = leaderSteps(this.#view, { from: old, to: endpoint, why, isFirst });
    for (const one of steps) this.steps.push(one);
    this.#leader = endpoint;
  }
}

/**
 * Changes the leader, and makes the old one a follower of the new one.
 *
 * @param how.kind How the old leader is recovered.
 * @param how.isFirst True if this is the first leader change in the plan: rows that only the old leader accepted after
 *   the change are not deleted unchecked then. The terms of later changes are not known yet.
 */
export function leaderSteps(
  view: PartitionView,
  how: {
    readonly from: Endpoint;
    readonly to: Endpoint;
    readonly why: string;
    readonly isFirst: boolean;
    readonly kind?: "rejoin" | "recover-table";
  },
): Step[] {
  const { id } = view;
  const { from, to, why, isFirst, kind = "rejoin" } = how;
  return [
    { kind: "change-leader", id, endpoint: to, from, acceptsLoss: false, why },
    {
      kind,
      id,
      endpoint: from,
      ...(isFirst ? { since: newestTerm(view) } : {}),
      ...(isFirst && kind === "rejoin" ? { wasLeader: true } : {}),
      why: `it led, and follows ${to} afterwards`,
    },
  ];
}

/** The partitions with steps. */
export function touchedViews(
  surveyed: readonly PartitionSurvey[],
  steps: readonly Step[],
): PartitionView[] {
  const ids = new Set(steps.map((step) => step.id));
  return surveyed.map((one) => one.view).filter((view) => ids.has(view.id));
}

/**
 * What the steps have left to do: the problems of the partitions that were changed, and the steps of a new plan.
 *
 * @param plan Makes the plan again.
 */
export function unfinished(
  after: ClusterState,
  results: readonly StepResult[],
  plan: () => OperationPlan,
): string[] {
  const changed = new Set(results.flatMap(({ step: { id } }) => (id ? [replicaKey(id)] : [])));
  const problems = viewPartitions(after)
    .filter((view) => changed.has(replicaKey(view.id)))
    .flatMap((view) =>
      diagnose(view)
        .filter((one) => one.code !== "behind")
        .map((one) => `${partitionName(view.id)} ${one.endpoint ?? ""}: ${one.text}`),
    );
  return [...problems, ...remainingSteps(plan)];
}

/** The steps that a new plan would still have, or why no plan can be made. */
function remainingSteps(plan: () => OperationPlan): string[] {
  try {
    return plan().steps.map(
      (step) =>
        `${step.id === undefined ? "" : partitionName(step.id)}: still to do: ${verbOf(step)} ${step.endpoint ?? ""} (${step.why})`,
    );
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}
