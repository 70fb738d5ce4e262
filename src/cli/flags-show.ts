import type { CommonFlags, GlobalFlags } from "./flags.js";

/** Flags of `showtable`. */
export interface ShowTableFlags extends CommonFlags {
  /** The only database to show; undefined for all. */
  readonly db: string | undefined;
  /** The only table to show, in whatever database; undefined for all. */
  readonly table: string | undefined;
}

/** Flags of `showopstatus`. */
export interface ShowOpStatusFlags extends ShowTableFlags {
  /** Partitions; empty for all. */
  readonly pid: readonly number[];
  /** Statuses and op types in OpenMLDB's words; empty for all. */
  readonly filter: readonly string[];
  /** Ids of ops; empty for all. */
  readonly opId: readonly bigint[];
  /** Whether to wait until no selected op is queued or running. */
  readonly wait: boolean;
  /** How long to wait; 0 for no limit. */
  readonly timeoutMs: number;
}

/** Flags of `showtablestatus`. */
export interface ShowTableStatusFlags extends CommonFlags {
  /** SQL LIKE on the name of the database. */
  readonly filter: string;
}

/** Flags of `gettablestatus`. */
export interface GetTableStatusFlags extends CommonFlags {
  /** The tablet that is asked. */
  readonly endpoint: string;
  /** The only table to show; undefined for all. */
  readonly tid: number | undefined;
  /** The only partition of that table to show; undefined for all. */
  readonly pid: number | undefined;
}

/** Flags of `getfollower`. */
export interface GetFollowerFlags extends CommonFlags {
  /** The tablet that is asked, which must run the leader. */
  readonly endpoint: string;
  readonly tid: number;
  readonly pid: number;
}

/** Flags of `completion`. */
export interface CompletionFlags extends GlobalFlags {
  readonly shell: "bash" | "zsh";
}
