import type { Endpoint, PartitionId, TermStart } from "./cluster-state.js";
import type { PartitionEvidence } from "./evidence.js";
import type { Lane } from "./plan.js";
import type { Problem } from "./problem.js";
import type { ProgressEvent } from "./progress.js";
import type { Step, StepKind } from "./step.js";
import type { TabletSummary } from "./tablet-summary.js";

/** How one step ended. */
export type StepOutcome = (
  | /** It was done now. */ { readonly result: "done"; readonly detail: string }
  | /** What it wanted was true already. */ { readonly result: "already-done" }
  /** The cluster is not as the plan saw it; the partition is looked at afresh. */
  | { readonly result: "stale"; readonly detail: string }
  /** It was tried and did not work; the lane ends. */
  | {
      readonly result: "failed";
      readonly detail: string;
      /** With a failed load: the tablet has no directory of the replica, so nothing can be lost there. */
      readonly isEmpty?: boolean;
      /** The reason may pass: a connection that broke, an answer that came too late. Absent: it does not. */
      readonly mayPass?: boolean;
    }
) & {
  /**
   * With a load: the snapshot that was on the replica's disk before, which loading must bring at
   * least; undefined if it was not asked or not told.
   */
  readonly snapshot?: TermStart | undefined;
};

/** One step of a planned operation and how it ended. */
export interface StepResult {
  readonly step: Step;
  /** `not-done`: a step before it in the same lane did not end well. */
  readonly outcome: StepOutcome | { readonly result: "not-done" };
}

/** What happens during a run, for progress lines and logs. Carries no formatting. */
export type RunEvent =
  | ProgressEvent
  | {
      readonly kind: "note";
      readonly text: string;
      /** With a note that another nameserver leads now. */
      readonly nameserver?: { readonly from: Endpoint; readonly to: Endpoint };
    }
  | { readonly kind: "warning"; readonly text: string }
  /** The whole cluster was looked at: before the first change, or after the last one. */
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
      /** Whether it is of a round of a recovery, or of a planned list. */
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
  /** Worth a line in the report: what was saved, or given up. */
  | { readonly kind: "partition-note"; readonly id: PartitionId; readonly notes: readonly string[] }
  /** A partition is through: nothing more will be done to it in this run. */
  | {
      readonly kind: "lane-ended";
      readonly id: PartitionId;
      readonly failure: LaneFailure | undefined;
    };

/** Why a partition could not be finished. */
export interface LaneFailure {
  readonly endpoint: Endpoint | undefined;
  /** What was tried. */
  readonly step: StepKind | "plan";
  readonly detail: string;
  /** See {@link StepOutcome}. */
  readonly isEmpty?: boolean | undefined;
  /** See {@link StepOutcome}. */
  readonly mayPass?: boolean | undefined;
  /** The problem that the operator has to decide; undefined if there is nothing to decide. */
  readonly decision?: Problem | undefined;
  /** With a decision: what is known of each replica's log. */
  readonly evidence?: PartitionEvidence | undefined;
}

/** Receives the events of a run, in order. Must not throw. */
export type OnEvent = (event: RunEvent) => void;
