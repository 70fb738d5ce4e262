import type { StepResult } from "../model/outcome.js";
import { partitionName } from "../model/partition-view.js";
import { stepText } from "../model/step.js";
import type { PartitionRow } from "./document.js";
import type { ResultRows } from "./recovery-rows.js";

/** How an operation ended. */
export interface OperationEnd {
  readonly results: readonly StepResult[];
  /** Steps that were planned. */
  readonly planned: number;
  /** What is not as it should be. */
  readonly complaints: readonly string[];
  /** What is worth telling. */
  readonly conclusions: readonly string[];
  readonly isWell: boolean;
  readonly notRestored: string | undefined;
  /** The command that goes on with what is left. */
  readonly goOn: string;
  /** The command that puts auto_failover back. */
  readonly restoreCommand: string;
}

/** The result of an operation as rows of a report: a row for each partition or tablet. */
export function operationRows(end: OperationEnd): ResultRows {
  const { results, planned, isWell, notRestored, complaints, conclusions } = end;
  const done = results.filter(({ outcome }) => isGood(outcome.result)).length;
  const count = planned === 0 ? "nothing had to be done" : `${done} of ${planned} steps done`;
  const left = isWell ? "" : "; not everything is as it should be";
  return {
    verdict: {
      result: notRestored !== undefined ? "failed" : isWell ? "ok" : "left",
      headline: `${count}${left}`,
      detail: [...complaints, ...conclusions].join("; "),
    },
    counts: null,
    autoFailover:
      notRestored === undefined
        ? null
        : { before: true, after: null, notRestored, restoreCommand: end.restoreCommand },
    advice: isWell || planned === 0 ? [] : [`to go on: ${end.goOn}`],
    partitions: rowsOf(results),
    tablets: [],
    findings: [],
    nameserver: { before: null, after: null },
    calls: null,
    changes: results.filter(({ outcome }) => outcome.result === "done").length,
  };
}

function isGood(result: string): boolean {
  return result === "done" || result === "already-done";
}

function rowsOf(results: readonly StepResult[]): PartitionRow[] {
  const byName = new Map<string, StepResult[]>();
  for (const result of results) {
    const { id, endpoint } = result.step;
    if (id === undefined && endpoint === undefined) continue;
    const name = id === undefined ? `tablet ${endpoint}` : partitionName(id);
    const own = byName.get(name);
    if (own === undefined) byName.set(name, [result]);
    else own.push(result);
  }
  return [...byName].map(([partition, own]) => rowOf(partition, own));
}

function rowOf(partition: string, own: readonly StepResult[]): PartitionRow {
  const bad = own.find(({ outcome }) => !isGood(outcome.result));
  const detail = bad !== undefined && "detail" in bad.outcome ? `: ${bad.outcome.detail}` : "";
  return {
    partition,
    status: bad === undefined ? "done" : "not-done",
    serving: null,
    leader: null,
    was: [],
    done: own.flatMap(({ step, outcome }) => (outcome.result === "done" ? [step.kind] : [])),
    tookMs: null,
    problems: [],
    failure:
      bad === undefined
        ? null
        : `tried in vain: ${stepText(bad.step)} ${bad.outcome.result}${detail}`,
    notes: [],
    evidence: [],
    next: null,
  };
}
