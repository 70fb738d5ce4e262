import { detailOf, type RunEvent } from "../model/outcome.js";
import { partitionName } from "../model/partition-view.js";
import { type Step, verbOf } from "../model/step.js";
import type { EventRecord, StepRecord } from "./record.js";

/** Converts an event of a run to a journal record; undefined for progress events, which are not kept. */
export function eventRecord(event: RunEvent, time: string): EventRecord | undefined {
  switch (event.kind) {
    case "note":
      return { kind: event.kind, time, text: event.text, nameserver: event.nameserver };
    case "warning":
      return { kind: event.kind, time, text: event.text };
    case "observed": {
      const { kind, when, nameserver, tablets } = event;
      return { kind, time, when, nameserver, tablets };
    }
    case "lane": {
      const { id, leader, steps, blocked, notes, givesUp } = event.lane;
      return {
        kind: "plan",
        time,
        partition: partitionName(id),
        round: event.round,
        leader,
        steps: steps.map(stepRecord),
        blocked: blocked?.text,
        notes: notes.length > 0 ? notes : undefined,
        givesUp: givesUp ? true : undefined,
      };
    }
    case "step-started":
      return { kind: "step-started", time, ...ofPartition(event.step) };
    case "step-ended":
      return {
        kind: "step-ended",
        time,
        ...ofPartition(event.step),
        result: event.outcome.result,
        detail: detailOf(event.outcome),
        tookMs: event.tookMs,
      };
    case "partition-note":
      return {
        kind: "note",
        time,
        text: `${partitionName(event.id)}: ${event.notes.join("; ")}`,
      };
    case "lane-ended":
      return {
        kind: "partition-ended",
        time,
        partition: partitionName(event.id),
        failure: event.failure && `${event.failure.step}: ${event.failure.detail}`,
      };
    default:
      return undefined;
  }
}

/** @returns `partition` is empty for a step that acts on no single partition. */
function ofPartition(step: Step): StepRecord & { readonly partition: string } {
  const { id } = step;
  return { partition: id === undefined ? "" : partitionName(id), ...stepRecord(step) };
}

function stepRecord(step: Step): StepRecord {
  return { step: verbOf(step), endpoint: step.endpoint, why: step.why };
}
