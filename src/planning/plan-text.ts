import { counted, suchAs, tally } from "../model/counted.js";
import { countBy } from "../model/groups.js";
import { partitionName } from "../model/partition-view.js";
import type { ProblemCode } from "../model/problem.js";
import { type StepKind, stepText } from "../model/step.js";
import type { Lines, Work } from "../model/work.js";
import { wordsOf } from "../steps/run-step.js";
import { tableOrLines } from "../util/table.js";
import { safe } from "../util/text.js";
import { lostLines } from "./lost.js";
import {
  type Plan,
  type PlannedPartition,
  type PlannedRound,
  type PlannedStep,
  type PlanSize,
  plannedLeader,
  refusalOf,
} from "./recovery-plan.js";
import type { SavedPlan } from "./saved-plan.js";

/** A plan with more lines is shown in groups, so that it fits a screen. */
const SCREEN_LINES = 24;
/** Up to this many partitions are shown step by step, whatever their number of steps. */
const FEW = 4;
/** Number of steps and notes of a long list that are shown. */
const FIRST_STEPS = 8;
/** Number of names in a question or of a group; the others are counted. */
const NAMED_MAX = 3;

/**
 * The text of a plan: every step if that fits a screen or is requested, else in groups.
 *
 * @param size The size of the plan.
 * @returns Lines; names from the cluster are made safe for a terminal.
 */
export function* planText(
  saved: SavedPlan,
  size: PlanSize,
  {
    isVerbose = false,
    columns = Number.POSITIVE_INFINITY,
  }: {
    /** True if every step is shown, whatever their number. */
    readonly isVerbose?: boolean;
    /** Width of the terminal; infinite without a terminal. */
    readonly columns?: number;
  } = {},
): Lines {
  const { plan } = saved;
  if (plan.method === undefined) {
    yield* listText(plan, isVerbose, columns);
    return;
  }
  const isShort = isVerbose || isOneScreen(plan);
  yield `plan ${safe(saved.id)} for the cluster at ${safe(saved.rootPath)}, method ${plan.method}, made ${safe(plan.madeAt)}`;
  if (!isShort) yield* planOverview(plan);
  else for (const one of plan.partitions) yield* partitionLines(plan, one);
  yield* methodLines(plan, size, isShort);
  yield* lostLines(plan).map(safe);
  yield* guardLines(plan, size);
  yield verdict(plan, size);
}

/** True if there are few partitions or all steps fit a screen; stops counting once they do not. */
function isOneScreen(plan: Plan): boolean {
  if (plan.partitions.length <= FEW) return true;
  let lines = 0;
  for (const one of plan.partitions) {
    lines += partitionLines(plan, one).length;
    if (lines > SCREEN_LINES) return false;
  }
  return true;
}

/**
 * The plan of an operation, one step a line; of a long list the first steps, and the number of all.
 */
function listText(plan: Plan, isVerbose: boolean, screen: number): string[] {
  const steps = [...plan.partitions.flatMap((one) => one.first.steps), ...plan.others];
  if (steps.length === 0) return [...plan.notes.map(safe), "nothing to do"];
  const isShort = isVerbose || steps.length <= SCREEN_LINES;
  const shown = isShort ? steps : steps.slice(0, FIRST_STEPS);
  const rows = shown.map((step, index) => [String(index + 1), stepText(step), step.why]);
  const columns = [{ title: "#", align: "right" as const }, { title: "action" }, { title: "why" }];
  return [
    ...tableOrLines(columns, rows, screen),
    ...(isShort
      ? []
      : [`all ${steps.length}: ${tally(steps.map(({ kind }) => kind))}; each of them: --verbose`]),
    ...notesOf(plan, isShort),
    `${counted(steps.length, "action")} planned, nothing changed`,
  ];
}

/** The notes of a plan; of a long list the first ones. */
function notesOf({ notes }: Plan, isShort: boolean): string[] {
  const shown = isShort ? notes : notes.slice(0, FIRST_STEPS);
  const more = notes.length - shown.length;
  return [
    ...shown.map((note) => `note: ${safe(note)}`),
    ...(more > 0 ? [`and ${counted(more, "more note")}`] : []),
  ];
}

function partitionLines(plan: Plan, one: PlannedPartition): string[] {
  const refusal = refusalOf(one);
  const heading = `${partitionName(one.id)}: ${refusal === undefined ? leaderWords(one) : "REFUSED"}`;
  return [
    safe(heading),
    ...one.problems.map((problem) => {
      const where = problem.endpoint === undefined ? "" : `${safe(problem.endpoint)}: `;
      return `    ${where}${safe(problem.text)} [${problem.code}]`;
    }),
    ...(refusal === undefined
      ? one.rounds.flatMap((round, index) => roundLines(plan, round, index))
      : [`    left alone: ${safe(refusal)}`]),
  ];
}

function leaderWords(one: PlannedPartition): string {
  const leader = plannedLeader(one);
  if (leader === undefined) return "the leader is not known yet";
  return one.first.leader === leader
    ? `led by ${leader}`
    : `led by ${leader} if it holds the expected entries`;
}

function roundLines(plan: Plan, round: PlannedRound, index: number): string[] {
  return [
    `  round ${index + 1}, ${roundWords(plan, round, index)}`,
    ...round.steps.map((step, position) => stepLine(step, position)),
    ...round.notes.map((note) => `    note: ${safe(note)}`),
    ...(round.blocked === undefined ? [] : [`    stops there: ${safe(round.blocked.text)}`]),
  ];
}

function roundWords(plan: Plan, round: PlannedRound, index: number): string {
  if (index > 0) return "if the offsets are as last seen, and every step works:";
  const isEvidence =
    plan.method === "direct" && round.steps.every((step) => EVIDENCE.includes(step.kind));
  return isEvidence ? "to gather evidence:" : "now:";
}

const EVIDENCE: readonly StepKind[] = ["load-follower", "wait-load", "wait-ops"];

function stepLine(step: PlannedStep, position: number): string {
  return `    ${position + 1}. ${safe(wordsOf(step))} [${step.why}]; expects: ${safe(step.expects)}`;
}

function methodLines(plan: Plan, size: PlanSize, isShort: boolean): string[] {
  if (size.partitions === 0) return [];
  if (!isShort) return ["after each round a partition is observed and planned again"];
  if (plan.method === "documented") {
    return ["after round 1 each partition is observed again; remaining problems are handled then"];
  }
  return [
    "after each round a partition is observed again, and the next round is planned by true offsets:",
    "  the longest log of the surviving history leads, and replicates to the others from their own offsets;",
    "  a follower that cannot catch up in this way is rebuilt (RecoverTable) only if the leader holds its entries;",
    "  a partition that cannot be recovered without giving entries up is left alone",
  ];
}

function guardLines(plan: Plan, size: PlanSize): string[] {
  if (!plan.basis.autoFailover) return ["auto_failover is off and stays off"];
  return [
    size.changes === 0
      ? "auto_failover is on and stays on"
      : "auto_failover is on: it is switched off before the first change and back on at the end",
  ];
}

function verdict(plan: Plan, size: PlanSize): string {
  const { partitions, refused, replicas, changes } = size;
  if (plan.partitions.length === 0) {
    return `plan: all ${counted(plan.basis.partitions, "partition")} healthy, nothing to do`;
  }
  return `plan: ${plan.partitions.length} of ${counted(plan.basis.partitions, "partition")} not healthy; ${counted(changes, "change")} to ${counted(replicas, "replica")} of ${counted(partitions, "partition")}; ${refused} left alone`;
}

const AWAY: readonly ProblemCode[] = ["tablet-offline", "tablet-silent", "tablet-foreign"];

/** Names the tablets that are unavailable and the partitions that are left as they are. */
function downLines(plan: Plan): string[] {
  const problems = plan.partitions.flatMap((one) => one.problems);
  const away = countBy(
    problems.flatMap(({ code, endpoint }) => (AWAY.includes(code) ? (endpoint ?? []) : [])),
  );
  const left = plan.partitions.filter((one) => refusalOf(one) !== undefined);
  const names = suchAs(left, NAMED_MAX, ({ id }) => partitionName(id));
  const others = [...away].slice(NAMED_MAX);
  const rest = others.reduce((sum, [, count]) => sum + count, 0);
  return [
    ...[...away]
      .slice(0, NAMED_MAX)
      .map(
        ([endpoint, count]) =>
          `  - tablet ${safe(endpoint)} is unavailable, and ${counted(count, "replica")} on it cannot be recovered`,
      ),
    ...(others.length === 0
      ? []
      : [
          `  - ${counted(others.length, "more tablet")} unavailable, with ${counted(rest, "replica")}`,
        ]),
    ...(left.length === 0 ? [] : [`  - left as they are: ${safe(names)}`]),
  ];
}

/**
 * The question before a run changes anything: its scope, the number of changes, and the risks.
 *
 * @param size The size of the plan.
 * @returns Lines without line ends, the last one the question. Names are made safe.
 */
export function questionText(plan: Plan, size: PlanSize, cluster: string): string[] {
  const { partitions, refused, replicas, changes, recoverTables, givenUp } = size;
  const risks = [
    plan.basis.autoFailover && "auto_failover is off until the end of the run",
    "clients of a partition may see errors while its leader changes",
    recoverTables > 0 &&
      `${counted(recoverTables, "replica")} to be rebuilt: RecoverTable moves its log away first`,
    givenUp > 0 &&
      `${counted(givenUp, "partition")} where rows are given up under --accept_data_loss`,
    refused > 0 && `${counted(refused, "partition")} left alone and not healthy afterwards`,
  ].filter((risk) => risk !== false);
  return [
    `recover the cluster ${safe(cluster)} with method ${plan.method}: ${counted(partitions, "partition")}, ${counted(replicas, "replica")}, about ${counted(changes, "change")}`,
    ...downLines(plan),
    ...lostLines(plan).map((line) => `  - ${safe(line)}`),
    ...risks.map((risk) => `  - ${risk}`),
    "show all with --dry_run; continue? [y/N] ",
  ];
}

/** Number of groups that are shown; the partitions of the others are counted. */
const GROUPS_MAX = 6;

/** Partitions with the same problems and the same first steps. */
interface Group {
  readonly problems: string;
  readonly action: string;
  readonly members: PlannedPartition[];
}

/**
 * A plan of many partitions on one screen. Partitions with the same problems and the same first steps
 * form a group; groups that are left alone come first, then the largest.
 *
 * @returns Lines; names from the cluster are made safe for a terminal.
 */
function* planOverview({ partitions }: Pick<Plan, "partitions">): Lines {
  const groups = yield* groupsOf(partitions);
  const rest = groups.slice(GROUPS_MAX).reduce((sum, { members }) => sum + members.length, 0);
  yield* groups.slice(0, GROUPS_MAX).flatMap(groupLines);
  if (rest > 0) yield `${counted(rest, "more partition")} with other problems`;
  yield "each of them: --verbose; for programs: --output=json or --plan_out=FILE";
}

function* groupsOf(partitions: readonly PlannedPartition[]): Work<Group[]> {
  const groups = new Map<string, Group>();
  for (const one of partitions) {
    yield undefined;
    const refusal = refusalOf(one);
    const problems = tally(one.problems.map(({ code }) => code));
    const action =
      refusal === undefined ? tally(one.first.steps.map(({ kind }) => kind)) : "LEFT ALONE";
    const key = `${problems} | ${action}`;
    const group = groups.get(key) ?? { problems, action, members: [] };
    groups.set(key, group);
    group.members.push(one);
  }
  const isLeft = ({ action }: Group) => Number(action === "LEFT ALONE");
  return [...groups.values()].sort(
    (a, b) => isLeft(b) - isLeft(a) || b.members.length - a.members.length,
  );
}

function groupLines({ problems, action, members }: Group): string[] {
  const [one] = members;
  const names = suchAs(members, NAMED_MAX, ({ id }) => partitionName(id));
  const refusal = one && refusalOf(one);
  const later = one === undefined ? [] : one.rounds.slice(1).flatMap(({ steps }) => steps);
  const then =
    refusal === undefined && later.length > 0
      ? `, then ${tally(later.map(({ kind }) => kind))}`
      : "";
  return [
    `${counted(members.length, "partition")}, ${problems || "requested with --force"}: ${action}${then}`,
    `    ${safe(names)}${refusal === undefined ? "" : `; the first one: ${safe(refusal)}`}`,
  ];
}
