import { adviceText } from "../model/advice.js";
import type { LaneFailure } from "../model/outcome.js";
import { partitionName } from "../model/partition-view.js";
import { problemRow } from "../model/problem.js";
import type { PartitionResult, RunReport } from "../model/report.js";
import { evidenceText } from "../policy/what-it-holds.js";
import type { ReportParts } from "./build.js";
import type { PartitionRow, ReportCounts, RunFacts, Verdict } from "./document.js";

/** The part of a report that comes from the result of a run; the events add the rest. */
export interface ResultRows
  extends Pick<
      ReportParts,
      | "counts"
      | "autoFailover"
      | "advice"
      | "partitionAdvice"
      | "partitions"
      | "tablets"
      | "findings"
    >,
    Pick<RunFacts, "nameserver" | "calls" | "changes"> {
  /** The exit code and its word are those of the command. */
  readonly verdict: Omit<Verdict, "exitCode" | "word">;
}

/** The rows of a run without a known result. */
export const NO_ROWS = {
  counts: null,
  autoFailover: null,
  advice: [],
  partitionAdvice: [],
  partitions: [],
  tablets: [],
  findings: [],
} satisfies Partial<ResultRows>;

/**
 * The result of a recovery as rows of a report.
 *
 * @param restoreCommand Restores auto_failover.
 */
export function recoveryRows(report: RunReport, restoreCommand: string): ResultRows {
  const counts = countsOf(report);
  const { before, after, notRestored } = report.autoFailover;
  return {
    verdict: {
      result: resultOf(counts, notRestored),
      headline: headlineOf(counts, notRestored),
      detail: report.absentTablets
        .slice(0, 10)
        .map(({ endpoint, reason }) => `tablet ${endpoint}: ${reason}`)
        .join("; "),
    },
    counts,
    autoFailover: {
      before,
      after: after ?? null,
      notRestored: notRestored ?? null,
      restoreCommand: notRestored === undefined ? null : restoreCommand,
    },
    advice: [],
    partitionAdvice: report.partitions.map((one) => one.next),
    partitions: report.partitions.map(partitionRow),
    tablets: [],
    findings: [],
    nameserver: { before: null, after: report.leader },
    calls: report.calls,
    changes: report.changes,
  };
}

function countsOf(report: RunReport): ReportCounts {
  const count = (status: PartitionResult["status"]) =>
    report.partitions.filter((one) => one.status === status).length;
  const needsDecision = count("needs-decision");
  const unhealthy = count("unhealthy") + needsDecision;
  const recovered = count("recovered");
  const { tablets, tables, replicas, partitionCount } = report;
  return {
    tablets,
    tables,
    partitions: partitionCount,
    replicas,
    healthy: partitionCount - unhealthy - recovered,
    recovered,
    unhealthy,
    needsDecision,
    serving: partitionCount - report.partitions.filter((one) => !one.isServing).length,
  };
}

function resultOf(counts: ReportCounts, notRestored: string | undefined): Verdict["result"] {
  if (counts.serving < counts.partitions || notRestored !== undefined) return "failed";
  return counts.unhealthy === 0 ? "ok" : "left";
}

function headlineOf(counts: ReportCounts, notRestored: string | undefined): string {
  const { partitions, recovered, unhealthy, serving } = counts;
  const guard = notRestored === undefined ? "" : "; auto_failover could not be restored";
  if (unhealthy === 0) {
    const how = recovered === 0 ? "there was nothing to do" : `${recovered} recovered`;
    return `all ${partitions} partitions are healthy, ${how}${guard}`;
  }
  const down = partitions - serving;
  const serve = down === 0 ? "all partitions serve" : `${down} of them not serving`;
  return `${unhealthy} of ${partitions} partitions are not healthy, ${serve}, ${recovered} recovered${guard}`;
}

function partitionRow(one: PartitionResult): PartitionRow {
  const { failure } = one;
  return {
    partition: partitionName(one.id),
    status: one.status,
    serving: one.isServing,
    leader: one.leader ?? null,
    was: [],
    done: [],
    tookMs: null,
    problems: one.problems.map(problemRow),
    failure: failure === undefined ? null : failureText(failure),
    notes: one.notes,
    evidence: one.evidence.map((known) => `${known.endpoint}: ${evidenceText(known)}`),
    next: one.next.length === 0 ? null : adviceText(one.next),
  };
}

function failureText({ step, endpoint = "", detail }: LaneFailure): string {
  if (step === "plan") return `left alone: ${detail}`;
  return `attempted: ${`${step} ${endpoint}`.trim()}: ${detail}`;
}
