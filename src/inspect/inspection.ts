import { looking } from "../model/advice.js";
import type { Work } from "../model/work.js";
import { type TabletLoad, tabletLoads } from "./distribution.js";
import type { InspectFacts } from "./facts.js";
import { type PartitionReport, reportPartitions } from "./partition-report.js";
import type { Finding, Level, Rule, RuleFacts } from "./rule.js";
import { CLUSTER_RULES } from "./rules-cluster.js";
import { RECORD_RULES } from "./rules-record.js";
import { SERVER_RULES } from "./rules-servers.js";
import { TABLE_RULES } from "./rules-tables.js";

/** The result of inspecting a cluster once. */
export interface Inspection {
  readonly facts: InspectFacts;
  /** False if a partition is unhealthy or a finding is an error: exit code 10. */
  readonly isHealthy: boolean;
  /** The unhealthy partitions, worst first. */
  readonly partitions: readonly PartitionReport[];
  /** Errors first, then warnings, then notes. */
  readonly findings: readonly Finding[];
  readonly tablets: readonly TabletLoad[];
  readonly counts: {
    readonly partitions: number;
    readonly replicas: number;
    readonly tables: number;
    readonly unhealthy: number;
    /** Partitions that serve neither reads nor writes. */
    readonly down: number;
  };
}

/** Applies all rules to the facts. Yields between partitions. */
export function* inspectFacts(facts: InspectFacts): Work<Inspection> {
  const loads = yield* tabletLoads(facts);
  const [partitions, findings] = withoutChangesWhileLocked(
    facts,
    yield* reportPartitions(facts),
    yield* findAll({ ...facts, loads }),
  );
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

/**
 * Replaces advice that changes the cluster while another run holds the lock: the change would wait for that run,
 * and the observed state may be temporary.
 */
function withoutChangesWhileLocked(
  { lock, print }: InspectFacts,
  partitions: readonly PartitionReport[],
  findings: readonly Finding[],
): [readonly PartitionReport[], readonly Finding[]] {
  if (lock === undefined) return [partitions, findings];
  const wait = "wait for the run that holds the lock, then inspect again";
  const next = [{ ...looking(wait, print({ cmd: "inspect" })), needs: "server" as const }];
  return [
    partitions.map((one) => ({ ...one, next })),
    findings.map((one) => (one.next?.some((way) => way.changes) === true ? { ...one, next } : one)),
  ];
}

/** The number of findings of a level. */
export function countLevel(findings: readonly Finding[], level: Level): number {
  return findings.filter((one) => one.level === level).length;
}

/** All rules of inspect, in the order in which their findings are shown. */
export const RULES: readonly Rule[] = [
  ...SERVER_RULES,
  ...CLUSTER_RULES,
  ...RECORD_RULES,
  ...TABLE_RULES,
];

const RANK: Readonly<Record<Level, number>> = { error: 0, warning: 1, note: 2 };

/** The findings of all rules: errors first, then warnings, then notes. Yields between rules, and within long ones. */
function* findAll(facts: RuleFacts): Work<Finding[]> {
  const found: Finding[] = [];
  for (const rule of RULES) {
    yield undefined;
    for (const one of yield* findingsOf(rule, facts)) found.push(one);
  }
  return found.sort((a, b) => RANK[a.level] - RANK[b.level]);
}

function* findingsOf(
  { code, level, effect, turn, find }: Rule,
  facts: RuleFacts,
): Work<readonly Finding[]> {
  const cases = find(facts);
  return ("next" in cases ? yield* cases : cases).map((one) => ({
    ...one,
    code,
    level,
    effect,
    turn: turn ?? (level === "error" ? "before" : "after"),
  }));
}
