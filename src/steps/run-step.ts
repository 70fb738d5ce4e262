import type { StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Step, StepKind } from "../model/step.js";
import { StepEnd } from "./outcomes.js";
import type { StepContext, Task } from "./step-context.js";
import type { StepRow } from "./step-row.js";
import { STEPS } from "./table.js";

/** The row of a step of unknown kind; its functions accept any step. */
type AnyRow = StepRow<StepKind>;

/** Returns the row of a step. */
export function rowOf({ kind }: { readonly kind: StepKind }): AnyRow {
  return STEPS[kind] as unknown as AnyRow;
}

/** Predicts the partition after the step succeeded. */
export function effectOf(
  view: PartitionView,
  step: Step,
  lane: Pick<Lane, "leader">,
): PartitionView {
  return rowOf(step).effect(view, step, lane);
}

/** Describes what a step does. */
export function wordsOf(step: Step): string {
  return rowOf(step).words(step);
}

/** A step of a lane with the state that it expects. */
export function taskOf(step: Step, lane: Lane | undefined): Task {
  const of = lane as Task["lane"];
  return { step, lane: of, expects: rowOf(step).expects(step, of) };
}

/**
 * Runs one step.
 *
 * @throws What a call of it throws; the signal's reason if the run is to stop.
 */
export async function runStep(
  context: StepContext,
  step: Step,
  lane: Lane | undefined,
): Promise<StepOutcome> {
  try {
    return await rowOf(step).run(context, taskOf(step, lane));
  } catch (thrown) {
    if (thrown instanceof StepEnd) return thrown.outcome;
    throw thrown;
  }
}
