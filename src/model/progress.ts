import type { Endpoint, Op, PartitionId } from "./cluster-state.js";
import type { Step } from "./step.js";

/** What a run or a command that looks is about. */
export type Phase =
  | "connecting"
  | "waiting-for-tablets"
  | "looking"
  | "planning"
  | "waiting-for-ops"
  | "working"
  | "verifying"
  | "comparing-rows";

/** A partition that is going to be worked on, with the replicas that are not as they should be. */
export interface PartitionAtWork {
  readonly id: PartitionId;
  readonly replicas: readonly Endpoint[];
}

/** How far a comparison of rows is. */
export interface RowsProgress {
  /** Partitions that are through, of how many. */
  readonly through: number;
  readonly of: number;
  /** Rows read so far, from all replicas and indexes. */
  readonly rows: number;
  /** Rows to be read in all, as far as can be told; no less than `rows`. */
  readonly expectedRows: number;
}

/** How far a run is. It is shown while it lasts; journals, reports and `--output=ndjson` leave it out. */
export type ProgressEvent =
  /** `detail` says more, such as which tablets are missing; it may change while the phase goes on. */
  | { readonly kind: "phase"; readonly phase: Phase; readonly detail?: string }
  /** In a look at the cluster: how many tablets have been asked, and those that have not answered yet. */
  | { readonly kind: "asked"; readonly of: number; readonly silent: ReadonlySet<Endpoint> }
  /** What a recovery works on from now on: everything at first, then what is still not healthy. */
  | { readonly kind: "work"; readonly partitions: readonly PartitionAtWork[] }
  /** The steps of a planned list, before the first one. */
  | { readonly kind: "list"; readonly steps: readonly Step[] }
  /** Replicas that a tablet has begun to load, or has taken into its queue. */
  | { readonly kind: "loads"; readonly endpoint: Endpoint; readonly loading: number }
  /** The nameserver's ops that are queued or running, when a step waits for ops. */
  | { readonly kind: "ops"; readonly ops: readonly Op[] }
  | { readonly kind: "rows"; readonly rows: RowsProgress };
