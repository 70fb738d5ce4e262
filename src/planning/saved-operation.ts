import { OpsError } from "../errors.js";
import { detailsOf, type Step, stepText, verbOf } from "../model/step.js";
import type { Operation, OperationPlan } from "../operations/operation.js";
import { counted } from "../report/recovery-report.js";

/** A plan of an operation as it was shown or saved. */
export interface SavedOperation {
  readonly command: string;
  readonly words: readonly string[];
  readonly plan: Pick<OperationPlan, "notes" | "facts"> & {
    /** One line for each step. */
    readonly steps: readonly string[];
  };
}

/**
 * Checks that a saved plan is one of this very command line.
 *
 * @throws OpsError `usage` if it is another's.
 */
export function assertSameCommand(
  saved: Pick<SavedOperation, "command" | "words">,
  operation: Pick<Operation, "command" | "words">,
): void {
  const isSame =
    saved.command === operation.command && saved.words.join("\0") === operation.words.join("\0");
  if (isSame) return;
  throw new OpsError({
    code: "usage",
    message: `the plan is one of: ${saved.words.join(" ")}`,
    hint: "give the same command and arguments with --apply",
  });
}

/**
 * Checks that a fresh plan is the one that was saved or agreed to.
 *
 * @throws OpsError `plan-stale` with the differences; `usage` if the plan is another command's.
 */
export function assertSamePlan(
  saved: SavedOperation,
  operation: Operation,
  fresh: OperationPlan,
): void {
  assertSameCommand(saved, operation);
  const details = [
    ...differences(saved.plan.facts, fresh.facts),
    ...differences(saved.plan.steps, fresh.steps.map(stepText)),
  ];
  if (details.length === 0) return;
  throw new OpsError({
    code: "plan-stale",
    message: `the cluster is not as the plan saw it (${counted(details.length, "difference")}); nothing was changed`,
    hint: "make a new plan and look at it",
    details,
  });
}

/** A fresh plan as it is compared. */
export function linesOf({ steps, notes, facts }: OperationPlan): SavedOperation["plan"] {
  return { steps: steps.map(stepText), notes, facts };
}

function differences(before: readonly string[], now: readonly string[]): string[] {
  const [old, fresh] = [new Set(before), new Set(now)];
  return [
    ...before.filter((line) => !fresh.has(line)).map((line) => `planned with: ${line}`),
    ...now.filter((line) => !old.has(line)).map((line) => `now: ${line}`),
  ];
}

/** The version of the plan files of operations. */
const SCHEMA_VERSION = 1;
const KIND = "operation-plan";

/** A plan as it is saved in a file. */
export function operationDocument(
  saved: Pick<SavedOperation, "command" | "words">,
  { steps, notes, facts }: OperationPlan,
  rootPath: string,
): unknown {
  const plan = { actions: steps.map(stepData), steps: steps.map(stepText), notes, facts };
  return { schemaVersion: SCHEMA_VERSION, kind: KIND, rootPath, ...saved, plan };
}

/** A step of a planned operation as reports show it: numbers as decimal digits. */
export function stepData(step: Step): Record<string, unknown> {
  const to = step.kind === "migrate" ? step.to : undefined;
  return {
    verb: verbOf(step),
    ...(step.id ?? {}),
    endpoint: step.endpoint,
    to,
    ...detailsOf(step),
    why: step.why,
  };
}

/**
 * Reads a saved plan.
 *
 * @throws OpsError `usage` if it is no plan of an operation on the cluster at `rootPath`.
 */
export function parseOperation(text: string, rootPath: string): SavedOperation {
  const document = parsed(text);
  if (document["schemaVersion"] !== SCHEMA_VERSION || document["kind"] !== KIND) {
    throw broken("it is not a plan of this version of openmldb-ops");
  }
  if (document["rootPath"] !== rootPath) {
    throw broken(`it was made for the cluster at ${String(document["rootPath"])}`);
  }
  const { command, words, plan } = document;
  const { steps, notes, facts } = isObject(plan) ? plan : {};
  if (typeof command !== "string" || !isTexts(words) || !isTexts(notes) || !isTexts(facts)) {
    throw broken("parts of it are missing");
  }
  if (!isTexts(steps)) throw broken("its steps are damaged");
  return { command, words, plan: { steps, notes, facts } };
}

function parsed(text: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(text);
    if (isObject(document)) return document;
  } catch {
    // Told below.
  }
  throw broken("it is not a JSON document");
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function broken(why: string): OpsError {
  return new OpsError({
    code: "usage",
    message: `the plan file cannot be used: ${why}`,
    hint: "make a plan with --plan_out and the same command",
  });
}
