import { mayBeGivenUp } from "../model/absence.js";
import { type Advice, changing, doing, followed, NO_ADVICE } from "../model/advice.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { counted } from "../model/counted.js";
import { givenUpCount, sumOfLosses } from "../model/loss.js";
import { isInShortTask } from "../model/ops.js";
import type { LaneFailure } from "../model/outcome.js";
import {
  type PartitionView,
  replicaAt,
  tabletHealth,
  viewingPartitions,
} from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import type { PartitionResult, RunReport } from "../model/report.js";
import type { PrintCommand, RecoverAgain } from "../model/tool-command.js";
import { each, mapped, type Work } from "../model/work.js";
import { isLost } from "../policy/absent-replicas.js";
import { choicesOf, givenUpIfLeads, unseenTail } from "../policy/what-is-given-up.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { type AbsentReplica, absenceAdvice, firstAbsence, unblockOps } from "./absence-advice.js";
import { diagnose } from "./diagnose.js";
import { EVERYTHING, problemsOf, type Selection } from "./selection.js";

/** The input of {@link verifyPartitions}: the last observation, and what the run did. */
export interface VerifyInput {
  readonly state: ClusterState;
  /** `viewPartitions(state)`, restricted to the selection. */
  readonly views: readonly PartitionView[];
  /** The selection of the run; everything if undefined. */
  readonly only?: Selection | undefined;
  /** Keys of the partitions that were unhealthy when the run began. */
  readonly unhealthyBefore: ReadonlySet<string>;
  /** The failures, by `replicaKey`. */
  readonly failures: ReadonlyMap<string, LaneFailure>;
  /** The notes on each partition, by `replicaKey`. */
  readonly notes: ReadonlyMap<string, readonly string[]>;
  readonly again: RecoverAgain;
  readonly print: PrintCommand;
}

/** Computes the result of a run from its last observation. Yields between partitions. */
export function* verifyPartitions(
  input: VerifyInput,
): Work<
  Pick<
    RunReport,
    "leader" | "absentTablets" | "tablets" | "tables" | "replicas" | "partitions" | "partitionCount"
  >
> {
  const tables = new Set<number>();
  const context = adviceContextOf(input);
  let replicas = 0;
  const results = yield* mapped(input.views, (view) => {
    tables.add(view.id.tid);
    replicas += view.replicas.length;
    return verifyPartition(view, input, context);
  });
  return {
    leader: input.state.topology.leader,
    absentTablets: [...input.state.tablets.values()].flatMap((tablet) => {
      const { tabletDetail, absence } = tabletHealth(tablet);
      return absence === undefined
        ? []
        : [{ endpoint: tablet.endpoint, reason: tabletDetail, absence }];
    }),
    tablets: input.state.tablets.size,
    tables: tables.size,
    replicas,
    partitions: results.filter((one) => one.status !== "healthy"),
    partitionCount: results.length,
  };
}

function verifyPartition(
  view: PartitionView,
  input: VerifyInput,
  context: AdviceContext,
): PartitionResult {
  const key = replicaKey(view.id);
  const problems = problemsOf(view, input.only ?? EVERYTHING);
  const leader = servingLeader(view);
  const failure = input.failures.get(key);
  const decision = problems.length > 0 ? failure?.decision : undefined;
  const left = decision === undefined ? "unhealthy" : "needs-decision";
  const healthy = input.unhealthyBefore.has(key) ? "recovered" : "healthy";
  return {
    id: view.id,
    status: problems.length > 0 ? left : healthy,
    leader: leader?.endpoint,
    isServing: leader !== undefined,
    problems,
    failure: problems.length > 0 ? failure : undefined,
    notes: input.notes.get(key) ?? [],
    evidence: decision === undefined ? [] : [...(failure?.evidence?.replicas.values() ?? [])],
    ...(decision === undefined ? {} : { choices: choicesOf(view) }),
    next: problems.length === 0 ? NO_ADVICE : nextStep(view, problems, failure, context),
  };
}

/** The advice to declare a tablet lost; empty if it may be serving or is probably restarting. */
export function ifLost({ endpoint, absence }: AbsentReplica, again: RecoverAgain): Advice {
  if (!mayBeGivenUp(absence)) return NO_ADVICE;
  const where = absence.kind === "moved" ? " and at no other address" : "";
  return [changing(`if it is lost for good${where}`, again({ lost: [endpoint] }), "thought")];
}

/** The input of the advice on a partition, in addition to the partition. */
interface AdviceContext {
  readonly again: RecoverAgain;
  /** The advice to recover, the same for all partitions: of very many, most need nothing else. */
  readonly recover: Advice;
  readonly print: PrintCommand;
  /** What to do before ops can end; undefined if no tablet blocks them. */
  readonly unblock: Advice | undefined;
  /** The advice on rows that only lost tablets held: one command for all partitions. */
  readonly acceptLost: Advice;
}

function adviceContextOf({ state, views, failures, again, print }: VerifyInput): AdviceContext {
  const losses = views.flatMap((view) => {
    const decision = failures.get(replicaKey(view.id))?.decision;
    if (decision?.isOfLost !== true) return [];
    // The loss as the next run will compute it: once the record is written, the nameserver's offset is no
    // longer proven to be fresh.
    const choice = replicaAt(view, decision.candidate);
    return choice === undefined ? (decision.loss ?? []) : givenUpIfLeads(view, choice);
  });
  const sum = sumOfLosses(losses);
  const acceptLost = [
    changing(
      `decide; to recover without the lost tablets, giving up ${givenUpCount(sum)} in ${counted(losses.length, "partition")}`,
      again({ accept_data_loss: [sum] }),
      "thought",
    ),
  ];
  const recover = [changing("run", again())];
  return { again, recover, print, unblock: unblockOps(state, print), acceptLost };
}

/** The advice to accept the loss of a decision, with its size; empty if no replica can lead. */
function accepting(
  { id }: PartitionView,
  { candidate, loss }: Problem,
  again: RecoverAgain,
  words: (candidate: Endpoint, price: string) => string,
): Advice {
  if (candidate === undefined) return NO_ADVICE;
  const price = loss === undefined ? "what others hold beyond it" : givenUpCount(loss);
  const command = again({ accept_data_loss: [id], leader: [candidate] });
  return [changing(words(candidate, price), command, "thought")];
}

/** What a decision gives up in addition to the counted entries: a bounded loss counts what the nameserver has seen of the leader. */
function beyond({ code, endpoint, loss }: Problem): string {
  return code === "leader-unavailable" && endpoint !== undefined && loss?.atMost !== undefined
    ? ` and ${unseenTail(endpoint)}`
    : ", giving up what only it holds";
}

/** The advice to bring back an absent tablet, or, if there is a decision, to recover without it. */
function withoutTablet(
  view: PartitionView,
  away: AbsentReplica,
  decision: Problem | undefined,
  { again, print }: AdviceContext,
): Advice {
  const start = absenceAdvice(away.endpoint, away.absence, print);
  const first = [...followed(start, "then run", again()), ...ifLost(away, again)];
  if (decision === undefined || !mayBeGivenUp(away.absence)) return first;
  const ifNotMoved =
    away.absence.kind === "moved" ? "once it is certain that it is at no other address, " : "";
  const without = (candidate: Endpoint, price: string) =>
    `${ifNotMoved}to let ${candidate} lead without ${away.endpoint}, at the cost of ${price}${beyond(decision)}`;
  return [...first, ...accepting(view, decision, again, without)];
}

/** The advice for the problems that a recovery cannot fix by itself. */
function nextStep(
  view: PartitionView,
  problems: readonly Problem[],
  failure: LaneFailure | undefined,
  context: AdviceContext,
): Advice {
  const { again, unblock } = context;
  if (unblock !== undefined && view.activeOps.length > 0) {
    const after = "then the ops of the partition continue; inspect again when they have ended";
    return followed(unblock, after);
  }
  const decision = failure?.decision;
  const has = (...codes: ProblemCode[]) => problems.find((one) => codes.includes(one.code));
  const away = firstAbsence(view);
  if (view.replicas.every(isLost)) {
    const where = view.replicas.map((one) => one.endpoint).join(", ");
    return [
      doing(
        `restore the disk of ${where}, start the tablet there and run recovery without --lost for it`,
        "thought",
      ),
      doing("drop the table: no other replica of it is left", "thought"),
    ];
  }
  if (decision?.isOfLost === true) return context.acceptLost;
  if (away !== undefined && away.absence.kind !== "lost") {
    return withoutTablet(view, away, decision, context);
  }
  if (decision !== undefined) {
    return accepting(
      view,
      decision,
      again,
      (candidate, price) => `decide; to let ${candidate} lead, giving up ${price}`,
    );
  }
  if (has("no-leader-flagged") !== undefined) {
    return [
      doing(
        "choose the replica to lead by its data and set the leader by hand (the tool does not guess)",
        "thought",
      ),
    ];
  }
  if (has("rows-missing") !== undefined) {
    return [
      doing(
        "compare the replicas' offsets (load the followers by hand) and decide which one is to lead; nothing was given up",
        "thought",
      ),
    ];
  }
  const unknown = has("state-unknown");
  if (unknown !== undefined) {
    return [changing(`check tablet ${unknown.endpoint}, then run`, again(), "server")];
  }
  const [op] = view.activeOps;
  if (failure?.step === "wait-ops" && op !== undefined) {
    // A task that copies or loads data may be slow instead of stuck.
    const what = view.activeOps.some(isInShortTask)
      ? "cancel the op that has made no progress and recover"
      : `see in the logs whether op ${op.id} (${op.task}) still works; if not, cancel it and recover`;
    return [changing(what, again({ cancel_stuck: true }), "server")];
  }
  return failure === undefined || failure.isTransient === true
    ? context.recover
    : [changing(causeFirst(failure), again(), "server")];
}

/** The advice after a lasting failure: another run would fail in the same way. */
function causeFirst({ step, endpoint }: LaneFailure): string {
  if (step === "plan") return "see why it was left alone, then run";
  return `see why ${step}${endpoint === undefined ? "" : ` at ${endpoint}`} fails, then run`;
}

/** Figures on the health of a cluster. */
export interface HealthCounts {
  readonly tablets: number;
  readonly tables: number;
  readonly partitions: number;
  readonly replicas: number;
  /** Keys (`replicaKey`) of the unhealthy partitions. */
  readonly unhealthy: ReadonlySet<string>;
  /** The tablet that leads each serving partition, by `replicaKey`; other partitions are absent. */
  readonly leaders: ReadonlyMap<string, Endpoint>;
}

/** Computes the figures of one observation. Yields between partitions. */
export function* healthCounts(state: ClusterState): Work<HealthCounts> {
  const views = yield* viewingPartitions(state);
  const unhealthy = new Set<string>();
  const leaders = new Map<string, Endpoint>();
  let replicas = 0;
  yield* each(views, (view) => {
    replicas += view.replicas.length;
    const leader = servingLeader(view);
    if (leader !== undefined) leaders.set(replicaKey(view.id), leader.endpoint);
    if (diagnose(view).length > 0) unhealthy.add(replicaKey(view.id));
  });
  return {
    tablets: state.tablets.size,
    tables: state.tables.length,
    partitions: views.length,
    replicas,
    unhealthy,
    leaders,
  };
}
