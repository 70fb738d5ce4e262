import type { EventOf } from "../journal/record.js";
import { type Advice, byFirstWay } from "../model/advice.js";
import { compareText } from "../model/partition-view.js";
import type { TabletSummary } from "../model/tablet-summary.js";
import { activityOf, type PartitionActivity } from "./activity.js";
import {
  EMPTY_ROW,
  isOpen,
  type PartitionRow,
  type PartitionText,
  REPORT_SCHEMA_VERSION,
  type ReportDocument,
  type ResultRows,
  type RunFacts,
  type TabletCounts,
  type TabletRow,
  type Todo,
} from "./document.js";
import { type TimedEvent, timelineOf } from "./timeline.js";

/** The parts of a report: the result of a command, and its events. */
export interface ReportParts
  extends Omit<ResultRows, "verdict" | "nameserver" | "calls" | "changes">,
    Pick<ReportDocument, "command" | "verdict" | "run" | "parameters"> {
  /** In the order in which they happened; empty for a command that changes nothing. */
  readonly events: readonly TimedEvent[];
  /** Milliseconds since the epoch. */
  readonly beganMs: number;
}

/** Problem codes that mean that rows of a replica are, or may be, missing at its leader. */
const AT_RISK: readonly string[] = [
  "rows-missing",
  "ahead",
  "surplus",
  "record-is-old",
  "diverged",
  "unread",
  "load-failed",
  "no-leader-flagged",
];

/** Builds a report. Pure: equal parts give equal reports. */
export function buildReport(parts: ReportParts): ReportDocument {
  const { command, verdict, run, counts, autoFailover, findings, tablets, parameters } = parts;
  const activity = activityOf(parts.events);
  const observed = parts.events.flatMap(({ event }) => (event.kind === "observed" ? [event] : []));
  const named = new Set(parts.partitions.map((one) => one.partition));
  const rows = [
    ...parts.partitions.map((one) => withActivity(one, activity.partitions.get(one.partition))),
    ...[...activity.partitions].flatMap(([name, one]) =>
      named.has(name) || name === "" ? [] : [rowOf(name, one)],
    ),
  ];
  return {
    schemaVersion: REPORT_SCHEMA_VERSION,
    kind: "report",
    command,
    verdict,
    run: { ...run, nameserver: nameserverOf(run.nameserver, observed) },
    counts,
    autoFailover,
    left: [...todosOf(parts.partitionAdvice, true), ...todosOf(parts.advice, false)],
    givenUp: activity.givenUp,
    rebuilt: activity.rebuilt,
    atRisk: rows.flatMap(atRiskText),
    tablets: (tablets.length > 0 ? [...tablets] : tabletRows(observed)).sort((a, b) =>
      compareText(a.endpoint, b.endpoint),
    ),
    partitions: [...rows.filter(isOpen), ...rows.filter((row) => !isOpen(row))],
    findings,
    timeline: timelineOf(parts.events, parts.beganMs),
    log: activity.log,
    parameters,
  };
}

type ObservedEvent = EventOf<"observed">;

/** The first observation before any change, and the last one after. */
function firstAndLast(observed: readonly ObservedEvent[]) {
  return {
    before: observed.find((one) => one.when === "before"),
    after: observed.findLast((one) => one.when === "after"),
  };
}

function nameserverOf(
  known: RunFacts["nameserver"],
  observed: readonly ObservedEvent[],
): RunFacts["nameserver"] {
  const { before, after } = firstAndLast(observed);
  return {
    before: known.before ?? before?.nameserver ?? null,
    after: known.after ?? after?.nameserver ?? null,
  };
}

function tabletRows(observed: readonly ObservedEvent[]): TabletRow[] {
  const { before, after } = firstAndLast(observed);
  const of = (one: ObservedEvent | undefined) =>
    new Map(one?.tablets.map((tablet) => [tablet.endpoint, tablet]));
  const [old, now] = [of(before), of(after)];
  return [...new Set([...old.keys(), ...now.keys()])].map((endpoint) => {
    const last = now.get(endpoint) ?? old.get(endpoint);
    return {
      endpoint,
      health: last?.health ?? "unknown",
      detail: last?.detail ?? "",
      before: countsIn(old.get(endpoint)),
      after: countsIn(now.get(endpoint)),
    };
  });
}

function countsIn(one: TabletSummary | undefined): TabletCounts | null {
  if (one === undefined) return null;
  const { replicas, leaders, alive, loaded } = one;
  return { replicas, leaders, alive, loaded };
}

function withActivity(row: PartitionRow, own: PartitionActivity | undefined): PartitionRow {
  if (own === undefined) return row;
  const { was, done, tookMs } = own;
  const notes = [...new Set([...row.notes, ...own.notes])];
  return { ...row, was, done, tookMs, notes, leader: row.leader ?? own.leader };
}

/**
 * The row of a partition that only the events contain: the run ended before it was observed again.
 */
function rowOf(partition: string, own: PartitionActivity): PartitionRow {
  return {
    partition,
    status: own.failure === null ? "done" : "unhealthy",
    ...EMPTY_ROW,
    ...own,
  };
}

function atRiskText({ partition, problems, status, failure }: PartitionRow): PartitionText[] {
  if (status === "recovered" || status === "healthy") return [];
  const risks = problems.filter((one) => AT_RISK.includes(one.code));
  if (risks.length === 0 && status === "needs-decision" && failure !== null) {
    return [{ partition, text: failure }];
  }
  return risks.map(({ endpoint, text }) => ({
    partition,
    text: endpoint === null ? text : `${endpoint}: ${text}`,
  }));
}

/** Advice with the same first remedy becomes one thing to do. */
function todosOf(advices: readonly Advice[], isOfPartition: boolean): Todo[] {
  const groups = advices.map((advice) => ({ advice, of: [advice] }));
  return byFirstWay(groups).map(({ first, others }) => ({
    ways: [first, ...others].map(({ way: { what, command = null }, of }) => ({
      what,
      command,
      partitions: isOfPartition ? of.length : 0,
    })),
  }));
}
