import type { InspectFacts } from "./facts.js";
import type { Finding, Level, Rule } from "./rule.js";
import { CLUSTER_RULES } from "./rules-cluster.js";
import { SERVER_RULES } from "./rules-servers.js";
import { TABLE_RULES } from "./rules-tables.js";

/** Everything that inspect looks for beside sick partitions, in the order in which it is shown. */
export const RULES: readonly Rule[] = [...SERVER_RULES, ...CLUSTER_RULES, ...TABLE_RULES];

const RANK: Readonly<Record<Level, number>> = { error: 0, warning: 1, note: 2 };

/** What the rules find: errors first, then warnings, then notes. */
export function findAll(facts: InspectFacts): Finding[] {
  return RULES.flatMap(({ code, level, effect, turn, find }) =>
    find(facts).map(
      (one): Finding => ({
        ...one,
        code,
        level,
        effect,
        turn: turn ?? (level === "error" ? "before" : "after"),
      }),
    ),
  ).sort((a, b) => RANK[a.level] - RANK[b.level]);
}
