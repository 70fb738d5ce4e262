import { type TabletLoad, tabletLoads } from "./distribution.js";
import type { InspectFacts } from "./facts.js";
import { type PartitionReport, reportPartitions } from "./partition-report.js";
import type { Finding, Level } from "./rule.js";
import { findAll } from "./rules.js";

/** Everything that one look at a cluster brought, judged. */
export interface Inspection {
  readonly facts: InspectFacts;
  /** False if a partition is not healthy or a finding is an error: exit code 10. */
  readonly isHealthy: boolean;
  /** Partitions that are not healthy, worst first. */
  readonly partitions: readonly PartitionReport[];
  /** Errors first, then warnings, then notes. */
  readonly findings: readonly Finding[];
  readonly tablets: readonly TabletLoad[];
  readonly counts: {
    readonly partitions: number;
    readonly replicas: number;
    readonly tables: number;
    readonly unhealthy: number;
    /** Partitions that take no reads and writes. */
    readonly down: number;
  };
}

/** Judges what was observed. Pure; lets other work run in between. */
export async function inspectFacts(facts: InspectFacts): Promise<Inspection> {
  const partitions = await reportPartitions(facts);
  const loads = await tabletLoads(facts);
  const findings = await findAll({ ...facts, loads });
  return {
    facts,
    isHealthy: partitions.length === 0 && countLevel(findings, "error") === 0,
    partitions,
    findings,
    tablets: loads,
    counts: {
      partitions: facts.views.length,
      replicas: facts.views.reduce((sum, view) => sum + view.replicas.length, 0),
      tables: new Set(facts.views.map((view) => view.id.tid)).size,
      unhealthy: partitions.length,
      down: partitions.filter((one) => one.grade === "down").length,
    },
  };
}

/** How many findings are of a level. */
export function countLevel(findings: readonly Finding[], level: Level): number {
  return findings.filter((one) => one.level === level).length;
}
