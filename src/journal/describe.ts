import { commandText } from "../cli/printed-command.js";
import { durationText } from "../model/duration.js";
import { isSuccess } from "../model/outcome.js";
import { type Cell, type Column, fittedTable, type TableScreen, table } from "../util/table.js";
import { jsonText, safe } from "../util/text.js";
import {
  type CallWithOutcome,
  callsOf,
  countCalls,
  isRunning,
  isSameRun,
  type ReadRun,
} from "./read-runs.js";
import type { CallCounts, EndRecord, EventOf, RunRecord } from "./record.js";
import { targetText } from "./resume.js";
import type { RunSummary } from "./zk-history.js";

/** A run in the list of runs. */
export interface RunLine {
  readonly id: string;
  /** Undefined if the first line of its journal is damaged. */
  readonly run: RunRecord | undefined;
  readonly end: EndRecord | undefined;
  /** Undefined if the journal is not on this machine, or too large to be read as a whole. */
  readonly counts: CallCounts | undefined;
  /** `journal`: the journal is on this machine. `zookeeper`: only ZooKeeper has a summary. */
  readonly source: "journal" | "zookeeper";
  readonly notes: readonly string[];
}

/**
 * The line of a run with a journal on this machine.
 *
 * @param short Its summary in ZooKeeper, which can complete a journal without an end (the disk was full, or the
 *   machine failed).
 */
export function runLine(read: ReadRun, short: RunSummary | undefined): RunLine {
  const { id, isPart } = read;
  const isKnown = short !== undefined && (read.run === undefined || isSameRun(read.run, short.run));
  const known = isKnown ? short : undefined;
  const isCompleted = read.end === undefined && known?.end !== undefined;
  return {
    id,
    run: read.run ?? known?.run,
    end: read.end ?? known?.end,
    counts: isPart ? undefined : countCalls(callsOf(read)),
    source: "journal",
    notes: [
      ...read.notes,
      ...(isCompleted ? ["its journal has no end; its result is from ZooKeeper"] : []),
    ],
  };
}

/** The line of a run that is known from ZooKeeper only. */
export function summaryLine({ run, end }: RunSummary): RunLine {
  return { id: run.id, run, end, counts: undefined, source: "zookeeper", notes: [] };
}

/**
 * The status of a run: its result, `running`, `unfinished`, or `unknown` if it ran on another machine or its
 * journal cannot be read.
 */
export function statusOf({ run, end, source }: Pick<RunLine, "run" | "end" | "source">): string {
  if (end !== undefined) return end.result;
  if (run !== undefined && isRunning(run, end)) return "running";
  return run !== undefined && source === "journal" ? "unfinished" : "unknown";
}

/** Milliseconds from begin to end; undefined if one of them is not known. */
export function durationOf({ run, end }: Pick<RunLine, "run" | "end">): number | undefined {
  if (run === undefined || end === undefined) return undefined;
  return Math.max(0, Date.parse(end.time) - Date.parse(run.time));
}

const LIST: readonly Column[] = [
  { title: "id" },
  { title: "time", isExtra: true },
  { title: "command" },
  { title: "result" },
  { title: "duration", align: "right" },
  { title: "changes", align: "right" },
  { title: "cluster", isExtra: true },
  { title: "known from", isExtra: true },
];

/** The table of runs, fitted to the screen, followed by notes on damaged journals. */
export function* listText(lines: readonly RunLine[], screen: TableScreen): Generator<string> {
  if (lines.length === 0) {
    yield "no runs yet\n";
    return;
  }
  const rows = lines.map((line): Cell[] => [
    line.id,
    line.run?.time ?? "-",
    line.run?.command ?? "-",
    statusCell(line),
    tookText(durationOf(line)),
    String(line.end?.counts.done ?? line.counts?.done ?? "-"),
    line.run === undefined ? "-" : clusterText(line.run),
    sourceText(line),
  ]);
  yield* fittedTable(LIST, rows, screen);
  for (const line of lines) for (const note of line.notes) yield `${line.id}: ${safe(note)}\n`;
}

function sourceText({ source, run }: RunLine): string {
  return source === "journal" ? "journal" : `ZooKeeper only (${run?.host ?? "?"})`;
}

function statusCell(line: Pick<RunLine, "run" | "end" | "source">): Cell {
  const text = statusOf(line);
  if (text === "ok") return { text, color: "good" };
  return { text, color: text === "running" ? "faint" : "doubtful" };
}

function tookText(ms: number | undefined): string {
  return ms === undefined ? "-" : durationText(ms);
}

/** A cluster as one text: ZooKeeper servers and root path. */
export function clusterText({ cluster }: RunRecord): string {
  return `${cluster.zkCluster.join(",")}${cluster.zkRootPath}`;
}

/** The details of one run as text. */
export function runText(line: RunLine, read: ReadRun | undefined, hasColor: boolean): string {
  const head = table([{ title: "run" }, { title: line.id }], headRows(line, read), hasColor);
  const notes = line.notes.map((note) => `note: ${safe(note)}\n`).join("");
  if (read === undefined)
    return `${head}${notes}Only ZooKeeper has a record of this run: its journal is on another machine.\n`;
  const flags = Object.entries(line.run?.flags ?? {}).map(([name, value]) => [
    name,
    typeof value === "string" ? value : jsonText(value),
  ]);
  const sections: [string, string][] = [
    ["Flags", rowsOf(["flag", "value"], flags)],
    ["Plan", planTable(read)],
    ["Steps", stepTable(read, hasColor)],
    ["Calls that change the cluster", callTable(callsOf(read), hasColor)],
    ["Notes", noteLines(read)],
  ];
  const shown = sections.filter(([, text]) => text !== "");
  return head + notes + shown.map(([title, text]) => `\n${title}\n${text}`).join("");
}

function headRows(line: RunLine, read: ReadRun | undefined): Cell[][] {
  const { run, end, counts } = line;
  const done = end?.counts ?? counts;
  const unknown = done === undefined ? 0 : done.intents - done.done - done.failed;
  const rows: Cell[][] = [["result", statusCell(line)]];
  if (end !== undefined) rows.push(["exit code", String(end.exitCode)]);
  if (end?.detail !== undefined) rows.push(["detail", end.detail]);
  if (run !== undefined) {
    rows.push(
      ["began", run.time],
      ["took", tookText(durationOf(line))],
      ["by", `${run.user} on ${run.host} (pid ${run.pid}), openmldb-ops ${run.version}`],
      ["command", commandText(run.commandLine)],
      ["cluster", clusterText(run)],
    );
    if (run.resumes !== undefined) rows.push(["continues", run.resumes]);
  }
  if (done !== undefined) {
    rows.push(["changes", `${done.done} done, ${done.failed} failed, ${unknown} not known`]);
  }
  if (read !== undefined) rows.push(["journal", read.path]);
  return rows;
}

/** The plan records, in the order in which the plans were made. */
export function plansOf({ records }: ReadRun): EventOf<"plan">[] {
  return records.filter((one) => one.kind === "plan");
}

/** The steps that have ended, followed by those that began but did not end. */
export function stepsOf({ records }: ReadRun): (EventOf<"step-ended"> | EventOf<"step-started">)[] {
  const ended = records.filter((one) => one.kind === "step-ended");
  const keyOf = (one: { partition: string; step: string; endpoint?: string | undefined }) =>
    JSON.stringify([one.partition, one.step, one.endpoint]);
  const open = new Map<string, EventOf<"step-started">[]>();
  for (const one of records) {
    if (one.kind === "step-started") {
      open.set(keyOf(one), [...(open.get(keyOf(one)) ?? []), one]);
    } else if (one.kind === "step-ended") {
      open.get(keyOf(one))?.pop();
    }
  }
  return [...ended, ...[...open.values()].flat()];
}

function planTable(read: ReadRun): string {
  const rows = plansOf(read).map(({ partition, round, leader, steps, blocked }) => [
    partition,
    String(round),
    leader ?? "-",
    blocked === undefined
      ? steps.map((one) => `${one.step} ${one.endpoint ?? ""}`.trim()).join(", ") || "nothing to do"
      : `left alone: ${blocked}`,
  ]);
  return rowsOf(["partition", "round", "leader", "steps"], rows);
}

function stepTable(read: ReadRun, hasColor: boolean): string {
  const rows = stepsOf(read).map((one): Cell[] => [
    one.time,
    one.partition,
    one.step,
    one.endpoint ?? "-",
    ...(one.kind === "step-ended"
      ? [resultCell(one.result), tookText(one.tookMs), one.detail ?? ""]
      : [resultCell("not ended"), "-", ""]),
  ]);
  const columns = ["time", "partition", "step", "endpoint", "result", "took", "detail"];
  return rowsOf(columns, rows, hasColor);
}

function callTable(calls: readonly CallWithOutcome[], hasColor: boolean): string {
  const rows = calls.map(({ intent, outcome }): Cell[] => [
    intent.time,
    intent.method,
    targetText(intent.target) ||
      intent.args.map((arg) => (typeof arg === "string" ? arg : jsonText(arg))).join(" "),
    outcome === undefined
      ? resultCell("not known")
      : outcome.isOk
        ? resultCell("done")
        : { text: `failed: ${outcome.error ?? ""}`, color: "bad" },
  ]);
  return rowsOf(["time", "call", "target", "outcome"], rows, hasColor);
}

function resultCell(text: string): Cell {
  return { text, color: isSuccess(text) ? "good" : text === "failed" ? "bad" : "doubtful" };
}

/** A table with these titles; an empty text if there are no rows. */
function rowsOf(titles: readonly string[], rows: readonly Cell[][], hasColor = false): string {
  if (rows.length === 0) return "";
  const columns = titles.map((title) => ({ title }));
  return table(columns, rows, hasColor);
}

function noteLines({ records }: ReadRun): string {
  return records
    .map((one) =>
      one.kind === "note" || one.kind === "warning" ? `${one.time} ${safe(one.text)}\n` : "",
    )
    .join("");
}
