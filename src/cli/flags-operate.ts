import type { CommonFlags, LockFlags, PlanFlags, StateFlags } from "./flags.js";

/** Flags of every command that changes the cluster by a plan of actions. */
export interface OperateFlags
  extends CommonFlags,
    StateFlags,
    LockFlags,
    Omit<PlanFlags, "method"> {
  /** Whether auto_failover is switched off again if somebody switches it on in the middle. */
  readonly keepOff: boolean;
  /** How often a failed op is tried again, 0..20. */
  readonly opRetries: number;
  /** How long one op of the nameserver may stay in the same task. */
  readonly opTimeoutMs: number;
  /** Whether an op that stands still for longer than that is cancelled. */
  readonly cancelStuck: boolean;
  /** How long a load may stand still. */
  readonly stallTimeoutMs: number;
  /** How long the whole run may take; 0 for no limit. */
  readonly timeoutMs: number;
}

/** Partitions of a table by number, in ascending order and each once; `all` for all of them. */
export type PidList = readonly number[] | "all";

/** Flags of `addreplica` and `delreplica`. */
export interface ReplicaFlags extends OperateFlags {
  /** Undefined: whatever database has the one table of that name. */
  readonly db: string | undefined;
  readonly table: string;
  readonly pid: PidList;
  readonly endpoint: string;
}

/** Flags of `migrate`. */
export interface MigrateFlags extends OperateFlags {
  /** The tablet that the followers leave. */
  readonly src: string;
  /** The tablet that they go to. */
  readonly des: string;
  /** Undefined: whatever database has the one table of that name. */
  readonly db: string | undefined;
  readonly table: string;
  readonly pid: PidList;
}

/** Flags of `cancelop`. */
export interface CancelOpFlags extends OperateFlags {
  readonly opId: bigint;
}

/** Flags of `deleteop`: one of the two is given. */
export interface DeleteOpFlags extends OperateFlags {
  readonly opId: bigint | undefined;
  readonly status: "done" | "failed" | "canceled" | undefined;
}

/** Flags of `updatetablealive`. */
export interface TableAliveFlags extends ReplicaFlags {
  readonly alive: boolean;
  /** Whether replicas are marked against what their tablets show. */
  readonly force: boolean;
}

/** Flags of `loadtable`: at most one of the two roles is given. */
export interface LoadTableFlags extends ReplicaFlags {
  readonly leader: boolean;
  readonly follower: boolean;
}

/** Flags of `changeleader`. */
export interface ChangeLeaderFlags extends OperateFlags {
  /** Undefined: whatever database has the one table of that name. */
  readonly db: string | undefined;
  readonly table: string;
  readonly pid: number;
  /** An endpoint, or `auto`; undefined: only if no leader is alive. */
  readonly candidate: string | undefined;
  /** Whether the old leader is left marked not alive. */
  readonly noRecover: boolean;
  /** Whether entries of this partition may be given up. */
  readonly acceptDataLoss: boolean;
}

/** Flags that `offlineendpoint` and `recoverendpoint` share. */
interface EndpointFlags extends OperateFlags {
  readonly endpoint: string;
  /** 1..8; undefined: the nameserver's default. */
  readonly concurrency: number | undefined;
  /** Partitions, as `db.table:pid`, in which entries may be given up. */
  readonly acceptDataLoss: readonly string[];
}

/** Flags of `offlineendpoint`. */
export interface OfflineEndpointFlags extends EndpointFlags {
  /** Whether partitions with a single replica may go out of service. */
  readonly allowSingleReplica: boolean;
}

/** Flags of `recoverendpoint`. */
export interface RecoverEndpointFlags extends EndpointFlags {
  /** Whether the tablet leads again what it led. */
  readonly needRestore: boolean;
}
