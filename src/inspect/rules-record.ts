import { each, type Work } from "../model/work.js";

import type { Case, Rule, RuleFacts } from "./rule.js";

/** A kind of number that the nameserver gives out, and the znode that counts it. */
interface Numbered {
  /** Below the root path. */
  readonly znode: string;
  /** What the znode says; undefined if it says no number. */
  readonly counted: bigint | undefined;
  readonly what: string;
  /** The highest number that is in use. */
  inUse: bigint;
}

function use(numbered: Numbered, value: bigint): void {
  if (value > numbered.inUse) numbered.inUse = value;
}

/**
 * Compares the counters that a nameserver goes on from when it starts with the numbers in use (OpenMLDB
 * 0.9 nameserver: RecoverDb reads `table/term`, `table/table_index` and `op/op_index`).
 */
function* behindCases({ state, counters }: RuleFacts): Work<Case[]> {
  const of = (znode: string, counted: bigint | undefined, what: string): Numbered => ({
    znode,
    counted,
    what,
    inUse: 0n,
  });
  const term = of("table/term", counters.term, "term");
  const snapshotTerm = of("table/term", counters.term, "a snapshot's term");
  const tid = of("table/table_index", counters.tableIndex, "table id");
  const loadedTid = of("table/table_index", counters.tableIndex, "a loaded replica's table id");
  const op = of("op/op_index", counters.opIndex, "op id");
  yield* each(state.tables, (table) => {
    use(tid, BigInt(table.tid));
    for (const { terms } of table.partitions) for (const one of terms) use(term, one.term);
  });
  yield* each(state.tablets.values(), ({ reports }) => {
    for (const one of reports?.values() ?? []) use(loadedTid, BigInt(one.tid));
  });
  for (const one of state.snapshots?.values() ?? []) use(snapshotTerm, one.term);
  for (const one of state.ops) use(op, one.id);
  return [term, snapshotTerm, tid, loadedTid, op].flatMap(caseOf);
}

function caseOf({ znode, counted, what, inUse }: Numbered): Case[] {
  if (counted === undefined || counted >= inUse) return [];
  return [
    {
      subject: { kind: "cluster" },
      text: `${znode} in ZooKeeper says ${counted}, and ${what} ${inUse} is in use: ZooKeeper's data is older than the cluster`,
      next: `bring newer ZooKeeper data back; or, with all nameservers stopped, set the znode ${znode} to ${inUse} or more`,
    },
  ];
}

/** Rules about whether what ZooKeeper keeps is as new as the cluster. */
export const RECORD_RULES: readonly Rule[] = [
  {
    code: "counter-behind",
    level: "warning",
    effect: "a nameserver that restarts gives numbers out that are in use already",
    find: behindCases,
  },
];
