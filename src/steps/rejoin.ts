import { problemsAt } from "../diagnosis/diagnose.js";
import type { Endpoint, TermStart } from "../model/cluster-state.js";
import { detailOf, isSuccess, type StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Step } from "../model/step.js";
import {
  failuresOf,
  hasFallback,
  learn,
  NO_ATTEMPTS,
  snapshotsOf,
  withEarlier,
} from "../planning/attempt-history.js";
import { planRejoin } from "../planning/rejoin.js";
import { refusalIn } from "./expectations.js";
import { ALREADY, failed, outcomeOf, stale } from "./outcomes.js";
import type { StepContext, Task } from "./step-context.js";
import { partitionNow } from "./step-preconditions.js";

/** Limit of rounds. */
const ROUNDS_MAX = 6;
/** Pause in milliseconds before a transient problem is observed again for the first time; it doubles each time. */
const PAUSE_MS = 100;

/**
 * Recovers one replica in rounds, as `recoverPartition` does for all replicas of a partition: observe,
 * check, plan (`planRejoin`), act. Each step of a round is run and checked as in a recovery.
 */
export async function rejoin(context: StepContext, task: Task<"rejoin">): Promise<StepOutcome> {
  const { cluster, signal } = context;
  const { step } = task;
  const snapshots = new Map<Endpoint, TermStart>();
  const details: string[] = [];
  let attempts = NO_ATTEMPTS;
  let before: Lane | undefined;
  let outcome: StepOutcome = stale("it is not recovered");
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    const now = await partitionNow(context, step.id);
    const view = before === undefined ? now : withEarlier(now, before, snapshots);
    const lane = planRejoin(view, step, attempts);
    const end = endOf(view, task, lane);
    if (end !== undefined) return end === ALREADY && round > 1 ? done(details) : end;
    const results = await runSteps(context, lane);
    const failures = failuresOf(results);
    const lasting = failures.filter((one) => one.isTransient !== true);
    const final = lasting.find((one) => !hasFallback(one));
    if (final !== undefined) return failed(final.detail);
    for (const [endpoint, snapshot] of snapshotsOf(results)) snapshots.set(endpoint, snapshot);
    for (const one of results) details.push(detailOf(one.outcome));
    attempts = learn(attempts, lasting, lane);
    before = lane;
    const bad = results.find((one) => !isSuccess(one.outcome.result));
    if (bad === undefined) continue;
    outcome = bad.outcome;
    await cluster.clock.sleep(PAUSE_MS * 2 ** (round - 1), signal);
  }
  return outcome;
}

/** The end of the step if nothing more is to be done; undefined if there is work. */
function endOf(view: PartitionView, task: Task<"rejoin">, lane: Lane): StepOutcome | undefined {
  const { endpoint } = task.step;
  if (view.replicas.every((one) => one.endpoint !== endpoint)) return stale("the replica is gone");
  const problems = problemsAt(view, endpoint);
  if (problems.length === 0) return ALREADY;
  const refusal = refusalIn(view, task.expects) ?? lane.blocked?.text;
  if (refusal !== undefined) return stale(refusal);
  return lane.steps.length > 0 ? undefined : stale(problems.map((one) => one.text).join(", "));
}

/** A step of a round with its outcome. */
interface Ran {
  readonly step: Step;
  readonly outcome: StepOutcome;
}

/** Runs the steps of a round up to the first one that does not succeed. */
async function runSteps(context: StepContext, lane: Lane): Promise<Ran[]> {
  const results: Ran[] = [];
  for (const step of lane.steps) {
    const outcome = await outcomeOf(context, () => context.runStep(step, lane));
    results.push({ step, outcome });
    if (results.some((one) => !isSuccess(one.outcome.result))) break;
  }
  return results;
}

function done(details: readonly string[]): StepOutcome {
  return { result: "done", detail: details.filter((one) => one !== "").join("; ") };
}
