import { actionText } from "../model/action.js";
import type { OnEvent, RunEvent } from "../model/outcome.js";
import { partitionName } from "../model/partition-view.js";
import { safe } from "../text.js";
import { isAsking } from "./ask.js";
import type { CommandIo } from "./command.js";

/** A run never says nothing for longer than this. */
const SILENCE_MAX_MS = 10_000;

/**
 * Tells a run's events on stderr, one line each, and a sign of life when nothing happens. While
 * somebody is asked nothing is written; what happened meanwhile is told after the answer.
 */
export interface Progress {
  readonly onEvent: OnEvent;
  /** Ends the signs of life. */
  stop(): void;
}

/** Starts telling. */
export function startProgress(io: CommandIo): Progress {
  let running = 0;
  let ended = 0;
  let saidAt = performance.now();
  let held: Line[] = [];
  const say = (line: Line) => {
    saidAt = performance.now();
    if (isAsking(io)) held.push(line);
    else for (const one of [...held.splice(0), line]) io.log[one.level](one.text);
  };
  const timer = setInterval(() => {
    if (isAsking(io)) saidAt = performance.now();
    if (performance.now() - saidAt < SILENCE_MAX_MS - 1_000) return;
    const text = `still working: ${running} steps under way, ${ended} partitions through`;
    say({ level: "info", text });
  }, 1_000);
  return {
    onEvent(event) {
      if (event.kind === "step-started") running += 1;
      if (event.kind === "step-ended") running -= 1;
      if (event.kind === "lane-ended") ended += 1;
      const line = eventLine(event);
      if (line !== undefined) say(line);
    },
    stop() {
      clearInterval(timer);
      for (const one of held) io.log[one.level](one.text);
      held = [];
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
      return { level: "debug", text: `${subject(event)}: begins` };
    case "step-ended": {
      const detail =
        "detail" in event.outcome && event.outcome.detail !== "" ? `: ${event.outcome.detail}` : "";
      const text = `${subject(event)}: ${event.outcome.result}${safe(detail)} (${event.tookMs} ms)`;
      return { level: event.outcome.result === "failed" ? "warn" : "info", text };
    }
    case "action-started":
      return { level: "info", text: `${safe(actionText(event.action))}: begins` };
    case "action-ended": {
      const { outcome } = event;
      const detail =
        "detail" in outcome && outcome.detail !== "" ? `: ${safe(outcome.detail)}` : "";
      const text = `${safe(actionText(event.action))}: ${outcome.result}${detail} (${event.tookMs} ms)`;
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

function subject(event: Extract<RunEvent, { kind: "step-started" | "step-ended" }>): string {
  return `${safe(partitionName(event.id))}: ${event.step.kind} ${safe(event.step.endpoint ?? "")}`.trimEnd();
}
