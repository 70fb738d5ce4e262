import type { EventRecord } from "../journal/record.js";
import type { ActionVerb } from "../model/action.js";
import type { StepKind } from "../model/plan.js";

/** What a mark of the timeline shows: the colours of its legend, in this order. */
export const MARK_KINDS = [
  "load",
  "replication",
  "leader",
  "mark",
  "op",
  "note",
  "warning",
] as const;

/** One of {@link MARK_KINDS}. */
export type MarkKind = (typeof MARK_KINDS)[number];

/** One step, note or change on the timeline. */
export interface Mark {
  /** Endpoint of the tablet, or {@link NAMESERVER_LANE}. */
  readonly lane: string;
  readonly kind: MarkKind;
  /** Milliseconds since the run began. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly isFailed: boolean;
  /** The step with its partition and result, or the text of the note. */
  readonly text: string;
}

/** What happened when, on which tablet. */
export interface Timeline {
  /** Milliseconds that it spans; 0 if nothing happened. */
  readonly spanMs: number;
  /** In the order in which they began. */
  readonly marks: readonly Mark[];
}

/** The lane of what is done at, or said of, the nameserver and the cluster as a whole. */
export const NAMESERVER_LANE = "nameserver";

const KIND_OF: Readonly<Record<StepKind | ActionVerb, MarkKind>> = {
  "load-follower": "load",
  "load-leader": "load",
  "load-table": "load",
  "wait-load": "load",
  feed: "replication",
  "wait-sync": "replication",
  promote: "leader",
  demote: "leader",
  "change-role": "leader",
  "change-leader": "leader",
  "mark-alive": "mark",
  "mark-dead": "mark",
  "set-flags": "mark",
  "recover-snapshot": "op",
  "wait-ops": "op",
  "recover-table": "op",
  "recover-endpoint": "op",
  "offline-endpoint": "op",
  "add-replica": "op",
  "del-replica": "op",
  migrate: "op",
  "cancel-op": "op",
  "delete-op": "op",
};

/** An event of a run with its time, in milliseconds since the epoch. */
export interface TimedEvent {
  readonly atMs: number;
  readonly event: EventRecord;
}

/**
 * Lays the events of a run on lanes.
 *
 * @param events In the order in which they happened.
 * @param beganMs When the run began, in milliseconds since the epoch.
 */
export function timelineOf(events: readonly TimedEvent[], beganMs: number): Timeline {
  const marks = events.flatMap(({ atMs, event }) => markOf(event, Math.max(0, atMs - beganMs)));
  marks.sort((a, b) => a.fromMs - b.fromMs);
  return { spanMs: marks.reduce((last, one) => Math.max(last, one.toMs), 0), marks };
}

function markOf(event: EventRecord, atMs: number): Mark[] {
  if (event.kind === "note" || event.kind === "warning") {
    const { kind, text } = event;
    return [{ lane: NAMESERVER_LANE, kind, fromMs: atMs, toMs: atMs, isFailed: false, text }];
  }
  if (event.kind !== "step-ended") return [];
  const { step, endpoint = "", partition, result, detail, tookMs } = event;
  const more = detail === "" ? "" : `: ${detail}`;
  return [
    {
      lane: endpoint === "" ? NAMESERVER_LANE : endpoint,
      kind: kindOf(step),
      fromMs: Math.max(0, atMs - tookMs),
      toMs: atMs,
      isFailed: result === "failed",
      text: `${partition} ${step} ${result}${more}`.trimStart(),
    },
  ];
}

/** The kind of a step; what this version of the tool does not know counts as op. */
function kindOf(step: string): MarkKind {
  return (KIND_OF as Readonly<Record<string, MarkKind>>)[step] ?? "op";
}
