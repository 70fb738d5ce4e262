import { takeTurns } from "../util/yielding.js";
import type { Finding, Level, Rule, RuleFacts } from "./rule.js";
import { CLUSTER_RULES } from "./rules-cluster.js";
import { SERVER_RULES } from "./rules-servers.js";
import { TABLE_RULES } from "./rules-tables.js";

/** Everything that inspect looks for beside sick partitions, in the order in which it is shown. */
export const RULES: readonly Rule[] = [...SERVER_RULES, ...CLUSTER_RULES, ...TABLE_RULES];

const RANK: Readonly<Record<Level, number>> = { error: 0, warning: 1, note: 2 };

/** What the rules find: errors first, then warnings, then notes. Lets other work run in between. */
export async function findAll(facts: RuleFacts): Promise<Finding[]> {
  const found: Finding[] = [];
  const turn = takeTurns(1);
  for (const rule of RULES) {
    await turn();
    for (const one of await findingsOf(rule, facts)) found.push(one);
  }
  return found.sort((a, b) => RANK[a.level] - RANK[b.level]);
}

async function findingsOf(
  { code, level, effect, turn, find }: Rule,
  facts: RuleFacts,
): Promise<readonly Finding[]> {
  return (await find(facts)).map((one) => ({
    ...one,
    code,
    level,
    effect,
    turn: turn ?? (level === "error" ? "before" : "after"),
  }));
}
