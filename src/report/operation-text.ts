import { messageOf } from "../errors.js";
import { counted, tally } from "../model/counted.js";
import { detailOf, isSuccess } from "../model/outcome.js";
import type { OperationReport } from "../model/report.js";
import { detailsOf, type Step, stepText, verbOf } from "../model/step.js";
import { tableOrLines } from "../util/table.js";
import { safe } from "../util/text.js";
import { doneCount, isWell } from "./operation-rows.js";

const SCHEMA_VERSION = 1;

/** Number of actions or notes of a longer list that are shown, so that everything fits a screen. */
const SHOWN_MAX = 4;
/** Up to this many actions are shown one by one, if they fit the terminal. */
const ROWS_MAX = 16;

/** A step as JSON shows it: numbers as decimal digits. */
export function stepData(step: Step): Record<string, unknown> {
  const to = step.kind === "migrate" ? step.to : undefined;
  const { id, endpoint, why } = step;
  return { verb: verbOf(step), ...(id ?? {}), endpoint, to, ...detailsOf(step), why };
}

/** The end of an operation, as JSON. */
export function operationJson(report: OperationReport, command: string, exitCode: number): unknown {
  const { plan, results, complaints, conclusions, notRestored, error } = report;
  return {
    schemaVersion: SCHEMA_VERSION,
    command,
    exitCode,
    actions: results.map(({ step, outcome }) => ({
      ...stepData(step),
      result: outcome.result,
      detail: detailOf(outcome),
    })),
    planned: plan.steps.length,
    notes: plan.notes,
    conclusions,
    complaints,
    autoFailoverNotRestored: notRestored ?? null,
    error: error === undefined ? null : messageOf(error),
  };
}

/** How the end of an operation is shown. */
export interface OperationTextOptions {
  /** The command that continues the operation. */
  readonly goOn: string;
  /** True if each action is shown, whatever their number. */
  readonly isVerbose: boolean;
  /** True if the notes of the plan were shown with the question. */
  readonly areNotesKnown: boolean;
  /** Width of the terminal; infinite without a terminal. */
  readonly columns: number;
}

/**
 * The end of an operation, in words: each action, or, if there are many, those that did not succeed.
 *
 * @returns Lines without line ends. Names from the cluster are made safe for a terminal.
 */
export function operationText(report: OperationReport, options: OperationTextOptions): string[] {
  const { plan, results, complaints, conclusions, error } = report;
  const { goOn, isVerbose, areNotesKnown } = options;
  const isGoodEnd = isWell(report);
  const notes = areNotesKnown ? [] : plan.notes;
  return [
    ...resultLines(results, options),
    ...firstOf(notes, isVerbose, "note").map((note) => `note: ${safe(note)}`),
    ...conclusions.map(safe),
    ...complaints.map((line) => `fault: ${safe(line)}`),
    ...(error === undefined ? [] : [`ended early: ${safe(messageOf(error))}`]),
    ...(isGoodEnd || results.length === 0 ? [] : [`to continue: ${safe(goOn)}`]),
    plan.steps.length === 0
      ? "nothing to do"
      : `${doneOf(report)} done${isGoodEnd ? "" : "; faults REMAIN"}`,
  ];
}

function resultLines(
  results: OperationReport["results"],
  { isVerbose, columns: screen }: OperationTextOptions,
): string[] {
  if (results.length === 0) return [];
  const linesOf = (shown: OperationReport["results"]) =>
    shown.length === 0
      ? []
      : tableOrLines(
          [{ title: "action" }, { title: "result" }, { title: "detail" }],
          shown.map(({ step, outcome }) => [stepText(step), outcome.result, detailOf(outcome)]),
          screen,
        );
  if (isVerbose || results.length <= ROWS_MAX) {
    const lines = linesOf(results);
    const rows = lines.reduce((sum, line) => sum + Math.ceil(line.length / screen), 0);
    if (isVerbose || rows <= ROWS_MAX || screen === Number.POSITIVE_INFINITY) return lines;
  }
  const done = results.filter(({ outcome }) => isSuccess(outcome.result));
  const bad = results.filter(({ outcome }) => !isSuccess(outcome.result));
  return [
    ...(done.length === 0 ? [] : [`done: ${tally(done.map(({ step }) => verbOf(step)))}`]),
    ...firstOf(linesOf(bad), false, "line"),
    "each action: --verbose; for programs: --output=json",
  ];
}

/** All lines, or the first ones and how many more there are. */
function firstOf(lines: readonly string[], isVerbose: boolean, noun: string): string[] {
  if (isVerbose || lines.length <= SHOWN_MAX) return [...lines];
  return [...lines.slice(0, SHOWN_MAX), `and ${counted(lines.length - SHOWN_MAX, `more ${noun}`)}`];
}

/** What a stopped operation has done, and what is left; undefined if its plan is empty. */
export function doneText(report: OperationReport): string | undefined {
  const planned = report.plan.steps.length;
  if (planned === 0) return undefined;
  return `${doneOf(report)} done, ${planned - doneCount(report.results)} left`;
}

function doneOf({ plan, results }: OperationReport): string {
  return `${doneCount(results)} of ${counted(plan.steps.length, "action")}`;
}

/**
 * The question before an operation changes anything.
 *
 * @param cluster Such as `prod at /openmldb`.
 * @returns Lines without line ends, the last one the question. Names are made safe.
 */
export function operationQuestion(plan: OperationReport["plan"], cluster: string): string[] {
  const shown = plan.steps.length <= 2 * SHOWN_MAX ? plan.steps : plan.steps.slice(0, SHOWN_MAX);
  return [
    `On the cluster ${safe(cluster)}:`,
    ...shown.map((step) => `  ${safe(stepText(step))}  (${safe(step.why)})`),
    ...(shown.length === plan.steps.length
      ? []
      : [`  all ${plan.steps.length}: ${tally(plan.steps.map(verbOf))}; each of them: --dry_run`]),
    ...firstOf(plan.notes, false, "note").map((note) => `note: ${safe(note)}`),
    "Continue? [y/N] ",
  ];
}
