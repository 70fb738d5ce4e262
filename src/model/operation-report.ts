import type { StepResult } from "./outcome.js";
import type { Step } from "./step.js";

/** How an operation ended. */
export interface OperationReport {
  /** What was planned, and what the operator should know of it. */
  readonly plan: { readonly steps: readonly Step[]; readonly notes: readonly string[] };
  readonly results: readonly StepResult[];
  /** What is not as it should be, one line each. */
  readonly complaints: readonly string[];
  /** What is worth telling. */
  readonly conclusions: readonly string[];
  /** Why auto_failover could not be put back; undefined if it is as it was. */
  readonly notRestored: string | undefined;
  /** What ended the run early; undefined if it came to its end. */
  readonly error: unknown;
  /** Whether anything may have been changed. */
  readonly hasChanged: boolean;
}
