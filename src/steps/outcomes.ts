import { messageOf, OpsError } from "../errors.js";
import { detailOf, type StepOutcome } from "../model/outcome.js";

/** The outcome of a step whose effect was there already. */
export const ALREADY: StepOutcome = { result: "already-done" };
/** The outcome of a successful step without details. */
export const DONE: StepOutcome = { result: "done", detail: "" };

/** The outcome of a step that failed. */
export function failed(detail: string): StepOutcome {
  return { result: "failed", detail };
}

/** The outcome of a step that finds the cluster in another state than planned. */
export function stale(detail: string): StepOutcome {
  return { result: "stale", detail };
}

/** Thrown by the helpers of a step to end the step with an outcome. `runStep` and `outcomeOf` return the outcome. */
export class StepEnd extends Error {
  readonly outcome: StepOutcome;

  constructor(outcome: StepOutcome) {
    super(detailOf(outcome));
    this.outcome = outcome;
  }
}

/** True if a failed change may have taken effect: only its answer was lost. */
export function mayHaveWorked(thrown: unknown): boolean {
  return thrown instanceof OpsError && thrown.retryable && thrown.code !== "rejected";
}

/**
 * Runs a step's work and returns its outcome.
 *
 * @throws Only when the run is to stop; every other failure is an outcome.
 */
export async function outcomeOf<T>(
  { signal }: { readonly signal: AbortSignal },
  work: () => Promise<T>,
): Promise<T | StepOutcome> {
  try {
    return await work();
  } catch (thrown) {
    signal.throwIfAborted();
    return endedBy(thrown);
  }
}

/** The outcome of a step that threw. */
export function endedBy(thrown: unknown): StepOutcome {
  return thrown instanceof StepEnd ? thrown.outcome : failedBy(thrown);
}

/** The outcome of a step that ended with an error, with the error's hint. */
export function failedBy(thrown: unknown): Extract<StepOutcome, { result: "failed" }> {
  const hint = thrown instanceof OpsError && thrown.hint !== undefined ? ` (${thrown.hint})` : "";
  const isTransient = thrown instanceof OpsError && thrown.retryable;
  return {
    result: "failed",
    detail: `${messageOf(thrown)}${hint}`,
    ...(isTransient ? { isTransient } : {}),
  };
}
