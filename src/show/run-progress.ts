import type { Endpoint, Op } from "../model/cluster-state.js";
import { isSuccess, type RunEvent } from "../model/outcome.js";
import type { Phase, RowsProgress } from "../model/progress.js";
import type { Step, StepKind } from "../model/step.js";
import { safe } from "../util/text.js";
import { eventLine, stepName } from "./event-line.js";
import { createPace, type Pace, type TimeLeft } from "./pace.js";
import { createWorkCount, type Share, type TabletLeft, type WorkCount } from "./work-count.js";

/** The activity that a step of each kind mostly waits for; kinds that end at once are left out. */
const SPENT_ON: Partial<Record<StepKind, "loading" | "replicating" | "ops">> = {
  "load-follower": "loading",
  "load-leader": "loading",
  "load-table": "loading",
  "wait-load": "loading",
  replicate: "replicating",
  rejoin: "replicating",
  "wait-sync": "replicating",
  "add-replica": "ops",
  "change-leader": "ops",
  "del-replica": "ops",
  migrate: "ops",
  "offline-endpoint": "ops",
  "recover-endpoint": "ops",
  "recover-table": "ops",
  "wait-ops": "ops",
};

/** Steps that are the last one for their replica in most lanes. */
const LAST_OF_REPLICA: ReadonlySet<StepKind> = new Set([
  "change-leader",
  "load-leader",
  "promote",
  "recover-table",
  "rejoin",
  "replicate",
  "wait-sync",
]);

/** The progress of a run, as plain data. */
export interface ProgressView {
  readonly phase: Phase;
  /** Details of the phase; undefined if there are none. */
  readonly detail: string | undefined;
  /** Milliseconds since the command began. */
  readonly elapsedMs: number;
  /** The work of the run; undefined before it is known. */
  readonly work: ProgressOfWork | undefined;
  /** The rows that are compared; undefined if none are. */
  readonly rows: RowsProgress | undefined;
  /** Undefined without a reliable estimate. */
  readonly timeLeft: TimeLeft | undefined;
  /** Replicas that tablets load or have queued, and those that wait for the limit of loads. */
  readonly loading: number;
  readonly waitingToLoad: number;
  readonly replicating: number;
  /** Steps that wait for ops. */
  readonly waitingForOps: number;
  /** The nameserver's running ops, and the number of queued ones. */
  readonly ops: readonly Op[];
  readonly queuedOps: number;
  /** Running steps of a planned list, the oldest first. */
  readonly underWay: readonly StepUnderWay[];
  /** The tablet with the most replicas left; undefined if fewer than two tablets have some left. */
  readonly slowest: TabletLeft | undefined;
  /**
   * The last failed step, or partition that was left alone, made safe; undefined if there was none.
   */
  readonly problem: string | undefined;
}

/** The progress of the work. */
export interface ProgressOfWork extends Share {
  /** The counted unit, such as `partition` or `move`. */
  readonly noun: string;
  /** Units among `done` that did not succeed. */
  readonly left: number;
  /**
   * A part that is counted too: the replicas of partitions, the moves among actions; undefined if there
   * is none.
   */
  readonly part: (Share & { readonly noun: string }) | undefined;
}

/** A running step. */
export interface StepUnderWay {
  /** Made safe. */
  readonly text: string;
  /** The running op of its partition; undefined if there is none. */
  readonly op: bigint | undefined;
}

/** Derives progress from the events of a run. All times are milliseconds of one clock. */
export interface RunProgress {
  add(event: RunEvent, nowMs: number): void;
  view(nowMs: number): ProgressView;
}

/** @param beganMs When the command began. */
export function createRunProgress(beganMs: number): RunProgress {
  const state: State = {
    phase: "connecting",
    detail: undefined,
    work: undefined,
    list: undefined,
    rows: undefined,
    pace: undefined,
    underWay: new Map(),
    loads: new Map(),
    ops: [],
    problem: undefined,
  };
  return {
    add: (event, nowMs) => take(state, event, nowMs),
    view: (nowMs) => viewOf(state, nowMs, beganMs),
  };
}

interface State {
  phase: Phase;
  detail: string | undefined;
  work: WorkCount | undefined;
  list: List | undefined;
  rows: RowsProgress | undefined;
  /** The pace of the current work. */
  pace: Pace | undefined;
  /** Running steps, the oldest first. */
  readonly underWay: Map<Step, "round" | "list">;
  readonly loads: Map<Endpoint, number>;
  ops: readonly Op[];
  problem: string | undefined;
}

/** The steps of a planned list. */
interface List {
  readonly of: number;
  done: number;
  left: number;
  readonly moves: { readonly of: number; done: number };
}

function take(state: State, event: RunEvent, nowMs: number): void {
  switch (event.kind) {
    case "phase":
      [state.phase, state.detail] = [event.phase, event.detail];
      break;
    case "asked":
      state.detail = askedText(event);
      break;
    case "work":
      if (state.work === undefined) state.pace = createPace(nowMs);
      state.work ??= createWorkCount();
      state.work.begin(event.partitions);
      [state.phase, state.detail] = ["working", undefined];
      break;
    case "list":
      state.list = listOf(event.steps);
      [state.phase, state.detail, state.pace] = ["working", undefined, createPace(nowMs)];
      break;
    case "loads":
      state.loads.set(event.endpoint, event.loading);
      break;
    case "ops":
      state.ops = event.ops;
      break;
    case "rows":
      takeRows(state, event.rows, nowMs);
      break;
    case "step-started":
      state.underWay.set(event.step, event.mode);
      if (event.step.id !== undefined) state.work?.beginStep(event.step.id);
      break;
    case "step-ended":
      takeStep(state, event, nowMs);
      break;
    case "lane-ended":
      addDone(state, state.work?.endPartition(event.id, event.failure !== undefined), nowMs);
      break;
    default:
  }
  // A warning of the run is shown in the log.
  const line = event.kind === "warning" ? undefined : eventLine(event);
  if (line?.level === "warn") state.problem = line.text;
}

function addDone({ pace }: State, replicas: number | undefined, nowMs: number): void {
  if (replicas !== undefined && replicas > 0) pace?.add(replicas, nowMs);
}

function askedText({ of, silent }: Extract<RunEvent, { kind: "asked" }>): string | undefined {
  const [first] = silent;
  if (first === undefined) return undefined;
  const more = silent.size > 1 ? ` and ${silent.size - 1} more` : "";
  return safe(`${of - silent.size} of ${of} tablets have answered; no answer yet: ${first}${more}`);
}

function listOf(steps: readonly Step[]): List {
  const moves = steps.filter((step) => step.kind === "migrate").length;
  return { of: steps.length, done: 0, left: 0, moves: { of: moves, done: 0 } };
}

function takeRows(state: State, rows: RowsProgress, nowMs: number): void {
  if (state.rows === undefined) {
    [state.phase, state.detail, state.pace] = ["comparing-rows", undefined, createPace(nowMs)];
  }
  const read = rows.rows - (state.rows?.rows ?? 0);
  if (read > 0) state.pace?.add(read, nowMs);
  state.rows = rows;
}

function takeStep(
  state: State,
  { step, mode, outcome }: Extract<RunEvent, { kind: "step-ended" }>,
  nowMs: number,
): void {
  state.underWay.delete(step);
  const isWell = isSuccess(outcome.result);
  if (mode === "list" && state.list !== undefined) {
    state.list.done += 1;
    if (step.kind === "migrate") state.list.moves.done += 1;
    if (!isWell) state.list.left += 1;
    state.pace?.add(1, nowMs);
  }
  const { id, endpoint, kind } = step;
  if (isWell && id !== undefined && endpoint !== undefined && LAST_OF_REPLICA.has(kind)) {
    addDone(state, state.work?.endReplica(id, endpoint), nowMs);
  }
}

function viewOf(state: State, nowMs: number, beganMs: number): ProgressView {
  const spentOn = (what: string) =>
    [...state.underWay.keys()].filter((step) => SPENT_ON[step.kind] === what).length;
  const loads = spentOn("loading");
  const loading = Math.min(loads, total(state.loads.values()));
  const running = state.ops.filter((op) => op.status === "doing");
  const waitingForOps = spentOn("ops");
  const isForOps = waitingForOps > 0 || state.phase === "waiting-for-ops";
  return {
    phase: state.phase,
    detail: state.detail,
    elapsedMs: nowMs - beganMs,
    work: workOf(state),
    rows: state.rows,
    timeLeft: state.pace?.left(unitsLeft(state), nowMs),
    loading,
    waitingToLoad: loads - loading,
    replicating: spentOn("replicating"),
    waitingForOps,
    ops: isForOps ? running : [],
    queuedOps: isForOps ? state.ops.length - running.length : 0,
    underWay: [...state.underWay]
      .filter(([, mode]) => mode === "list")
      .map(([step, mode]) => ({ text: stepName({ step, mode }), op: opOf(step, running) })),
    slowest: state.work?.slowest(),
    problem: state.problem,
  };
}

function opOf({ id }: Step, running: readonly Op[]): bigint | undefined {
  const ofPartition = ({ db, table, pid }: Op) =>
    db === id?.db && table === id.table && pid === id.pid;
  return running.find(ofPartition)?.id;
}

function total(counts: Iterable<number>): number {
  let sum = 0;
  for (const count of counts) sum += count;
  return sum;
}

function workOf({ work, list }: State): ProgressOfWork | undefined {
  if (list !== undefined) {
    const { moves } = list;
    const noun = moves.of === list.of ? "move" : "action";
    const isMixed = moves.of > 0 && moves.of < list.of;
    return { ...list, noun, part: isMixed ? { ...moves, noun: "move" } : undefined };
  }
  if (work === undefined) return undefined;
  return {
    noun: "partition",
    ...work.partitions(),
    left: work.left(),
    part: { ...work.replicas(), noun: "replica" },
  };
}

/** The remaining work, in the unit of the pace. */
function unitsLeft({ rows, list, work }: State): number {
  if (rows !== undefined) return rows.expectedRows - rows.rows;
  if (list !== undefined) return list.of - list.done;
  return work?.replicasLeft() ?? 0;
}
