import { realClock } from "../cluster/real-clock.js";
import { eventRecord } from "../journal/event-record.js";
import type { OnEvent, RunEvent } from "../model/outcome.js";
import { partitionName } from "../model/partition-view.js";
import { stepText } from "../model/step.js";
import { safe } from "../util/text.js";
import { isAsking } from "./ask.js";
import type { CommandIo } from "./command.js";

/** A run never says nothing for longer than this. */
const SILENCE_MAX_MS = 10_000;
/** How often a run that is counted tells how far it is on a terminal. */
const COUNT_MS = 2_000;
/** With more partitions to work on, the screen counts them, and only the log file has every step. */
const TOLD_PARTITIONS_MAX = 100;
/** So many lines of what did not work are on the screen even then. */
const TOLD_WARNINGS_MAX = 50;

/**
 * Tells a run's events on stderr, one line each, and a sign of life when nothing happens; where there
 * are many partitions, it tells how many are through instead. While a question is asked nothing is
 * written; what happened meanwhile is told after the answer.
 */
export interface Progress {
  readonly onEvent: OnEvent;
  /** Ends the signs of life. */
  stop(): void;
}

/** Starts telling. */
export function startProgress(io: CommandIo): Progress {
  const count = createCount();
  let saidAt = performance.now();
  let held: Line[] = [];
  const say = (line: Line) => {
    saidAt = performance.now();
    if (isAsking(io)) held.push(line);
    else for (const one of [...held.splice(0), line]) io.log[one.level](one.text);
  };
  const timer = setInterval(() => {
    if (isAsking(io)) saidAt = performance.now();
    const isWatched = count.isLarge() && io.isInteractiveStderr;
    // The timer comes once a second, so the next chance may be a second late.
    const pauseMs = isWatched ? COUNT_MS : SILENCE_MAX_MS - 1_000;
    if (performance.now() - saidAt < pauseMs) return;
    say({ level: "info", text: count.text() });
  }, 1_000);
  return {
    onEvent(event) {
      count.add(event);
      io.stdout.event?.(eventRecord(event, new Date(realClock.wallTime()).toISOString()));
      const line = eventLine(event);
      if (line === undefined) return;
      if (count.isTold(event, line)) say(line);
      else io.log.record(line.level, line.text);
    },
    stop() {
      clearInterval(timer);
      for (const one of held) io.log[one.level](one.text);
      held = [];
    },
  };
}

/** How far a run is. */
interface Count {
  add(event: RunEvent): void;
  /** Whether there are too many partitions to tell every step. */
  isLarge(): boolean;
  /** Whether an event is worth its line on the screen. */
  isTold(event: RunEvent, line: Line): boolean;
  text(): string;
}

function createCount(): Count {
  let partitions = 0;
  let running = 0;
  let through = 0;
  let failed = 0;
  let warnings = 0;
  const isLarge = () => partitions > TOLD_PARTITIONS_MAX;
  return {
    add(event) {
      if (event.kind === "note" && event.partitions !== undefined) {
        [partitions, through, failed] = [event.partitions, 0, 0];
      }
      if (event.kind === "step-started") running += 1;
      if (event.kind === "step-ended") running -= 1;
      if (event.kind === "lane-ended") through += 1;
      if (event.kind === "lane-ended" && event.failure !== undefined) failed += 1;
    },
    isLarge,
    isTold(event, { level }) {
      const isOfPartition = ["lane", "step-ended", "partition-note"].includes(event.kind);
      if (!isOfPartition || !isLarge() || level === "debug") return true;
      if (level !== "info") warnings += 1;
      return level !== "info" && warnings <= TOLD_WARNINGS_MAX;
    },
    text() {
      const of = partitions > 0 ? ` of ${partitions}` : "";
      const not = failed > 0 ? `, ${failed} of them not recovered` : "";
      return `still working: ${running} steps under way, ${through}${of} partitions through${not}`;
    },
  };
}

/** A line of the log. */
interface Line {
  readonly level: "info" | "warn" | "debug";
  readonly text: string;
}

/** An event as a line of the log; undefined if it is not worth one. */
export function eventLine(event: RunEvent): Line | undefined {
  switch (event.kind) {
    case "note":
      return { level: "info", text: safe(event.text) };
    case "warning":
      return { level: "warn", text: safe(event.text) };
    case "observed":
      return undefined;
    case "lane": {
      const { id, steps, blocked } = event.lane;
      if (blocked !== undefined) {
        return {
          level: "warn",
          text: `${safe(partitionName(id))}: left alone: ${safe(blocked.text)}`,
        };
      }
      const plan = steps.map((one) => `${one.kind} ${one.endpoint ?? ""}`.trim()).join(", ");
      return {
        level: "debug",
        text: `${safe(partitionName(id))}: round ${event.round}: ${safe(plan || "nothing to do")}`,
      };
    }
    case "step-started":
      return {
        level: event.mode === "round" ? "debug" : "info",
        text: `${subject(event)}: begins`,
      };
    case "step-ended": {
      const { outcome } = event;
      const detail =
        "detail" in outcome && outcome.detail !== "" ? `: ${safe(outcome.detail)}` : "";
      const text = `${subject(event)}: ${outcome.result}${detail} (${event.tookMs} ms)`;
      return { level: outcome.result === "failed" ? "warn" : "info", text };
    }
    case "partition-note":
      return {
        level: "info",
        text: `${safe(partitionName(event.id))}: ${safe(event.notes.join("; "))}`,
      };
    case "lane-ended":
      return { level: "debug", text: `${safe(partitionName(event.id))}: through` };
  }
}

/** What a step is about; a step of a planned list has all that it needs on its line. */
function subject({
  step,
  mode,
}: Extract<RunEvent, { kind: "step-started" | "step-ended" }>): string {
  if (mode === "list" || step.id === undefined) return safe(stepText(step));
  return `${safe(partitionName(step.id))}: ${step.kind} ${safe(step.endpoint ?? "")}`.trimEnd();
}
