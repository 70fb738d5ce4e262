import type { Work } from "../model/work.js";
import type { Finding, Level, Rule, RuleFacts } from "./rule.js";
import { CLUSTER_RULES } from "./rules-cluster.js";
import { RECORD_RULES } from "./rules-record.js";
import { SERVER_RULES } from "./rules-servers.js";
import { TABLE_RULES } from "./rules-tables.js";

/** All rules of inspect, in the order in which their findings are shown. */
export const RULES: readonly Rule[] = [
  ...SERVER_RULES,
  ...CLUSTER_RULES,
  ...RECORD_RULES,
  ...TABLE_RULES,
];

const RANK: Readonly<Record<Level, number>> = { error: 0, warning: 1, note: 2 };

/** The findings of all rules: errors first, then warnings, then notes. Yields between rules, and within long ones. */
export function* findAll(facts: RuleFacts): Work<Finding[]> {
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
