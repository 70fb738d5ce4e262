import type { PartitionView, ReplicaView } from "../model/partition-view.js";

/**
 * The facts of one partition that its steps rely on, by readable names such as `tablet1:9527 is
 * flagged` -> `leader, alive`. Offsets of loaded replicas are left out: they change under writes, and
 * every step reads them again.
 */
export type Facts = ReadonlyMap<string, string>;

/** No facts. */
export const NO_FACTS: Facts = new Map();

/** One fact that has changed. */
export interface Difference {
  /** The partition as `db.table:pid`, or `cluster`. */
  readonly where: string;
  readonly fact: string;
  /** Undefined if there was no such fact. */
  readonly was: string | undefined;
  /** Undefined if the fact no longer exists. */
  readonly is: string | undefined;
}

/** The facts of a partition, read from its view. */
export function factsOf(view: PartitionView): Facts {
  const terms = view.terms.map((one) => `${one.term} from ${one.offset}`);
  const ops = view.activeOps.map((op) => `${op.type} ${op.id}`).sort();
  return new Map([
    ["table id", String(view.id.tid)],
    ["storage mode", view.storageMode],
    ["segments", String(view.segCount)],
    ["terms", listed(terms)],
    ["ops that have not ended", listed(ops)],
    ["replicas", listed(view.replicas.map((one) => one.endpoint))],
    ...view.replicas.flatMap(replicaFacts),
  ]);
}

function replicaFacts(replica: ReplicaView): [string, string][] {
  const { endpoint, claim, report, followers } = replica;
  const facts: [string, string][] = [
    [
      `${endpoint} is flagged`,
      `${claim.isLeader ? "leader" : "follower"}, ${claim.isAlive ? "alive" : "not alive"}`,
    ],
    [`tablet of ${endpoint} is`, replica.tablet],
    [`${endpoint} runs as`, runsAs(replica)],
  ];
  if (report === undefined) {
    facts.push([`${endpoint} was last seen at offset`, String(claim.offset ?? "unknown")]);
  }
  if (report?.role === "leader") {
    const replicatesTo = followers && listed([...followers.followers.keys()].sort());
    facts.push([`${endpoint} replicates to`, replicatesTo ?? "unknown"]);
  }
  return facts;
}

function runsAs({ tablet, report }: ReplicaView): string {
  if (tablet !== "ok") return "unknown";
  if (report === undefined) return "not loaded";
  // A leader makes snapshots at any time and serves meanwhile.
  const state = report.state === "making-snapshot" ? "normal" : report.state;
  return `${report.role ?? "unknown role"}, ${state}`;
}

function listed(items: readonly string[]): string {
  return items.length === 0 ? "none" : items.join(", ");
}

/** Compares facts. Empty if they are equal. */
export function differencesOf(where: string, was: Facts, is: Facts): Difference[] {
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((fact) =>
    was.get(fact) === is.get(fact) ? [] : [{ where, fact, was: was.get(fact), is: is.get(fact) }],
  );
}

/** A difference as one line. Names are not made safe. */
export function differenceText({ where, fact, was, is }: Difference): string {
  return `${where}: ${fact}: was ${was ?? "not there"}, is ${is ?? "not there any more"}`;
}
