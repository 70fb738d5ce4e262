import { numberText } from "../model/counted.js";
import { durationText } from "../model/duration.js";
import { groupBy } from "../model/groups.js";
import { html, moreHtml } from "./html-text.js";
import {
  MARK_KINDS,
  type Mark,
  type MarkKind,
  NAMESERVER_LANE,
  type Timeline,
} from "./timeline.js";

/** Number of lanes that are drawn: the busiest tablets, and the nameserver. */
const LANES_MAX = 24;
/** The greatest number of rectangles in all lanes, so that the page stays small. */
const RECTANGLES_MAX = 4_000;
const BINS_MIN = 24;
const BINS_MAX = 240;
/** Pixels: the height of a row, of the thinnest bar, and of the gap between rows. */
const ROW = 14;
const THIN = 4;
const GAP = 3;
const TICKS = 5;

const KIND_WORDS: Readonly<Record<MarkKind, string>> = {
  load: "load",
  replication: "replication",
  leader: "leader change",
  mark: "flags at the nameserver",
  op: "op of the nameserver",
  nameserver: "another nameserver leads",
  note: "note",
  warning: "warning",
};

/** Marks of one kind on one lane. */
interface Row {
  readonly kind: MarkKind;
  readonly marks: readonly Mark[];
}

interface Lane {
  readonly name: string;
  readonly rows: readonly Row[];
}

/**
 * Draws a timeline: a lane for each tablet and one for the nameserver, in each lane a row for each kind
 * of work, whose height shows how much of it ran at once.
 *
 * @returns HTML; empty if nothing happened.
 */
export function timelineHtml(timeline: Timeline): string {
  if (timeline.marks.length === 0) return "";
  const all = lanesOf(timeline.marks);
  const lanes = all.slice(0, LANES_MAX);
  const rows = lanes.reduce((sum, lane) => sum + lane.rows.length, 0);
  const bins = Math.max(BINS_MIN, Math.min(BINS_MAX, Math.floor(RECTANGLES_MAX / rows)));
  const scale = {
    spanMs: Math.max(1, timeline.spanMs),
    bins,
    changes: timeline.marks.filter((mark) => mark.kind === "nameserver"),
  };
  const kinds = MARK_KINDS.filter((kind) => timeline.marks.some((mark) => mark.kind === kind));
  return [
    `<p class="legend">${kinds.map(legendHtml).join("")}${failedLegend(timeline)}</p>`,
    `<div class="timeline">`,
    axisHtml(scale.spanMs),
    ...lanes.map((lane) => laneHtml(lane, scale)),
    "</div>",
    moreHtml(all.length - lanes.length, "more tablets with less to do"),
  ].join("\n");
}

function legendHtml(kind: MarkKind): string {
  return `<span class="key"><svg width="10" height="10" aria-hidden="true"><rect class="m-${kind}" width="10" height="10" rx="2"/></svg>${KIND_WORDS[kind]}</span>`;
}

function failedLegend({ marks }: Timeline): string {
  if (!marks.some((mark) => mark.isFailed)) return "";
  return `<span class="key"><svg width="10" height="10" aria-hidden="true"><rect class="m-failed" x="4" width="3" height="10"/></svg>failed</span>`;
}

/** The nameserver first, then tablets by name; if there are too many, the busiest. */
function lanesOf(marks: readonly Mark[]): Lane[] {
  const byLane = groupBy(marks, (mark) => mark.lane);
  const isFirst = (name: string) => (name === NAMESERVER_LANE ? 0 : 1);
  const busiest = [...byLane].sort(
    ([a, x], [b, y]) => isFirst(a) - isFirst(b) || y.length - x.length || (a < b ? -1 : 1),
  );
  const shown = busiest.slice(0, LANES_MAX);
  shown.sort(([a], [b]) => isFirst(a) - isFirst(b) || (a < b ? -1 : 1));
  return [...shown, ...busiest.slice(LANES_MAX)].map(([name, own]) => ({
    name,
    rows: MARK_KINDS.flatMap((kind) => {
      const ofKind = own.filter((mark) => mark.kind === kind);
      return ofKind.length === 0 ? [] : [{ kind, marks: ofKind }];
    }),
  }));
}

function axisHtml(spanMs: number): string {
  const ticks = Array.from({ length: TICKS }, (_, index) => {
    const share = index / (TICKS - 1);
    const anchor = index === 0 ? "start" : index === TICKS - 1 ? "end" : "middle";
    return `<text x="${percent(share)}" y="11" text-anchor="${anchor}">${durationText(spanMs * share)}</text>`;
  });
  return `<div class="lane axis"><div class="lane-name"></div><svg height="16" aria-hidden="true">${ticks.join("")}</svg></div>`;
}

interface Scale {
  readonly spanMs: number;
  readonly bins: number;
  /** Changes of the leader of the nameservers, drawn through all lanes. */
  readonly changes: readonly Mark[];
}

function laneHtml({ name, rows }: Lane, scale: Scale): string {
  const height = rows.length * (ROW + GAP) + GAP;
  const grid = Array.from({ length: TICKS }, (_, index) => {
    const x = percent(index / (TICKS - 1));
    return `<line class="grid" x1="${x}" x2="${x}" y1="0" y2="${height}"/>`;
  });
  const changes = scale.changes.map(({ fromMs, text }) => {
    const x = percent(binOf(fromMs, scale) / scale.bins);
    return `<line class="change" x1="${x}" x2="${x}" y1="0" y2="${height}"><title>${html(text)}</title></line>`;
  });
  const marks = rows.flatMap((row, index) => rowSvg(row, scale, GAP + index * (ROW + GAP)));
  const count = rows.reduce((sum, row) => sum + row.marks.length, 0);
  return [
    `<div class="lane"><div class="lane-name">${html(name)}</div>`,
    `<svg height="${height}" role="img" aria-label="${html(name)}: ${numberText(count)} marks">`,
    ...grid,
    ...changes,
    ...marks,
    "</svg></div>",
  ].join("");
}

/** The active marks during a stretch of the timeline, in bins. */
interface Stretch {
  readonly first: number;
  last: number;
  readonly marks: readonly Mark[];
}

function rowSvg({ kind, marks }: Row, scale: Scale, y: number): string[] {
  const stretches = stretchesOf(marks, scale);
  const most = stretches.reduce((max, one) => Math.max(max, one.marks.length), 1);
  const bars = stretches.map((one) => {
    const height = most === 1 ? 10 : THIN + ((ROW - THIN) * one.marks.length) / most;
    const top = (y + ROW - height).toFixed(1);
    const width = (one.last - one.first + 1) / scale.bins;
    return `<rect class="m-${kind}" x="${percent(one.first / scale.bins)}" y="${top}" width="${percent(width)}" height="${height.toFixed(1)}" rx="1.5"><title>${html(titleOf(one, kind, scale))}</title></rect>`;
  });
  const failures = new Map(
    marks.filter((one) => one.isFailed).map((one) => [binOf(one.toMs, scale), one]),
  );
  const crosses = [...failures].map(
    ([bin, one]) =>
      `<rect class="m-failed" x="${percent(bin / scale.bins)}" y="${y - 1}" width="3" height="${ROW + 2}"><title>${html(one.text)}</title></rect>`,
  );
  return [...bars, ...crosses];
}

function binOf(ms: number, { spanMs, bins }: Scale): number {
  return Math.min(bins - 1, Math.floor((ms / spanMs) * bins));
}

/** Joins adjacent bins with the same active marks. */
function stretchesOf(marks: readonly Mark[], scale: Scale): Stretch[] {
  const active: Mark[][] = Array.from({ length: scale.bins }, () => []);
  for (const mark of marks) {
    const last = binOf(mark.toMs, scale);
    for (let bin = binOf(mark.fromMs, scale); bin <= last; bin += 1) active[bin]?.push(mark);
  }
  const stretches: Stretch[] = [];
  active.forEach((now, bin) => {
    const before = stretches.at(-1);
    if (now.length === 0) return;
    if (before?.last === bin - 1 && isSame(before.marks, now)) before.last = bin;
    else stretches.push({ first: bin, last: bin, marks: now });
  });
  return stretches;
}

/** With many marks at once only their number is compared. */
function isSame(a: readonly Mark[], b: readonly Mark[]): boolean {
  return a.length === b.length && (a.length > 3 || a.every((one, index) => one === b[index]));
}

function titleOf({ marks, first, last }: Stretch, kind: MarkKind, scale: Scale): string {
  const [only] = marks;
  if (only !== undefined && marks.length === 1) {
    const took = only.toMs - only.fromMs;
    const how = took > 0 ? ` (${durationText(took)})` : "";
    return `after ${durationText(only.fromMs)}: ${only.text.slice(0, 160)}${how}`;
  }
  const at = (bin: number) => durationText((scale.spanMs * bin) / scale.bins);
  return `${KIND_WORDS[kind]}: ${marks.length} at once, from ${at(first)} to ${at(last + 1)}`;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))}%`;
}
