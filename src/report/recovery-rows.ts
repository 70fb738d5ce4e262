import { adviceText } from "../model/advice.js";
import { partitionName } from "../model/partition-view.js";
import { problemRow } from "../model/problem.js";
import type { PartitionResult, RunReport } from "../model/report.js";
import { evidenceText } from "../policy/evidence.js";
import {
  EMPTY_ROW,
  NO_ROWS,
  type PartitionRow,
  type ReportCounts,
  type ResultRows,
  type Verdict,
} from "./document.js";

/**
 * The result of a recovery as rows of a report.
 *
 * @param restoreCommand Restores auto_failover.
 */
export function recoveryRows(report: RunReport, restoreCommand: string): ResultRows {
  const counts = countsOf(report);
  const { before, after, notRestored } = report.autoFailover;
  return {
    ...NO_ROWS,
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
    partitionAdvice: report.partitions.map((one) => one.next),
    partitions: report.partitions.map(partitionRow),
    nameserver: { before: null, after: report.leader },
    calls: report.calls,
    changes: report.changes,
  };
}

/** The counts of a recovery. */
export function countsOf(report: RunReport): ReportCounts {
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
    ...EMPTY_ROW,
    serving: one.isServing,
    leader: one.leader ?? null,
    problems: one.problems.map(problemRow),
    failure: failure === undefined ? null : failureText(failure),
    notes: one.notes,
    evidence: one.evidence.map((known) => `${known.endpoint}: ${evidenceText(known)}`),
    next: one.next.length === 0 ? null : adviceText(one.next),
  };
}

/** Why the recovery of a partition failed, in words; journals of earlier versions have other names of steps. */
export function failureText({
  step,
  endpoint = "",
  detail,
}: {
  /** See `LaneFailure`. */
  readonly step: string;
  readonly endpoint?: string | undefined;
  readonly detail: string;
}): string {
  if (step === "plan") return `left alone: ${detail}`;
  return `attempted: ${`${step} ${endpoint}`.trim()}: ${detail}`;
}
