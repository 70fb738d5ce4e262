import { changing } from "../model/advice.js";
import { replicaKey } from "../model/cluster-state.js";
import { groupBy } from "../model/groups.js";
import { detailOf, isSuccess, type StepResult } from "../model/outcome.js";
import { partitionName } from "../model/partition-view.js";
import type { OperationReport } from "../model/report.js";
import { stepText } from "../model/step.js";
import {
  type AutoFailoverFacts,
  EMPTY_ROW,
  NO_ROWS,
  type PartitionRow,
  type ReportCounts,
  type ResultRows,
} from "./document.js";

/** The commands in a report of an operation. */
export interface OperationCommands {
  /** Continues the operation. */
  readonly goOn: string;
  /** Restores auto_failover. */
  readonly restore: string;
}

/** True if an operation ended with every step done and the cluster as intended. */
export function isWell({ error, complaints, results }: OperationReport): boolean {
  const isDone = results.every(({ outcome }) => isSuccess(outcome.result));
  return error === undefined && complaints.length === 0 && isDone;
}

/** The result of an operation as rows of a report, one for each partition or tablet. */
export function operationRows(report: OperationReport, commands: OperationCommands): ResultRows {
  const { results, plan, notRestored, complaints, conclusions, figures } = report;
  const planned = plan.steps.length;
  const isGoodEnd = isWell(report);
  const count =
    planned === 0 ? "there was nothing to do" : `${doneCount(results)} of ${planned} steps done`;
  const left = isGoodEnd ? "" : "; some checks failed";
  return {
    ...NO_ROWS,
    verdict: {
      result: notRestored !== undefined ? "failed" : isGoodEnd ? "ok" : "left",
      headline: `${count}${left}`,
      detail: [...complaints, ...conclusions].join("; "),
    },
    counts: countsOf(figures),
    autoFailover: autoFailoverOf(report, commands.restore),
    advice: isGoodEnd || planned === 0 ? [] : [[changing("to continue", commands.goOn)]],
    partitions: rowsOf(results, figures),
    nameserver: { before: null, after: figures?.leader ?? null },
    calls: report.calls,
    changes: results.filter(({ outcome }) => outcome.result === "done").length,
  };
}

function countsOf(figures: OperationReport["figures"]): ReportCounts | null {
  if (figures === undefined) return null;
  const { tablets, tables, partitions, replicas, recovered, unhealthy } = figures;
  return {
    ...{ tablets, tables, partitions, replicas, recovered, unhealthy },
    healthy: partitions - unhealthy - recovered,
    // An operation that needs a decision is refused before its first step.
    needsDecision: 0,
    serving: figures.leaders.size,
  };
}

function autoFailoverOf(
  { notRestored, figures }: OperationReport,
  restoreCommand: string,
): AutoFailoverFacts | null {
  if (notRestored !== undefined) return { before: true, after: null, notRestored, restoreCommand };
  if (figures === undefined) return null;
  return { ...figures.autoFailover, notRestored: null, restoreCommand: null };
}

/** How many steps are done, or were done before. */
export function doneCount(results: readonly StepResult[]): number {
  return results.filter(({ outcome }) => isSuccess(outcome.result)).length;
}

function rowsOf(
  results: readonly StepResult[],
  figures: OperationReport["figures"],
): PartitionRow[] {
  const placed = results.filter(({ step }) => (step.id ?? step.endpoint) !== undefined);
  const byName = groupBy(placed, ({ step: { id, endpoint } }) =>
    id === undefined ? `tablet ${endpoint}` : partitionName(id),
  );
  return [...byName].map(([partition, own]) => rowOf(partition, own, figures));
}

function rowOf(
  partition: string,
  own: readonly StepResult[],
  figures: OperationReport["figures"],
): PartitionRow {
  const id = own[0]?.step.id;
  const leader = id === undefined ? undefined : figures?.leaders.get(replicaKey(id));
  const bad = own.find(({ outcome }) => !isSuccess(outcome.result));
  const detail = bad === undefined ? "" : detailOf(bad.outcome);
  return {
    partition,
    status: bad === undefined ? "done" : "not-done",
    ...EMPTY_ROW,
    serving: id === undefined || figures === undefined ? null : leader !== undefined,
    leader: leader ?? null,
    done: own.flatMap(({ step, outcome }) => (outcome.result === "done" ? [step.kind] : [])),
    failure:
      bad === undefined
        ? null
        : `attempted: ${stepText(bad.step)} ${bad.outcome.result}${detail && `: ${detail}`}`,
  };
}
