import { forcedIn, problemsOf, type Selection } from "../diagnosis/selection.js";
import type { ClusterState, Endpoint, PartitionId } from "../model/cluster-state.js";
import type { Lost } from "../model/loss.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane, Method } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import { detailsOf, type Step } from "../model/step.js";
import { each, mapped, type Work } from "../model/work.js";
import { expectationText } from "../steps/expectations.js";
import { rowOf, taskOf } from "../steps/run-step.js";
import { NO_ATTEMPTS, type Planner } from "./attempt-history.js";
import { type Facts, factsOf } from "./plan-facts.js";
import { type PredictedRound, predictRounds } from "./predict-rounds.js";

/** A step, and what it expects to find just before it acts, in words. */
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

/** What is to be done for one partition that is not healthy. */
export interface PlannedPartition {
  readonly id: PartitionId;
  readonly facts: Facts;
  readonly problems: readonly Problem[];
  /** The first round. */
  readonly first: PlannedRound;
  /**
   * At least one. The first is planned on what was observed; the later ones are predicted, under the
   * assumption that every replica holds what was last seen there. They are made when they are first
   * asked for, which {@link sizeOf} does in turns.
   */
  readonly rounds: readonly [PlannedRound, ...PlannedRound[]];
}

/** What a command would do, before anything is done. */
export interface Plan {
  /** How a recovery plans its rounds; undefined for an operation, whose steps are a fixed list. */
  readonly method: Method | undefined;
  /** What a recovery is about. */
  readonly only: Selection;
  /** The replica that shall lead where something has to be given up, by `partitionName`. */
  readonly accept: ReadonlyMap<string, Endpoint>;
  /** Tablets that will not come back; none if undefined. */
  readonly lost?: Lost | undefined;
  /** When the cluster was observed, ISO 8601 in UTC. */
  readonly madeAt: string;
  /** What it is based on, beside the facts of each partition. */
  readonly basis: {
    readonly nameserver: Endpoint;
    readonly tablets: readonly Endpoint[];
    readonly autoFailover: boolean;
    /** How many partitions were looked at. */
    readonly partitions: number;
  };
  /** In the order in which they are begun: those that are not healthy, or that an operation is about. */
  readonly partitions: readonly PlannedPartition[];
  /** Steps of an operation about whole tablets or about ops. */
  readonly others: readonly PlannedStep[];
  /** What else an operation rests on. */
  readonly facts: Facts;
  /** What the operator should know before saying yes. */
  readonly notes: readonly string[];
}

/** The plan of a recovery. */
export type RecoveryPlan = Plan & { readonly method: Method };

/** What a plan is made from. */
export interface PlanInput {
  readonly state: ClusterState;
  /** `viewPartitions(state)`, narrowed to what the run is about. */
  readonly views: readonly PartitionView[];
  readonly planner: Planner;
  readonly method: Method;
  readonly only: Selection;
  readonly accept: ReadonlyMap<string, Endpoint>;
  /** None if undefined. */
  readonly lost?: Lost | undefined;
  /** ISO 8601 in UTC. */
  readonly now: string;
}

const NOTHING_ELSE: Pick<Plan, "others" | "facts" | "notes"> = {
  others: [],
  facts: {},
  notes: [],
};

/** Plans the recovery of everything that is not healthy. May rest between two partitions. */
export function* makePlan(input: PlanInput): Work<RecoveryPlan> {
  const { state, views, method, only, accept, planner } = input;
  const planned = yield* mapped(views, (view) => planOf(view, planner, only));
  return {
    method,
    only,
    accept,
    lost: input.lost,
    madeAt: input.now,
    basis: {
      nameserver: state.topology.leader,
      tablets: [...state.tablets.keys()].sort(),
      autoFailover: state.autoFailover,
      partitions: views.length,
    },
    partitions: planned.filter((one) => one !== undefined),
    ...NOTHING_ELSE,
  };
}

/** What is to be done for one partition; undefined if it is healthy. */
function planOf(
  view: PartitionView,
  planner: Planner,
  only: Selection,
): PlannedPartition | undefined {
  const problems = problemsOf(view, only);
  if (problems.length === 0 && forcedIn(view, only).length === 0) return undefined;
  const first = plannedRound({ lane: planner(view, NO_ATTEMPTS) });
  let rounds: PlannedPartition["rounds"] | undefined;
  return {
    id: view.id,
    // Made when they are saved or compared: as long as they stay unused they cost most of the plan.
    get facts() {
      return factsOf(view);
    },
    problems,
    first,
    // The later ones are made when they are shown, for the same reason.
    get rounds() {
      rounds ??= [first, ...predictRounds(view, planner).slice(1).map(plannedRound)];
      return rounds;
    },
  };
}

/** A step as it is shown and saved. */
export function plannedStep(step: Step, lane: Lane | undefined): PlannedStep {
  return { ...step, expects: expectationText(taskOf(step, lane).expects) };
}

/** A round as it is shown and saved. */
export function plannedRound({ lane }: Pick<PredictedRound, "lane">): PlannedRound {
  return {
    leader: lane.leader,
    steps: lane.steps.map((step) => plannedStep(step, lane)),
    notes: lane.notes,
    blocked: lane.blocked,
  };
}

/** The replica that a plan names as leader at the end; undefined if it names none. */
export function plannedLeader(planned: PlannedPartition): Endpoint | undefined {
  return planned.rounds.findLast((round) => round.leader !== undefined)?.leader;
}

/** Why the plan leaves a partition alone at once; undefined if it does something to it. */
export function refusalOf(planned: PlannedPartition): string | undefined {
  const { first } = planned;
  if (first.blocked !== undefined) return first.blocked.text;
  if (first.steps.length > 0) return undefined;
  const why = planned.problems.map((one) => `${one.endpoint ?? "partition"}: ${one.text}`);
  return `nothing can be done now: ${why.join(", ")}`;
}

/** How much a plan does. */
export interface PlanSize {
  /** Partitions that something is done to. */
  readonly partitions: number;
  /** Partitions that are left alone. */
  readonly refused: number;
  /** Replicas that a changing step acts on, in any round. */
  readonly replicas: number;
  /** Changing steps, the predicted ones included. */
  readonly changes: number;
  /** Replicas whose log the nameserver moves away (RecoverTable), as far as predicted. */
  readonly recoverTables: number;
  /** Partitions where something is given up on the operator's word. */
  readonly givenUp: number;
}

/** Measures a plan, all its rounds; may rest between two partitions. */
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

/** The steps of a lane as one line, to compare and to show. */
export function stepsText(steps: readonly Step[]): string {
  const text = steps.map((one) =>
    [one.kind, one.endpoint, ...Object.entries(detailsOf(one)).map((pair) => pair.join("="))]
      .filter((part) => part !== undefined)
      .join(" "),
  );
  return text.join(", ") || "none";
}
