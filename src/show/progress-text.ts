import { counted, numberText, suchAs } from "../model/counted.js";
import { durationText } from "../model/duration.js";
import type { Phase, RowsProgress } from "../model/progress.js";
import { safe } from "../util/text.js";
import { firstRow } from "../util/wrap.js";
import { timeLeftText } from "./pace.js";
import type { ProgressOfWork, ProgressView, StepUnderWay } from "./run-progress.js";

/** The size of the terminal. */
export interface ProgressScreen {
  readonly columns: number;
  readonly rows: number;
}

/** Width of the bar, with its ends. */
const BAR = 22;
const COLUMNS_MAX = 100;
/** Number of ops and steps that are named. */
const NAMED_MAX = 3;

const PHASES: Readonly<Record<Phase, string>> = {
  connecting: "connecting",
  "waiting-for-tablets": "waiting for tablets",
  looking: "observing the cluster",
  planning: "planning",
  "waiting-for-ops": "waiting for ops",
  working: "working",
  verifying: "verifying",
  "comparing-rows": "comparing rows",
};

/** The phase of a run in words; while it works, the activity of most of its steps. */
function phaseText({ phase, loading, waitingToLoad, replicating, waitingForOps }: ProgressView) {
  if (phase !== "working") return PHASES[phase];
  const parts: [number, string][] = [
    [loading + waitingToLoad, "loading"],
    [replicating, "replicating"],
    [waitingForOps, PHASES["waiting-for-ops"]],
  ];
  const [most, text] = parts.reduce((a, b) => (b[0] > a[0] ? b : a));
  return most > 0 ? text : PHASES.working;
}

/**
 * The progress of a run, as a block of lines that each fit a row of the screen. On a low screen the
 * last ones are left out.
 *
 * @param command The name of the command.
 * @returns Lines without line ends and colours, made safe.
 */
export function progressLines(
  command: string,
  view: ProgressView,
  { columns, rows }: ProgressScreen,
): string[] {
  const { work, rows: compared, problem, slowest } = view;
  const lines = [
    `${command}: ${phaseText(view)} ${elapsedText(view)}`,
    view.detail,
    work && workLine(work),
    compared && rowsText(compared),
    timeLeftLine(view),
    stepsText(view),
    opsText(view),
    ...view.underWay.slice(0, NAMED_MAX).map(underWayText),
    slowest &&
      `slowest tablet: ${safe(slowest.endpoint)}, ${slowest.left} of ${counted(slowest.of, "replica")} left`,
    problem === undefined ? undefined : `last problem: ${problem}`,
  ].filter((line) => line !== undefined && line !== "");
  // Some terminals wrap a line of their exact width. Unlimited lines would take many rows of a terminal whose
  // width is reduced later.
  return lines
    .slice(0, Math.max(0, rows))
    .map((line) => firstRow(line ?? "", Math.max(1, Math.min(COLUMNS_MAX, columns - 1))));
}

/** The same in one line for a log. */
export function progressLine(view: ProgressView): string {
  const { work, rows: compared } = view;
  const [step] = view.underWay;
  return [
    `still ${phaseText(view)} ${elapsedText(view)}`,
    view.detail,
    work && doneText(work),
    compared && rowsText(compared),
    stepsText(view),
    opsText(view),
    step && underWayText(step),
    view.timeLeft && timeLeftText(view.timeLeft),
  ]
    .filter((part) => part !== undefined && part !== "")
    .join("; ");
}

function underWayText({ text, op }: StepUnderWay): string {
  return `in progress${op === undefined ? "" : ` (op ${op})`}: ${text}`;
}

function elapsedText({ elapsedMs }: ProgressView): string {
  return `(${durationText(Math.floor(elapsedMs / 1_000) * 1_000)})`;
}

function workLine(work: ProgressOfWork): string {
  return `${bar(work.of === 0 ? 1 : work.done / work.of)} ${doneText(work)}`;
}

function bar(share: number): string {
  const full = Math.floor(share * (BAR - 2));
  return `[${"#".repeat(full)}${".".repeat(BAR - 2 - full)}]`;
}

function doneText({ noun, of, done, left, part }: ProgressOfWork): string {
  const bad = left > 0 ? ` (${left} failed)` : "";
  const more = part && `, ${part.done} of ${counted(part.of, part.noun)}`;
  return `${done} of ${counted(of, noun)} done${bad}${more ?? ""}`;
}

/** The progress of a comparison of rows. */
export function rowsText({ compared, of, rows, expectedRows }: RowsProgress): string {
  const percent = expectedRows === 0 ? 100 : Math.floor((rows / expectedRows) * 100);
  const about = numberText(expectedRows);
  return `rows: ${numberText(rows)} of about ${about} read (${percent} %), ${compared} of ${counted(of, "partition")} compared`;
}

function timeLeftLine({ timeLeft }: ProgressView): string | undefined {
  return timeLeft && `${timeLeftText(timeLeft)} at the rate of this run`;
}

function stepsText({ loading, waitingToLoad, replicating, waitingForOps }: ProgressView): string {
  const parts: [number, string][] = [
    [loading, "loading"],
    [waitingToLoad, "waiting to load"],
    [replicating, "replicating"],
    [waitingForOps, "waiting for ops"],
  ];
  return parts
    .filter(([count]) => count > 0)
    .map(([count, text]) => `${count} ${text}`)
    .join(", ");
}

function opsText({ ops, queuedOps }: ProgressView): string | undefined {
  if (ops.length === 0 && queuedOps === 0) return undefined;
  const names = ops.map(({ id, type, task }) => `${id} ${task === "-" ? type : task}`);
  const which = names.length === 0 ? "" : `: ${safe(suchAs(names, NAMED_MAX))}`;
  return `ops: ${queuedOps} queued, ${names.length} running${which}`;
}
