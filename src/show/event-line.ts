import { detailOf, type RunEvent } from "../model/outcome.js";
import { partitionName } from "../model/partition-view.js";
import { type Step, stepText } from "../model/step.js";
import { safe } from "../util/text.js";

/** A line of the log. */
export interface Line {
  readonly level: "info" | "warn" | "debug";
  readonly text: string;
}

/** An event as a line of the log, made safe; undefined if it is not logged. */
export function eventLine(event: RunEvent): Line | undefined {
  switch (event.kind) {
    case "note":
      return { level: "info", text: safe(event.text) };
    case "warning":
      return { level: "warn", text: safe(event.text) };
    case "lane": {
      const { id, steps, blocked } = event.lane;
      const name = safe(partitionName(id));
      if (blocked !== undefined) {
        return { level: "warn", text: `${name}: left alone: ${safe(blocked.text)}` };
      }
      const plan = steps.map((one) => `${one.kind} ${one.endpoint ?? ""}`.trim()).join(", ");
      return {
        level: "debug",
        text: `${name}: round ${event.round}: ${safe(plan || "nothing to do")}`,
      };
    }
    case "step-started":
      return {
        level: event.mode === "round" ? "debug" : "info",
        text: `${stepName(event)}: begins`,
      };
    case "step-ended": {
      const { outcome } = event;
      const detail = detailOf(outcome);
      const text = `${stepName(event)}: ${outcome.result}${detail && `: ${safe(detail)}`} (${event.tookMs} ms)`;
      return { level: outcome.result === "failed" ? "warn" : "info", text };
    }
    case "partition-note":
      return {
        level: "info",
        text: `${safe(partitionName(event.id))}: ${safe(event.notes.join("; "))}`,
      };
    case "lane-ended":
      return { level: "debug", text: `${safe(partitionName(event.id))}: finished` };
    default:
      return undefined;
  }
}

/** The name of a step, made safe; a step of a planned list is shown with all its details. */
export function stepName({
  step,
  mode,
}: {
  readonly step: Step;
  readonly mode: "round" | "list";
}): string {
  if (mode === "list" || step.id === undefined) return safe(stepText(step));
  return `${safe(partitionName(step.id))}: ${step.kind} ${safe(step.endpoint ?? "")}`.trimEnd();
}
