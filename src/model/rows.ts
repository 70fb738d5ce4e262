import type { Advice } from "./advice.js";
import type { Endpoint, PartitionId } from "./cluster-state.js";

/** A place among the rows of an index: in front of the rows of a key that have this timestamp. */
export interface RowPosition {
  readonly pk: Uint8Array;
  readonly ts: bigint;
}

/** One answer to Traverse (api.proto, TraverseResponse). */
export interface RowPage {
  /** Records as the tablet sent them, not checked. */
  readonly pairs: Uint8Array;
  /** How many records the tablet says there are. */
  readonly count: number;
  /** Where the tablet stopped; undefined behind the last row. */
  readonly stoppedAt: RowPosition | undefined;
}

/** Rows that some replicas have and others lack. */
export interface RowGroup<Example = RowPosition> {
  readonly have: readonly Endpoint[];
  readonly lack: readonly Endpoint[];
  /** The replicas that lack a copy of the rows have them too, less often: they were put twice into the memory of the others. */
  readonly isCopy: boolean;
  readonly rows: number;
  /** Some of them, the first ones in the order of the index. */
  readonly examples: readonly Example[];
}

/** How the replicas of a partition differ in one index. */
export interface IndexDifference<Example = RowPosition> {
  /** Undefined: the first index of a table whose tablets name none. */
  readonly index: string | undefined;
  readonly groups: readonly RowGroup<Example>[];
}

/** What came of comparing the rows of one partition. */
export interface RowComparison<Example = RowPosition> {
  /** `single`: it has one replica, so there is nothing to compare. */
  readonly status: "same" | "different" | "not-comparable" | "single";
  readonly leader: Endpoint | undefined;
  readonly followers: readonly Endpoint[];
  /** Rows of the leader that were compared, in all indexes. */
  readonly rows: number;
  /** Rows of the leader that were left out, as they have expired or soon will. */
  readonly expired: number;
  /** Bytes of rows read from all replicas. */
  readonly bytes: number;
  readonly differences: readonly IndexDifference<Example>[];
  /** Indexes that were not walked, as their rows are in another one, too. */
  readonly notWalked: readonly string[];
  /** What could not be compared now, and why. */
  readonly reasons: readonly string[];
  /** Whether only a sample was read. */
  readonly isSample: boolean;
}

/** What a deep verification reads of each index: so many rows, or that part of them. */
export type Sample = { readonly rows: number } | { readonly percent: number };

/** What came of one partition. */
export interface PartitionRows<Example = RowPosition> extends RowComparison<Example> {
  readonly id: PartitionId;
}

/** A row as it is shown. */
export interface NamedRow {
  /** The beginning of the key's SHA-256, in hexadecimal. */
  readonly hash: string;
  /** The key, in hexadecimal behind `0x` if it is no UTF-8 text; undefined unless keys are to be shown. */
  readonly key: string | undefined;
  readonly ts: bigint;
}

/** Everything that a deep verification came to. */
export interface RowsReport {
  readonly partitions: readonly PartitionRows<NamedRow>[];
  /** How many of them an earlier run had compared. */
  readonly resumed: number;
  readonly sample: Sample | undefined;
  readonly tookMs: number;
  /** What to do about a partition whose replicas differ. */
  readonly adviceOf: (one: PartitionRows<NamedRow>) => Advice;
}
