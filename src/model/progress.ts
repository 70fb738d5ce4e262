import type { Endpoint, Op, PartitionId } from "./cluster-state.js";
import type { Step } from "./step.js";

/** The current phase of a command. */
export type Phase =
  | "connecting"
  | "waiting-for-tablets"
  | "looking"
  | "planning"
  | "waiting-for-ops"
  | "working"
  | "verifying"
  | "comparing-rows";

/** A partition that a run will recover, with its unhealthy replicas. */
export interface PartitionAtWork {
  readonly id: PartitionId;
  readonly replicas: readonly Endpoint[];
}

/** Progress of a comparison of rows. */
export interface RowsProgress {
  /** Partitions whose comparison has ended. */
  readonly compared: number;
  /** Partitions in total. */
  readonly of: number;
  /** Rows read so far, from all replicas and indexes. */
  readonly rows: number;
  /** Estimate of all rows to read; at least `rows`. */
  readonly expectedRows: number;
}

/** Progress of a run, for display only: journals, reports and `--output=ndjson` leave it out. */
export type ProgressEvent =
  /** `detail`: more about the phase, such as the missing tablets; it may change during the phase. */
  | { readonly kind: "phase"; readonly phase: Phase; readonly detail?: string }
  /** During an observation: the number of tablets asked, and those that have not answered yet. */
  | { readonly kind: "asked"; readonly of: number; readonly silent: ReadonlySet<Endpoint> }
  /** The partitions that the current pass of a recovery works on. */
  | { readonly kind: "work"; readonly partitions: readonly PartitionAtWork[] }
  /** The steps of a planned list, sent before the first one. */
  | { readonly kind: "list"; readonly steps: readonly Step[] }
  /** The number of replicas that a tablet is loading or has queued for loading. */
  | { readonly kind: "loads"; readonly endpoint: Endpoint; readonly loading: number }
  /** The nameserver's queued and running ops, while a step waits for ops. */
  | { readonly kind: "ops"; readonly ops: readonly Op[] }
  | { readonly kind: "rows"; readonly rows: RowsProgress };
