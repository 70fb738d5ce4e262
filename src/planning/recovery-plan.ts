import { forcedIn, problemsOf, type Selection } from "../diagnosis/selection.js";
import type { ClusterState, Endpoint, PartitionId } from "../model/cluster-state.js";
import type { Lost } from "../model/loss.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane, Method } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { each, mapped, type Work } from "../model/work.js";
import { expectationText } from "../steps/expectations.js";
import { rowOf, taskOf } from "../steps/run-step.js";
import { NO_ATTEMPTS, type Planner } from "./attempt-history.js";
import { type Facts, factsOf, NO_FACTS } from "./plan-facts.js";
import { predictRounds } from "./predict-rounds.js";

/** A step with the state that it expects right before it acts, in words. */
export type PlannedStep = Step & { readonly expects: string };

/** One round of a partition's recovery. */
export interface PlannedRound {
  /** The replica that leads or will lead in this round; undefined if none does yet. */
  readonly leader: Endpoint | undefined;
  readonly steps: readonly PlannedStep[];
  /** What could have been lost and is not, or what is given up. */
  readonly notes: readonly string[];
  /** Why nothing may be done to the partition; undefined if something may. */
  readonly blocked: Problem | undefined;
}

/** The plan for one partition that is not healthy. */
export interface PlannedPartition {
  readonly id: PartitionId;
  readonly facts: Facts;
  readonly problems: readonly Problem[];
  /** The first round. */
  readonly first: PlannedRound;
  /**
   * At least one. The first is planned on the observed state; the later ones are predicted, assuming
   * that every replica holds what was last seen there. They are computed on first access; {@link
   * sizeOf} does so with yields in between.
   */
  readonly rounds: readonly [PlannedRound, ...PlannedRound[]];
}

/** The plan of a command. */
export interface Plan {
  /** How a recovery plans its rounds; undefined for an operation, whose steps are a fixed list. */
  readonly method: Method | undefined;
  /** The scope of a recovery. */
  readonly only: Selection;
  /** The chosen leader where a loss is unavoidable, by `partitionName`. */
  readonly accept: ReadonlyMap<string, Endpoint>;
  /** Tablets declared lost; none if undefined. */
  readonly lost?: Lost | undefined;
  /** Time at which the cluster was observed, ISO 8601 in UTC. */
  readonly madeAt: string;
  /** The state that it is based on, in addition to the facts of each partition. */
  readonly basis: {
    readonly nameserver: Endpoint;
    readonly tablets: readonly Endpoint[];
    readonly autoFailover: boolean;
    /** Number of partitions that were observed. */
    readonly partitions: number;
  };
  /** In the order in which they are started: those that are not healthy, or those of an operation. */
  readonly partitions: readonly PlannedPartition[];
  /** Steps of an operation about whole tablets or about ops. */
  readonly others: readonly PlannedStep[];
  /** Further facts that an operation relies on. */
  readonly facts: Facts;
  /** Notes for the operator before the confirmation. */
  readonly notes: readonly string[];
}

/** The plan of a recovery. */
export type RecoveryPlan = Plan & { readonly method: Method };

/** The input of {@link makePlan}. */
export interface PlanInput extends Pick<RecoveryPlan, "method" | "only" | "accept" | "lost"> {
  readonly state: ClusterState;
  /** `viewPartitions(state)`, narrowed to the scope of the run. */
  readonly views: readonly PartitionView[];
  readonly planner: Planner;
  /** ISO 8601 in UTC. */
  readonly now: string;
}

/**
 * Plans the recovery of every partition in scope that is not healthy. May yield between partitions.
 */
export function* makePlan(input: PlanInput): Work<RecoveryPlan> {
  const { state, views, method, only, accept, planner } = input;
  const planned = yield* mapped(views, (view) => planOf(view, planner, only));
  return {
    method,
    only,
    accept,
    lost: input.lost,
    madeAt: input.now,
    basis: basisOf(state, views.length),
    partitions: planned.filter((one) => one !== undefined),
    others: [],
    facts: NO_FACTS,
    notes: [],
  };
}

/**
 * What a plan is based on, in addition to the facts of each partition.
 *
 * @param partitions Number of partitions that were observed.
 */
export function basisOf(state: ClusterState, partitions: number): Plan["basis"] {
  return {
    nameserver: state.topology.leader,
    tablets: [...state.tablets.keys()].sort(),
    autoFailover: state.autoFailover,
    partitions,
  };
}

/** The plan for one partition; undefined if it is healthy. */
function planOf(
  view: PartitionView,
  planner: Planner,
  only: Selection,
): PlannedPartition | undefined {
  const problems = problemsOf(view, only);
  if (problems.length === 0 && forcedIn(view, only).length === 0) return undefined;
  const first = plannedRound(planner(view, NO_ATTEMPTS));
  let rounds: PlannedPartition["rounds"] | undefined;
  return {
    id: view.id,
    // Computed on access, when the plan is saved or compared: they take most of the time of planning.
    get facts() {
      return factsOf(view);
    },
    problems,
    first,
    // The later rounds are computed on access for the same reason.
    get rounds() {
      rounds ??= [
        first,
        ...predictRounds(view, planner)
          .slice(1)
          .map(({ lane }) => plannedRound(lane)),
      ];
      return rounds;
    },
  };
}

/** A step in the form that is shown and saved. */
export function plannedStep(step: Step, lane: Lane | undefined): PlannedStep {
  return { ...step, expects: expectationText(taskOf(step, lane).expects) };
}

/** A round in the form that is shown and saved. */
export function plannedRound(lane: Lane): PlannedRound {
  return {
    leader: lane.leader,
    steps: lane.steps.map((step) => plannedStep(step, lane)),
    notes: lane.notes,
    blocked: lane.blocked,
  };
}

/** The replica that leads after the planned rounds; undefined if the plan names none. */
export function plannedLeader(planned: PlannedPartition): Endpoint | undefined {
  return planned.rounds.findLast((round) => round.leader !== undefined)?.leader;
}

/** Why the plan does not change a partition; undefined if it does. */
export function refusalOf(planned: PlannedPartition): string | undefined {
  const { first } = planned;
  if (first.blocked !== undefined) return first.blocked.text;
  if (first.steps.length > 0) return undefined;
  const why = planned.problems.map((one) => `${one.endpoint ?? "partition"}: ${one.text}`);
  return `nothing can be done now: ${why.join(", ")}`;
}

/** The size of a plan. */
export interface PlanSize {
  /** Partitions that the plan changes. */
  readonly partitions: number;
  /** Partitions that are left alone. */
  readonly refused: number;
  /** Replicas that a changing step acts on, in any round. */
  readonly replicas: number;
  /** Changing steps, the predicted ones included. */
  readonly changes: number;
  /** Replicas whose log the nameserver moves away (RecoverTable), as far as predicted. */
  readonly recoverTables: number;
  /** Partitions where entries are given up by the operator's decision. */
  readonly givenUp: number;
}

/** Measures all rounds of a plan; may yield between partitions. */
export function* sizeOf(plan: Plan): Work<PlanSize> {
  const size = { partitions: 0, refused: 0, replicas: 0, changes: 0, recoverTables: 0, givenUp: 0 };
  yield* each(plan.partitions, (one) => {
    if (refusalOf(one) !== undefined) {
      size.refused += 1;
      return;
    }
    const steps = one.rounds.flatMap((round) => round.steps.filter((step) => rowOf(step).changes));
    size.partitions += 1;
    size.changes += steps.length;
    size.replicas += new Set(steps.map((step) => step.endpoint)).size;
    size.recoverTables += steps.filter((step) => step.kind === "recover-table").length;
    size.givenUp += steps.filter((step) => step.kind === "change-leader").length;
  });
  return size;
}
