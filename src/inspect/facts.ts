import type { ClusterState, Endpoint, StoredCounters, TableClaim } from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import type { PartitionResult } from "../model/report.js";
import type { PrintCommand } from "../model/tool-command.js";
import type { checkLeaderChange } from "../policy/check-leader-change.js";
import type { RunOwner } from "../run/owner.js";
import type { CountedPartition } from "./record-counts.js";

/** One nameserver that ZooKeeper knows. */
export interface NameserverFact {
  readonly endpoint: Endpoint;
  /** How many znodes it holds under `leader`; one if all is well. */
  readonly znodes: number;
  readonly isLeader: boolean;
  /** Why it does not answer; undefined if it does. */
  readonly silence: string | undefined;
}

/** One server of ZooKeeper, as `--zk_cluster` names it. */
export interface ZooKeeperFact {
  readonly host: string;
  /** Why it cannot be reached; undefined if it can. */
  readonly silence: string | undefined;
}

/** Everything that the rules of inspect look at: one observation, and what only inspect asks for. */
export interface InspectFacts {
  readonly state: ClusterState;
  /** The views of the partitions in question: all, or those of `--db` and `--table`. */
  readonly views: readonly PartitionView[];
  /** Those of them that recovery's diagnose finds something wrong with, in the same order. */
  readonly unhealthy: readonly PartitionResult[];
  readonly zooKeeper: readonly ZooKeeperFact[];
  readonly nameservers: readonly NameserverFact[];
  /** Tablets whose znode says `startup_`: their session is the first since the process started. */
  readonly startups: ReadonlySet<Endpoint>;
  /**
   * The records that ZooKeeper keeps of tables with unhealthy partitions, by tid; undefined as a value if
   * there is none. Tables that were not asked for are absent.
   */
  readonly stored: ReadonlyMap<number, TableClaim | undefined>;
  /** The nameserver's counters in ZooKeeper, read after everything that is numbered by them. */
  readonly counters: StoredCounters;
  /** The run that holds the lock of the cluster; `unknown` if it says nothing readable, undefined if none. */
  readonly lock: RunOwner | "unknown" | undefined;
  /** The note of a run that keeps auto_failover off; undefined if there is none. */
  readonly marker:
    | {
        readonly kind: "marker";
        readonly owner: RunOwner;
        readonly original: boolean;
        /** Since when it is left off on purpose; undefined if it is not. */
        readonly leftOffSince: string | undefined;
      }
    | { readonly kind: "unreadable" }
    | undefined;
  /** Ops that were looked at again, because only that tells whether they move. */
  readonly watched: {
    /** How long, milliseconds; 0 if no op had to be watched. */
    readonly forMs: number;
    /** Ids of those that were in the same task all the while. */
    readonly still: ReadonlySet<bigint>;
  };
  /** Partitions whose replicas count other records at one offset, twice, which no expiry explains. */
  readonly otherCounts: readonly CountedPartition[];
  /** What recovery would do about the tablets that `--lost` names, in lines; none if none is named. */
  readonly lostLines?: readonly string[] | undefined;
  readonly scope: { readonly db: string | undefined; readonly table: string | undefined };
  /** Entries that a follower may lack before that is worth a warning of its own. */
  readonly maxLag: bigint;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly print: PrintCommand;
  /** Whether the leader of a partition can be changed, and what that gives up: the rule of `changeleader` itself. */
  readonly checkLeaderChange: typeof checkLeaderChange;
}
