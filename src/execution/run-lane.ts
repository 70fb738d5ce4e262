import type { LimitFunction } from "p-limit";
import type { Endpoint } from "../model/cluster-state.js";
import { isSuccess, type OnEvent, type StepOutcome, type StepResult } from "../model/outcome.js";
import type { Step } from "../model/step.js";
import type { LaneWork } from "../planning/operation-lanes.js";
import { outcomeOf } from "../steps/outcomes.js";
import { recoverFollowers } from "../steps/recover-table.js";
import { rowOf, runStep, taskOf } from "../steps/run-step.js";
import type { StepContext, Task } from "../steps/step-context.js";
import type { LaneExclusion } from "./leader-copy-exclusion.js";

/**
 * Limits of partitions that run concurrently, one each for the steps before the first load, for leader steps
 * and for follower steps. Loads are limited per tablet instead. Waiting for loads, replication or
 * RecoverEndpoint does not count.
 */
export interface PartitionLimits {
  readonly beginning: LimitFunction;
  readonly leaders: LimitFunction;
  readonly followers: LimitFunction;
  /** The limits if none of the steps queues an op. They are higher, because such steps mostly wait. */
  readonly lightLeaders: LimitFunction;
  readonly lightFollowers: LimitFunction;
}

/** Options of {@link runLane}. */
export type LaneOptions =
  | {
      /** One round of a recovery: `failureEnds` in the step table defines what a failed step ends. */
      readonly mode: "round";
      readonly onEvent: OnEvent;
      readonly limits: PartitionLimits;
      /** True if steps before the first load have their own limit. */
      readonly isFirstRound: boolean;
    }
  | {
      /** A planned list: the steps run one after another, and the first one that does not succeed is the last. */
      readonly mode: "list";
      readonly onEvent: OnEvent;
      readonly exclusion: LaneExclusion;
      /** True if auto_failover is switched off before a step that changes the cluster. */
      readonly needsOff: boolean;
      /** Runs right before each step; an error that it throws fails the step. */
      readonly before?: ((step: Step) => Promise<void>) | undefined;
      /** Filled as steps end, so that a stopped run can report its progress. */
      readonly results: StepResult[];
    };

/** The results of a lane. `isComplete`: no step ended the lane early. */
export interface LaneRun {
  readonly results: readonly StepResult[];
  readonly isComplete: boolean;
}

/** A lane while it runs. */
interface Running {
  readonly context: StepContext;
  readonly work: LaneWork;
  readonly options: LaneOptions;
  readonly results: StepResult[];
}

/** Runs the steps of a lane. A step whose preconditions do not hold ends it. */
export async function runLane(
  context: StepContext,
  work: LaneWork,
  options: LaneOptions,
): Promise<LaneRun> {
  const running: Running = { context, work, options, results: [] };
  const isComplete = await runAll(running);
  const { results } = running;
  if (options.mode === "list") {
    for (const step of work.steps.slice(results.length)) {
      options.results.push({ step, outcome: { result: "not-done" } });
    }
  }
  return { results, isComplete };
}

async function runAll(running: Running): Promise<boolean> {
  const { options, work } = running;
  if (options.mode === "list") {
    try {
      return await runGroups(
        running,
        work.steps.map((step) => [step]),
      );
    } finally {
      options.exclusion.release();
    }
  }
  for (const { limit, steps } of stretches(work.steps, options.isFirstRound)) {
    const run = () => runGroups(running, parallelGroups(steps));
    if (!(await (limit === undefined ? run() : options.limits[limit](run)))) return false;
  }
  return true;
}

/** Consecutive steps under the same limit; undefined if they need none. */
interface Stretch {
  readonly limit: keyof PartitionLimits | undefined;
  readonly steps: Step[];
}

/** Splits steps at each change of their limit. */
function stretches(steps: readonly Step[], isFirstRound: boolean): Stretch[] {
  const made: Stretch[] = [];
  let current: keyof PartitionLimits = isFirstRound ? "beginning" : "leaders";
  for (const step of steps) {
    const row = rowOf(step);
    if (row.limit === "loads" && current === "beginning") current = "leaders";
    // The partition has its leader now. The follower steps can be slow, and leader steps must not wait for them.
    if (row.turn === "follower") current = "followers";
    const isLimited = row.limit === "partitions" || row.limit === "light-partitions";
    const limit = isLimited ? current : undefined;
    const last = made.at(-1);
    if (last !== undefined && last.limit === limit) last.steps.push(step);
    else made.push({ limit, steps: [step] });
  }
  return made.map(({ limit, steps }) => ({ limit: limitFor(limit, steps), steps }));
}

function limitFor(limit: Stretch["limit"], steps: readonly Step[]): Stretch["limit"] {
  if (!steps.every((step) => rowOf(step).limit === "light-partitions")) return limit;
  if (limit === "leaders") return "lightLeaders";
  return limit === "followers" ? "lightFollowers" : limit;
}

/** Groups consecutive parallel steps of one kind (on different replicas); every other step is its own group. */
function parallelGroups(steps: readonly Step[]): Step[][] {
  const groups: Step[][] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (rowOf(step).isParallel && last?.every((one) => one.kind === step.kind)) last.push(step);
    else groups.push([step]);
  }
  return groups;
}

/** @returns True if the lane continues. */
async function runGroups(running: Running, groups: readonly Step[][]): Promise<boolean> {
  const { results } = running;
  for (const group of groups) {
    const failed = new Set<Endpoint | undefined>();
    for (const { step, outcome } of results) {
      if (outcome.result === "failed") failed.add(step.endpoint);
    }
    const open = group.filter((step) => step.endpoint === undefined || !failed.has(step.endpoint));
    const act = actOf(running, open);
    const ended = await Promise.all(
      open.map(async (step) => ({ step, outcome: await runAndReport(running, step, act) })),
    );
    for (const one of ended) {
      results.push(one);
      if (running.options.mode === "list") running.options.results.push(one);
    }
    if (ended.some((one) => endsLane(running, one))) return false;
  }
  return true;
}

function endsLane(
  { options, work }: Running,
  { step, outcome }: { readonly step: Step; readonly outcome: StepOutcome },
): boolean {
  if (isSuccess(outcome.result)) return false;
  if (options.mode === "list" || outcome.result === "stale") return true;
  const { failureEnds } = rowOf(step);
  return failureEnds === "leader" ? step.endpoint === work.lane?.leader : failureEnds === "lane";
}

/** Returns the function that runs the steps of a group: RecoverTable steps may share a RecoverEndpoint call. */
function actOf(
  { context, work: { lane }, options }: Running,
  steps: readonly Step[],
): (step: Step) => Promise<StepOutcome> {
  const rebuilds = steps.filter((step) => step.kind === "recover-table");
  if (options.mode === "list" || rebuilds.length === 0) {
    return (step) => outcomeOf(context, () => runStep(context, step, lane));
  }
  const tasks = new Map(
    rebuilds.map((step) => [step as Step, taskOf(step, lane) as Task<"recover-table">]),
  );
  const recover = recoverFollowers(context, [...tasks.values()], options.limits.followers);
  return (step) => recover(tasks.get(step) as Task<"recover-table">);
}

async function runAndReport(
  { context, options, work }: Running,
  step: Step,
  act: (step: Step) => Promise<StepOutcome>,
): Promise<StepOutcome> {
  const { clock } = context.cluster;
  const { onEvent, mode } = options;
  if (mode === "list") {
    await options.exclusion.acquire(step, work.steps[work.steps.indexOf(step) - 1]);
  }
  context.signal.throwIfAborted();
  const began = clock.now();
  onEvent({ kind: "step-started", step, mode });
  const prepared =
    mode === "list" && (await outcomeOf(context, async () => options.before?.(step)));
  const needsOff = mode === "round" || options.needsOff;
  if (needsOff && rowOf(step).changes) await context.engageGuard();
  const outcome = prepared || (await act(step));
  onEvent({ kind: "step-ended", step, mode, outcome, tookMs: clock.now() - began });
  return outcome;
}
