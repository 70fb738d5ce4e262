import type { ClusterState, Endpoint, StoredCounters, TableClaim } from "../model/cluster-state.js";
import type { TableScope } from "../model/partition-name.js";
import type { PartitionView } from "../model/partition-view.js";
import type { PartitionResult } from "../model/report.js";
import type { PrintCommand } from "../model/tool-command.js";
import type { checkLeaderChange } from "../policy/check-leader-change.js";
import type { MarkerContent, RunOwner } from "../run/owner.js";
import type { CountedPartition } from "./record-counts.js";

/** One nameserver that is registered in ZooKeeper. */
export interface NameserverFact {
  readonly endpoint: Endpoint;
  /** How many znodes it holds under `leader`; normally one. */
  readonly znodes: number;
  readonly isLeader: boolean;
  /** Why it does not answer; undefined if it does. */
  readonly silence: string | undefined;
}

/** One server of ZooKeeper, by its name in `--zk_cluster`. */
export interface ZooKeeperFact {
  readonly host: string;
  /** Why it cannot be reached; undefined if it can. */
  readonly silence: string | undefined;
}

/** The input of the rules of inspect: one observation, and facts that only inspect reads. */
export interface InspectFacts {
  readonly state: ClusterState;
  /** The views of the inspected partitions: all, or those of `--db` and `--table`. */
  readonly views: readonly PartitionView[];
  /** The unhealthy ones among them, by `diagnose`, in the same order. */
  readonly unhealthy: readonly PartitionResult[];
  readonly zooKeeper: readonly ZooKeeperFact[];
  readonly nameservers: readonly NameserverFact[];
  /** Tablets whose znode begins with `startup_`: their session is the first since the process started. */
  readonly startups: ReadonlySet<Endpoint>;
  /**
   * ZooKeeper's records of tables with unhealthy partitions, by tid; the value is undefined if there is none.
   * Tables whose records were not read are absent.
   */
  readonly stored: ReadonlyMap<number, TableClaim | undefined>;
  /** The nameserver's counters in ZooKeeper, read after all ids and terms that they count. */
  readonly counters: StoredCounters;
  /** The run that holds the cluster's lock; `unknown` if its data cannot be parsed, undefined if there is none. */
  readonly lock: RunOwner | "unknown" | undefined;
  /** The marker of a run that keeps auto_failover off; undefined if there is none. */
  readonly marker: MarkerContent | undefined;
  /** Ops that were watched for a while to find out whether they make progress. */
  readonly watched: {
    /** Milliseconds of watching; 0 if no op had to be watched. */
    readonly forMs: number;
    /** Ids of the ops that stayed in the same task during that time. */
    readonly still: ReadonlySet<bigint>;
  };
  /** Partitions whose replicas had different record counts at one offset in two reads, not explained by expiry. */
  readonly otherCounts: readonly CountedPartition[];
  /** What a recovery would do about the tablets of `--lost`, one line each; absent without `--lost`. */
  readonly lostLines?: readonly string[] | undefined;
  readonly scope: TableScope;
  /** Number of entries that a follower may lack before it gets its own warning. */
  readonly maxLag: bigint;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly print: PrintCommand;
  /** Checks whether a partition's leader can be changed, and at which loss: the rule that `changeleader` uses. */
  readonly checkLeaderChange: typeof checkLeaderChange;
}
