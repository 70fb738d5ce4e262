import type { EventRecord } from "../journal/record.js";
import { durationText } from "../model/duration.js";

/** The kinds of marks, in the order of the legend. */
export const MARK_KINDS = [
  "load",
  "replication",
  "leader",
  "mark",
  "op",
  "nameserver",
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

/** The marks of a run, by time and tablet. */
export interface Timeline {
  /** Milliseconds that it spans; 0 if nothing happened. */
  readonly spanMs: number;
  /** Sorted by their start. */
  readonly marks: readonly Mark[];
}

/** The lane of the nameserver and of the cluster as a whole. */
export const NAMESERVER_LANE = "nameserver";

/** The kind of mark for each step name in journals, those of earlier versions included. */
const KIND_OF: ReadonlyMap<string, MarkKind> = new Map([
  ["load-follower", "load"],
  ["load-leader", "load"],
  ["load-table", "load"],
  ["wait-load", "load"],
  ["feed", "replication"],
  ["replicate", "replication"],
  ["wait-sync", "replication"],
  ["promote", "leader"],
  ["demote", "leader"],
  ["change-role", "leader"],
  ["change-leader", "leader"],
  ["mark-alive", "mark"],
  ["mark-dead", "mark"],
  ["set-flags", "mark"],
]);

/** An event of a run with its time, in milliseconds since the epoch. */
export interface TimedEvent {
  readonly atMs: number;
  readonly event: EventRecord;
}

/**
 * Arranges the events of a run in lanes.
 *
 * @param events In the order in which they happened.
 * @param beganMs When the run began, in milliseconds since the epoch.
 */
export function timelineOf(events: readonly TimedEvent[], beganMs: number): Timeline {
  const marks = events.flatMap(({ atMs, event }) => markOf(event, Math.max(0, atMs - beganMs)));
  marks.sort((a, b) => a.fromMs - b.fromMs);
  return { spanMs: marks.reduce((last, one) => Math.max(last, one.toMs), 0), marks };
}

/**
 * Which nameserver led, and when the leader changed; undefined if unknown.
 *
 * @param known The leader at the first and the last observation.
 */
export function leadersText(
  known: { readonly before: string | null; readonly after: string | null },
  { marks }: Timeline,
): string | undefined {
  const changes = marks.filter((mark) => mark.kind === "nameserver");
  if (changes.length > 0) {
    const texts = changes.map(({ fromMs, text }) => `after ${durationText(fromMs)} ${text}`);
    return texts.join("; ");
  }
  const { before, after } = known;
  if (before !== null && after !== null && before !== after) return `${before}, then ${after}`;
  return after ?? before ?? undefined;
}

function markOf(event: EventRecord, atMs: number): Mark[] {
  if (event.kind === "note" || event.kind === "warning") {
    const { text } = event;
    const kind = event.nameserver === undefined ? event.kind : "nameserver";
    return [{ lane: NAMESERVER_LANE, kind, fromMs: atMs, toMs: atMs, isFailed: false, text }];
  }
  if (event.kind !== "step-ended") return [];
  const { step, endpoint = "", partition, result, detail, tookMs } = event;
  const more = detail === "" ? "" : `: ${detail}`;
  return [
    {
      lane: endpoint === "" ? NAMESERVER_LANE : endpoint,
      // All other steps are ops of the nameserver.
      kind: KIND_OF.get(step) ?? "op",
      fromMs: Math.max(0, atMs - tookMs),
      toMs: atMs,
      isFailed: result === "failed",
      text: `${partition} ${step} ${result}${more}`.trimStart(),
    },
  ];
}
