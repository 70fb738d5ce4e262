import type { Advice } from "./advice.js";
import type { Endpoint, PartitionId } from "./cluster-state.js";

/** A position among the rows of an index: before the rows of key `pk` with timestamp `ts`. */
export interface RowPosition {
  readonly pk: Uint8Array;
  readonly ts: bigint;
}

/** One answer to Traverse (api.proto, TraverseResponse). */
export interface RowPage {
  /** The encoded records as the tablet sent them, not validated. */
  readonly pairs: Uint8Array;
  /** The number of records in `pairs`, as the tablet reports it. */
  readonly count: number;
  /** The position at which the tablet stopped; undefined after the last row. */
  readonly stoppedAt: RowPosition | undefined;
}

/** Rows that are in some replicas and missing in others. */
export interface RowGroup<Example = RowPosition> {
  readonly have: readonly Endpoint[];
  readonly lack: readonly Endpoint[];
  /** True if the replicas in `lack` have the rows too, but fewer copies: the others hold them more than once. */
  readonly isCopy: boolean;
  readonly rows: number;
  /** The first few of these rows, in the order of the index. */
  readonly examples: readonly Example[];
}

/** Differences between the replicas of a partition in one index. */
export interface IndexDifference<Example = RowPosition> {
  /** Name of the index; undefined for the first index of a table whose tablets name none. */
  readonly index: string | undefined;
  readonly groups: readonly RowGroup<Example>[];
}

/** The result of comparing the rows of one partition. */
export interface RowComparison<Example = RowPosition> {
  /** `single`: it has one replica, so there is nothing to compare. */
  readonly status: "same" | "different" | "not-comparable" | "single";
  readonly leader: Endpoint | undefined;
  readonly followers: readonly Endpoint[];
  /** Rows of the leader that were compared, in all indexes. */
  readonly rows: number;
  /** Rows of the leader that were left out because they have expired or soon will. */
  readonly expired: number;
  /** Bytes of rows read from all replicas. */
  readonly bytes: number;
  readonly differences: readonly IndexDifference<Example>[];
  /** Indexes that were not read, because another index has the same rows. */
  readonly notWalked: readonly string[];
  /** Why parts could not be compared, one reason each. */
  readonly reasons: readonly string[];
  /** True if only a sample was read. */
  readonly isSample: boolean;
}

/** The sample that a deep verification reads of each index: a number of rows, or a percentage. */
export type Sample = { readonly rows: number } | { readonly percent: number };

/** The result of one partition, with its id. */
export interface PartitionRows<Example = RowPosition> extends RowComparison<Example> {
  readonly id: PartitionId;
}

/** A row for display. */
export interface NamedRow {
  /** The first digits of the key's SHA-256, in hexadecimal. */
  readonly hash: string;
  /** The key; `0x` and hexadecimal digits if it is not UTF-8 text. Undefined unless keys are shown (`--show_keys`). */
  readonly key: string | undefined;
  readonly ts: bigint;
}

/** The result of a deep verification. */
export interface RowsReport {
  readonly partitions: readonly PartitionRows<NamedRow>[];
  /** How many of them an earlier run compared. */
  readonly resumed: number;
  readonly sample: Sample | undefined;
  readonly tookMs: number;
  /** Returns the advice for a partition whose replicas differ. */
  readonly adviceOf: (one: PartitionRows<NamedRow>) => Advice;
}
