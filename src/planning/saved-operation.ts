import { OpsError } from "../errors.js";
import { type Action, actionText } from "../model/action.js";
import type { Operation, OperationPlan } from "../operations/operation.js";
import { counted } from "../report/recovery-report.js";

/** A plan of an operation as it was shown or saved. */
export interface SavedOperation {
  readonly command: string;
  readonly words: readonly string[];
  readonly plan: OperationPlan;
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
    ...differences(saved.plan.actions.map(actionText), fresh.actions.map(actionText)),
  ];
  if (details.length === 0) return;
  throw new OpsError({
    code: "plan-stale",
    message: `the cluster is not as the plan saw it (${counted(details.length, "difference")}); nothing was changed`,
    hint: "make a new plan and look at it",
    details,
  });
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
export function operationDocument(saved: SavedOperation, rootPath: string): unknown {
  return { schemaVersion: SCHEMA_VERSION, kind: KIND, rootPath, ...saved };
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
  const { actions, notes, facts } = isObject(plan) ? plan : {};
  if (typeof command !== "string" || !isTexts(words) || !isTexts(notes) || !isTexts(facts)) {
    throw broken("parts of it are missing");
  }
  if (!Array.isArray(actions) || !actions.every(isAction)) throw broken("its actions are damaged");
  return { command, words, plan: { actions, notes, facts } };
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

function isAction(value: unknown): value is Action {
  return isObject(value) && typeof value["verb"] === "string" && typeof value["why"] === "string";
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
