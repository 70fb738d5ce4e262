import { adviceText } from "../model/advice.js";
import { partitionName } from "../model/partition-view.js";
import { problemRow } from "../model/problem.js";
import {
  EMPTY_ROW,
  type PartitionRow,
  type ResultRows,
  type TabletRow,
} from "../report/document.js";
import type { Inspection } from "./inspection.js";
import { subjectText } from "./rule.js";
import { verdictText } from "./text-report.js";

/**
 * Converts an inspection to rows of a report. The advice of findings has errors first, without advice that a partition
 * has too.
 *
 * @param calls Calls to the cluster.
 */
export function inspectionRows(inspection: Inspection, calls: number): ResultRows {
  const { counts, partitions, findings, tablets, facts } = inspection;
  const { autoFailover } = facts.state;
  const partitionAdvice = partitions.map((one) => one.next);
  const known = new Set(partitionAdvice.map(adviceText));
  return {
    verdict: {
      result: inspection.isHealthy ? "ok" : counts.down > 0 ? "failed" : "left",
      headline: verdictText(inspection),
      detail: "",
    },
    counts: {
      tablets: facts.state.tablets.size,
      tables: counts.tables,
      partitions: counts.partitions,
      replicas: counts.replicas,
      healthy: counts.partitions - counts.unhealthy,
      recovered: 0,
      unhealthy: counts.unhealthy,
      needsDecision: 0,
      serving: counts.partitions - counts.down,
    },
    autoFailover: {
      before: autoFailover,
      after: autoFailover,
      notRestored: null,
      restoreCommand: null,
    },
    partitions: partitions.map(partitionRow),
    tablets: tablets.map(tabletRow),
    findings: findings.map(({ level, code, subject, text, effect }) => ({
      level,
      code,
      subject: subjectText(subject),
      text,
      effect,
    })),
    advice: findings.flatMap(({ next }) =>
      next === undefined || known.has(adviceText(next)) ? [] : [next],
    ),
    partitionAdvice,
    nameserver: { before: null, after: facts.state.topology.leader },
    calls,
    changes: null,
  };
}

function partitionRow(one: Inspection["partitions"][number]): PartitionRow {
  return {
    partition: partitionName(one.id),
    status: "unhealthy",
    ...EMPTY_ROW,
    serving: one.grade !== "down",
    leader: one.leader ?? null,
    problems: one.problems.map(problemRow),
    notes: [`effect: ${one.effect}`],
    next: adviceText(one.next),
  };
}

function tabletRow(one: Inspection["tablets"][number]): TabletRow {
  const { endpoint, health, detail, replicas, leaders, alive, loaded } = one;
  const after = { replicas, leaders, alive, loaded: loaded ?? null };
  return { endpoint, health, detail, before: null, after };
}
