import type { Endpoint, PartitionId, TermStart } from "./cluster-state.js";
import type { PartitionEvidence } from "./evidence.js";
import type { Lane } from "./plan.js";
import type { Problem } from "./problem.js";
import type { ProgressEvent } from "./progress.js";
import type { Step, StepKind } from "./step.js";
import type { TabletSummary } from "./tablet-summary.js";

/** How one step ended. */
export type StepOutcome = (
  | /** The step made its change. */ { readonly result: "done"; readonly detail: string }
  | /** The step's goal was reached before it acted. */ { readonly result: "already-done" }
  /** The cluster differs from what the plan expects; the partition is observed again. */
  | { readonly result: "stale"; readonly detail: string }
  /** The step failed; the lane ends. */
  | {
      readonly result: "failed";
      readonly detail: string;
      /** After a failed load: the tablet has no directory of the replica, so no data can be lost there. */
      readonly isEmpty?: boolean;
      /**
       * After a failed load: the tablet never listed the disk table, so the load may still be queued there. The pass does not
       * request it again.
       */
      readonly isFinal?: boolean;
      /** True for a transient cause, such as a broken connection or a late answer. Absent: not transient. */
      readonly isTransient?: boolean;
    }
) & {
  /**
   * After a load: the snapshot that was on the replica's disk before, a lower bound of the loaded offset.
   * Undefined if not requested or not answered.
   */
  readonly snapshot?: TermStart | undefined;
};

/** One step of a planned operation and how it ended. */
export interface StepResult {
  readonly step: Step;
  /** `not-done`: an earlier step of the same lane did not succeed. */
  readonly outcome: StepOutcome | { readonly result: "not-done" };
}

/** True if a step reached its goal, by itself or before it acted. */
export function isSuccess(result: string): boolean {
  return result === "done" || result === "already-done";
}

/** The details of how a step ended; empty if there are none. */
export function detailOf(outcome: StepResult["outcome"]): string {
  return "detail" in outcome ? outcome.detail : "";
}

/** An event of a run, for progress lines and logs. Carries no formatting. */
export type RunEvent =
  | ProgressEvent
  | {
      readonly kind: "note";
      readonly text: string;
      /** Set if the note reports that another nameserver leads now. */
      readonly nameserver?: { readonly from: Endpoint; readonly to: Endpoint };
    }
  | { readonly kind: "warning"; readonly text: string }
  /** The whole cluster was observed: before the first change, or after the last one. */
  | {
      readonly kind: "observed";
      readonly when: "before" | "after";
      /** Leader of the nameservers. */
      readonly nameserver: Endpoint;
      readonly tablets: readonly TabletSummary[];
    }
  /** A lane was planned; `round` counts from 1. */
  | { readonly kind: "lane"; readonly lane: Lane; readonly round: number }
  | {
      readonly kind: "step-started";
      readonly step: Step;
      /** `round`: a step of a recovery round. `list`: a step of a planned list. */
      readonly mode: "round" | "list";
    }
  | {
      readonly kind: "step-ended";
      readonly step: Step;
      readonly mode: "round" | "list";
      readonly outcome: StepOutcome;
      /** Milliseconds that the step took. */
      readonly tookMs: number;
    }
  /** Notes for the report: data that was preserved or discarded. */
  | { readonly kind: "partition-note"; readonly id: PartitionId; readonly notes: readonly string[] }
  /** A partition is finished for now: no further round of it follows. */
  | {
      readonly kind: "lane-ended";
      readonly id: PartitionId;
      readonly failure: LaneFailure | undefined;
    };

/** Why the recovery of a partition failed. */
export interface LaneFailure {
  readonly endpoint: Endpoint | undefined;
  /** The step that failed; `plan` if no step could be planned. */
  readonly step: StepKind | "plan";
  readonly detail: string;
  /** See {@link StepOutcome}. */
  readonly isEmpty?: boolean | undefined;
  /** See {@link StepOutcome}. */
  readonly isFinal?: boolean | undefined;
  /** See {@link StepOutcome}. */
  readonly isTransient?: boolean | undefined;
  /** The problem that the operator has to decide; undefined if there is nothing to decide. */
  readonly decision?: Problem | undefined;
  /** If there is a decision: what is known of each replica's log. */
  readonly evidence?: PartitionEvidence | undefined;
}

/** Receives the events of a run, in order. Must not throw. */
export type OnEvent = (event: RunEvent) => void;
