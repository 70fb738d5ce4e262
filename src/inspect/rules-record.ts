import { doing } from "../model/advice.js";
import { replicaKey, type TableClaim } from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import { each, flatMapped, type Work } from "../model/work.js";
import { type Case, partitionSubject, type Rule, type RuleFacts } from "./rule.js";

/** A kind of number that the nameserver assigns, and the znode that counts it. */
interface Numbered {
  /** Below the root path. */
  readonly znode: string;
  /** The value of the znode; undefined if it is missing or not a number. */
  readonly counted: bigint | undefined;
  readonly what: string;
  /** The highest number that is in use. */
  inUse: bigint;
}

function use(numbered: Numbered, value: bigint): void {
  if (value > numbered.inUse) numbered.inUse = value;
}

/**
 * Compares the numbers in use with the counters that a nameserver reads when it starts (OpenMLDB 0.9 nameserver:
 * RecoverDb reads `table/term`, `table/table_index` and `op/op_index`).
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
      next: [
        doing("restore newer ZooKeeper data", "server"),
        doing(`with all nameservers stopped, set the znode ${znode} to ${inUse} or more`, "server"),
      ],
    },
  ];
}

/** Unhealthy partitions whose flags or replicas differ between ZooKeeper's record and the nameserver's. */
function* storedCases(facts: RuleFacts): Work<Case[]> {
  // Records were read for few of the tables only.
  const read = facts.views.filter((view) => facts.stored.has(view.id.tid));
  const views = new Map(read.map((view) => [replicaKey(view.id), view]));
  return yield* flatMapped(facts.unhealthy, ({ id }): Case[] => {
    if (!facts.stored.has(id.tid)) return [];
    const view = views.get(replicaKey(id));
    if (view === undefined || view.activeOps.length > 0) return [];
    const differences = storedDifferences(view, facts.stored.get(id.tid));
    if (differences.length === 0) return [];
    return [
      {
        subject: partitionSubject(id),
        text: `ZooKeeper's record differs from the nameserver's: ${differences.join("; ")}`,
        next: [
          doing(
            "a nameserver that restarts reads ZooKeeper's: recover the partition, which rewrites the record",
            "thought",
          ),
        ],
      },
    ];
  });
}

const flags = (one: { readonly isLeader: boolean; readonly isAlive: boolean }) =>
  `${one.isLeader ? "leader" : "follower"} ${one.isAlive ? "alive" : "dead"}`;

/** The differences between ZooKeeper's record of a partition and the nameserver's, in words. */
function storedDifferences(view: PartitionView, stored: TableClaim | undefined): string[] {
  if (stored === undefined) return ["it has none of the table"];
  const partition = stored.partitions.find((one) => one.pid === view.id.pid);
  const kept = new Map(partition?.replicas.map((one) => [one.endpoint, one]));
  const missing = view.replicas.flatMap(({ endpoint, claim }) => {
    const other = kept.get(endpoint);
    if (other === undefined) return [`${endpoint} is not in it`];
    return flags(other) === flags(claim)
      ? []
      : [`${endpoint} is ${flags(other)} there and ${flags(claim)} here`];
  });
  const known = new Set(view.replicas.map((one) => one.endpoint));
  const more = [...kept.keys()].filter((endpoint) => !known.has(endpoint));
  return [...missing, ...more.map((endpoint) => `${endpoint} is only there`)];
}

/** Rules that compare ZooKeeper's data with the nameserver and the tablets. */
export const RECORD_RULES: readonly Rule[] = [
  {
    code: "counter-behind",
    level: "warning",
    effect: "a nameserver that restarts assigns numbers that are already in use",
    find: behindCases,
  },
  {
    code: "stored-record-differs",
    level: "warning",
    effect: "a restart of the nameserver changes which replicas lead and which count as alive",
    find: storedCases,
  },
];
