import { changesIn } from "../report/activity.js";
import type { ReportParts } from "../report/build.js";
import type { Verdict } from "../report/document.js";
import type { TimedEvent } from "../report/timeline.js";
import { type RunLine, statusOf } from "./describe.js";
import { callsOf, countCalls, type ReadRun } from "./read-runs.js";

/** The parts of a report that come from a journal. */
export interface JournalRows extends Pick<ReportParts, "verdict" | "events" | "beganMs"> {
  readonly endedMs: number | null;
  /** The number of changing steps, counted as a run counts them; null without a journal. */
  readonly changes: number | null;
}

/** Converts a past run to rows of a report. */
export function journalRows(line: RunLine, read: ReadRun | undefined): JournalRows {
  const { run, end } = line;
  const events = eventsOf(read);
  const changes = changesIn(events);
  const endedMs = end === undefined ? null : Date.parse(end.time);
  return {
    verdict: {
      result: resultOf(end?.exitCode),
      word: statusOf(line),
      exitCode: end?.exitCode ?? null,
      headline: headlineOf(line, read, changes),
      detail: [...(end?.detail === undefined ? [] : [end.detail]), ...line.notes].join("; "),
    },
    events,
    beganMs: run === undefined ? (events[0]?.atMs ?? 0) : Date.parse(run.time),
    endedMs,
    changes: read === undefined ? null : changes,
  };
}

function resultOf(exitCode: number | undefined): Verdict["result"] {
  if (exitCode === 0) return "ok";
  return exitCode === 3 ? "left" : "failed";
}

function headlineOf(line: RunLine, read: ReadRun | undefined, changes: number): string {
  const status = statusOf(line);
  if (line.end === undefined) {
    const open = read === undefined ? 0 : unknownCalls(read);
    const more = open === 0 ? "" : `; of ${open} changes it is not known whether they took effect`;
    return status === "running"
      ? "this run is still in progress"
      : `this run did not finish${more}`;
  }
  const { done, failed } = line.end.counts;
  const also = failed === 0 ? "" : `, ${failed} calls failed`;
  const made = read === undefined ? `${done} calls changed the cluster` : `${changes} changes made`;
  return `ended ${status === "ok" ? "well" : `as ${status}`}: ${made}${also}`;
}

function unknownCalls(read: ReadRun): number {
  const { intents, done, failed } = countCalls(callsOf(read));
  return intents - done - failed;
}

function eventsOf(read: ReadRun | undefined): TimedEvent[] {
  return (read?.records ?? []).flatMap((record) => {
    const isEvent =
      record.kind !== "run" &&
      record.kind !== "intent" &&
      record.kind !== "outcome" &&
      record.kind !== "end";
    return isEvent ? [{ atMs: Date.parse(record.time), event: record }] : [];
  });
}
