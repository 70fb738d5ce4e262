import type { LimitFunction } from "p-limit";
import type { Endpoint } from "../model/cluster-state.js";
import type { OnEvent, StepOutcome, StepResult } from "../model/outcome.js";
import type { Step, StepKind } from "../model/step.js";
import type { LaneWork } from "../planning/operation-lanes.js";
import { recoverFollowers } from "../steps/recover-table.js";
import { rowOf, runStep, taskOf } from "../steps/run-step.js";
import type { StepContext, Task } from "../steps/step-context.js";
import { outcomeOf } from "../steps/step-preconditions.js";
import type { Pass } from "./leader-copy-exclusion.js";

/**
 * How many partitions may be at work side by side before their first loads, at their leaders, and at
 * their followers. Loads are limited on each tablet instead; waiting for loads, for replication or for
 * RecoverEndpoint does not count.
 */
export interface PartitionLimits {
  readonly beginning: LimitFunction;
  readonly leaders: LimitFunction;
  readonly followers: LimitFunction;
  /** The same where none of the steps asks the nameserver for an op: more of them, since they mostly wait. */
  readonly lightLeaders: LimitFunction;
  readonly lightFollowers: LimitFunction;
}

/** Steps that are a call to a tablet or a mark in the record, and no op. */
const LIGHT: ReadonlySet<StepKind> = new Set<StepKind>([
  "change-role",
  "demote",
  "promote",
  "mark-alive",
  "mark-dead",
  "set-flags",
]);

/** How a lane is run. */
export type LaneOptions =
  | {
      /** One round of a recovery: a failure ends what cannot do without the step; see `failureEnds`. */
      readonly mode: "round";
      readonly onEvent: OnEvent;
      readonly limits: PartitionLimits;
      /** Whether steps before the first load are limited apart. */
      readonly isFirstRound: boolean;
    }
  | {
      /** A planned list: one after another, and the first step that does not end well is the last. */
      readonly mode: "list";
      readonly onEvent: OnEvent;
      readonly pass: Pass;
      /** Runs right before each step; what it throws fails the step. */
      readonly before?: ((step: Step) => Promise<void>) | undefined;
      /** Filled as steps end, so that a run that is stopped can tell how far it came. */
      readonly results: StepResult[];
    };

/** What came of a lane, and whether it came to its end. */
export interface Ran {
  readonly results: readonly StepResult[];
  readonly isThrough: boolean;
}

/** A lane while it runs. */
interface Running {
  readonly context: StepContext;
  readonly work: LaneWork;
  readonly options: LaneOptions;
  readonly results: StepResult[];
}

/** Runs the steps of a lane. A step that finds the cluster not as it was planned ends it. */
export async function runLane(
  context: StepContext,
  work: LaneWork,
  options: LaneOptions,
): Promise<Ran> {
  const running: Running = { context, work, options, results: [] };
  const isThrough = await runAll(running);
  const { results } = running;
  if (options.mode === "list") {
    for (const step of work.steps.slice(results.length)) {
      options.results.push({ step, outcome: { result: "not-done" } });
    }
  }
  return { results, isThrough };
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
      options.pass.leave();
    }
  }
  for (const { limit, steps } of stretches(work.steps, options.isFirstRound)) {
    const run = () => runGroups(running, parallelGroups(steps));
    if (!(await (limit === undefined ? run() : options.limits[limit](run)))) return false;
  }
  return true;
}

/** Steps in a row under the same limit; undefined where they need none. */
interface Stretch {
  readonly limit: keyof PartitionLimits | undefined;
  readonly steps: Step[];
}

/** Cuts steps where their limit changes. */
function stretches(steps: readonly Step[], isFirstRound: boolean): Stretch[] {
  const made: Stretch[] = [];
  let current: keyof PartitionLimits = isFirstRound ? "beginning" : "leaders";
  for (const step of steps) {
    const row = rowOf(step);
    if (row.limit === "loads" && current === "beginning") current = "leaders";
    // The leader leads by now: what comes from here on can be slow, and no other leader waits for it.
    if (row.turn === "follower") current = "followers";
    const limit = row.limit === "partitions" ? current : undefined;
    const last = made.at(-1);
    if (last !== undefined && last.limit === limit) last.steps.push(step);
    else made.push({ limit, steps: [step] });
  }
  return made.map(({ limit, steps }) => ({ limit: limitFor(limit, steps), steps }));
}

function limitFor(limit: Stretch["limit"], steps: readonly Step[]): Stretch["limit"] {
  if (!steps.every(({ kind }) => LIGHT.has(kind))) return limit;
  if (limit === "leaders") return "lightLeaders";
  return limit === "followers" ? "lightFollowers" : limit;
}

/** What different replicas can do side by side is in one group; the rest goes one after another. */
function parallelGroups(steps: readonly Step[]): Step[][] {
  const groups: Step[][] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (rowOf(step).isParallel && last?.every((one) => one.kind === step.kind)) last.push(step);
    else groups.push([step]);
  }
  return groups;
}

/** @returns Whether the lane goes on. */
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
      open.map(async (step) => ({ step, outcome: await runAndTell(running, step, act) })),
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
  const isWell = outcome.result === "done" || outcome.result === "already-done";
  if (isWell) return false;
  if (options.mode === "list" || outcome.result === "stale") return true;
  const { failureEnds } = rowOf(step);
  return failureEnds === "leader" ? step.endpoint === work.lane?.leader : failureEnds === "lane";
}

/** How a group of steps is done: followers that RecoverTable rebuilds may be done together. */
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

async function runAndTell(
  { context, options, work }: Running,
  step: Step,
  act: (step: Step) => Promise<StepOutcome>,
): Promise<StepOutcome> {
  const { clock } = context.cluster;
  const { onEvent, mode } = options;
  if (mode === "list") {
    await options.pass.enter(step, work.steps[work.steps.indexOf(step) - 1]);
  }
  context.signal.throwIfAborted();
  const began = clock.now();
  onEvent({ kind: "step-started", step, mode });
  const prepared =
    mode === "list" && (await outcomeOf(context, async () => options.before?.(step)));
  if (rowOf(step).changes) await context.engageGuard();
  const outcome = prepared || (await act(step));
  onEvent({ kind: "step-ended", step, mode, outcome, tookMs: clock.now() - began });
  return outcome;
}
