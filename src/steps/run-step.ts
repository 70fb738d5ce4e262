import type { StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Step, StepKind } from "../model/step.js";
import type { StepContext, Task } from "./step-context.js";
import type { StepRow } from "./step-row.js";
import { STEPS } from "./table.js";

/** The row of a step whose kind is not known, so that each function of it takes any step. */
type AnyRow = StepRow<StepKind>;

/** The row of a step. */
export function rowOf({ kind }: { readonly kind: StepKind }): AnyRow {
  return STEPS[kind] as unknown as AnyRow;
}

/** The partition after a step that worked, as far as it can be predicted. */
export function effectOf(
  view: PartitionView,
  step: Step,
  lane: Pick<Lane, "leader">,
): PartitionView {
  return rowOf(step).effect(view, step, lane);
}

/** What a step does, for people. */
export function wordsOf(step: Step): string {
  return rowOf(step).words(step);
}

/** A step of a lane with what it expects to find. */
export function taskOf(step: Step, lane: Lane | undefined): Task {
  const of = lane as Task["lane"];
  return { step, lane: of, expects: rowOf(step).expects(step, of) };
}

/** Does one step. @throws What a call of it throws; and the signal's reason if the run is to stop. */
export function runStep(
  context: StepContext,
  step: Step,
  lane: Lane | undefined,
): Promise<StepOutcome> {
  return rowOf(step).run(context, taskOf(step, lane));
}
