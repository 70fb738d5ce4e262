import type { Advice } from "../model/advice.js";
import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import { tableName } from "../model/partition-name.js";
import { partitionName } from "../model/partition-view.js";
import type { Work } from "../model/work.js";
import type { TabletLoad } from "./distribution.js";
import type { InspectFacts } from "./facts.js";

/** Severity. `error`: unhealthy, exit code 10. `warning`: it works, but should be checked. `note`: information. */
export type Level = "error" | "warning" | "note";

/** The object that a finding concerns. */
export type Subject =
  | { readonly kind: "cluster" }
  | { readonly kind: "zookeeper"; readonly host: string }
  | { readonly kind: "nameserver" | "tablet"; readonly endpoint: Endpoint }
  | { readonly kind: "table"; readonly db: string; readonly table: string }
  | ({ readonly kind: "partition" } & PartitionId);

/** One occurrence of a rule. */
export interface Case {
  readonly subject: Subject;
  /** The facts in words, with numbers. No final stop. */
  readonly text: string;
  /** What to do; undefined if there is nothing to do. */
  readonly next?: Advice | undefined;
}

/** Whether an advice is to be followed before or after the recovery of partitions. */
export type Turn = "before" | "after";

/** One check of inspect, beyond the problems of partitions that `diagnose` finds. */
export interface Rule {
  /** Stable code for programs; documented in docs/inspect.md. */
  readonly code: string;
  readonly level: Level;
  /** The effect on reads, writes and safety, one sentence without final stop. */
  readonly effect: string;
  /** When its advice is to be followed. Left out: `before` for errors, else `after`. */
  readonly turn?: Turn;
  /** Finds all occurrences. Pure. A rule that visits all partitions yields between them. */
  find(facts: RuleFacts): readonly Case[] | Work<readonly Case[]>;
}

/** The input of a rule. */
export interface RuleFacts extends InspectFacts {
  /** The figures of every tablet, see `tabletLoads`. */
  readonly loads: readonly TabletLoad[];
}

/** A case with the fields of its rule. */
export interface Finding extends Case {
  readonly code: string;
  readonly level: Level;
  readonly effect: string;
  readonly turn: Turn;
}

/** The subject of a finding about one partition. */
export function partitionSubject(id: PartitionId): Subject {
  return { kind: "partition", ...id };
}

/** The subject as text, such as `tablet a:9527` or `db1.t1:0`. Control characters are not escaped. */
export function subjectText(subject: Subject): string {
  switch (subject.kind) {
    case "cluster":
      return "cluster";
    case "zookeeper":
      return `ZooKeeper ${subject.host}`;
    case "nameserver":
    case "tablet":
      return `${subject.kind} ${subject.endpoint}`;
    case "table":
      return tableName(subject);
    case "partition":
      return partitionName(subject);
  }
}
