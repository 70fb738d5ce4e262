import { messageOf } from "../errors.js";
import { counted } from "../model/counted.js";
import type { OperationReport } from "../model/operation-report.js";
import { detailsOf, type Step, stepText, verbOf } from "../model/step.js";
import { table } from "../util/table.js";
import { safe } from "../util/text.js";
import { doneCount, isWell } from "./operation-rows.js";

const SCHEMA_VERSION = 1;

/** A step as JSON shows it: numbers as decimal digits. */
export function stepData(step: Step): Record<string, unknown> {
  const to = step.kind === "migrate" ? step.to : undefined;
  const { id, endpoint, why } = step;
  return { verb: verbOf(step), ...(id ?? {}), endpoint, to, ...detailsOf(step), why };
}

/** How an operation ended, as JSON. */
export function operationJson(report: OperationReport, command: string, exitCode: number): unknown {
  const { plan, results, complaints, conclusions, notRestored, error } = report;
  return {
    schemaVersion: SCHEMA_VERSION,
    command,
    exitCode,
    actions: results.map(({ step, outcome }) => ({
      ...stepData(step),
      result: outcome.result,
      detail: "detail" in outcome ? outcome.detail : "",
    })),
    planned: plan.steps.length,
    notes: plan.notes,
    conclusions,
    complaints,
    autoFailoverNotRestored: notRestored ?? null,
    error: error === undefined ? null : messageOf(error),
  };
}

/**
 * How an operation ended, for a person.
 *
 * @param goOn The command that goes on with what is left.
 * @returns Lines without line ends. Names from the cluster are made safe for a terminal.
 */
export function operationText(report: OperationReport, goOn: string): string[] {
  const { plan, results, complaints, conclusions, error } = report;
  const rows = results.map(({ step, outcome }) => [
    stepText(step),
    outcome.result,
    "detail" in outcome ? outcome.detail : "",
  ]);
  const columns = [{ title: "action" }, { title: "result" }, { title: "detail" }];
  const isGoodEnd = isWell(report);
  return [
    ...(rows.length === 0 ? [] : [table(columns, rows).trimEnd()]),
    ...plan.notes.map((note) => `note: ${safe(note)}`),
    ...conclusions.map(safe),
    ...complaints.map((line) => `not well: ${safe(line)}`),
    ...(error === undefined ? [] : [`ended early: ${safe(messageOf(error))}`]),
    ...(isGoodEnd || rows.length === 0 ? [] : [`to go on: ${safe(goOn)}`]),
    plan.steps.length === 0
      ? "nothing to do"
      : `${doneOf(report)} done${isGoodEnd ? "" : "; NOT all is well"}`,
  ];
}

/** What an operation that was stopped in the middle has come to, and what to type. */
export function stoppedText(report: OperationReport, inspect: string, goOn: string): string {
  return safe(`${doneOf(report)} done; to see what is left: ${inspect}; to go on: ${goOn}`);
}

function doneOf({ plan, results }: OperationReport): string {
  return `${doneCount(results)} of ${counted(plan.steps.length, "action")}`;
}

/**
 * What a person is asked before an operation changes anything.
 *
 * @param cluster Such as `prod at /openmldb`.
 * @returns Lines without line ends, the last one the question. Names are made safe.
 */
export function operationQuestion(plan: OperationReport["plan"], cluster: string): string[] {
  return [
    `On the cluster ${safe(cluster)}:`,
    ...plan.steps.map((step) => `  ${safe(stepText(step))}  (${safe(step.why)})`),
    ...plan.notes.map((note) => `note: ${safe(note)}`),
    "Go on? [y/N] ",
  ];
}
