import type { Advice } from "../model/advice.js";
import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import { tableName } from "../model/partition-name.js";
import { partitionName } from "../model/partition-view.js";
import type { Work } from "../model/work.js";
import type { TabletLoad } from "./distribution.js";
import type { InspectFacts } from "./facts.js";

/**
 * How bad it is. `error`: not healthy, exit code 10. `warning`: it works, and an operator should look.
 * `note`: worth knowing.
 */
export type Level = "error" | "warning" | "note";

/** What a finding is about. */
export type Subject =
  | { readonly kind: "cluster" }
  | { readonly kind: "zookeeper"; readonly host: string }
  | { readonly kind: "nameserver" | "tablet"; readonly endpoint: Endpoint }
  | { readonly kind: "table"; readonly db: string; readonly table: string }
  | ({ readonly kind: "partition" } & PartitionId);

/** One case that a rule applies to. */
export interface Case {
  readonly subject: Subject;
  /** What is the matter, in words with numbers. No final stop. */
  readonly text: string;
  /** What to do; undefined if there is nothing to do. */
  readonly next?: Advice | undefined;
}

/** When an advice is to be followed, seen from the recovery of partitions. */
export type Turn = "before" | "after";

/** One thing that inspect looks for, beside what recovery's diagnose finds in partitions. */
export interface Rule {
  /** One word for programs; documented in docs/inspect.md. */
  readonly code: string;
  readonly level: Level;
  /** What it does to reads, writes and safety, one sentence without final stop. */
  readonly effect: string;
  /**
   * Whether what is to be typed comes before or after the recovery of partitions that are not
   * healthy. Left out: errors come before, all else after.
   */
  readonly turn?: Turn;
  /** Looks at the facts and at nothing else. What goes through all partitions may rest between them. */
  find(facts: RuleFacts): readonly Case[] | Work<readonly Case[]>;
}

/** What a rule looks at. */
export interface RuleFacts extends InspectFacts {
  /** What every tablet holds, see `tabletLoads`. */
  readonly loads: readonly TabletLoad[];
}

/** A case with what its rule says of it. */
export interface Finding extends Case {
  readonly code: string;
  readonly level: Level;
  readonly effect: string;
  readonly turn: Turn;
}

/** The subject in one word or two, such as `tablet a:9527` or `db1.t1:0`. Not made safe. */
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
