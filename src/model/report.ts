import type { Absence } from "./absence.js";
import type { Advice } from "./advice.js";
import type { Endpoint, PartitionId } from "./cluster-state.js";
import type { ReplicaEvidence } from "./evidence.js";
import type { Loss } from "./loss.js";
import type { LaneFailure, StepResult } from "./outcome.js";
import type { Problem } from "./problem.js";
import type { Step } from "./step.js";

/** A replica that can lead a partition with an open decision, and the loss if it does. */
export interface ChoiceOfLeader {
  readonly endpoint: Endpoint;
  /** Its last entry. */
  readonly offset: bigint;
  readonly loss: Loss;
}

/** The state of one partition at the end of a run. */
export interface PartitionResult {
  readonly id: PartitionId;
  /**
   * `recovered`: it had problems when the run began and has none now.
   * `needs-decision`: it cannot be recovered without discarding data, so it was left as it is.
   */
  readonly status: "healthy" | "recovered" | "unhealthy" | "needs-decision";
  /** The replica that leads now; undefined if none does. */
  readonly leader: Endpoint | undefined;
  /** True if a leader serves reads and writes; the followers do not matter. */
  readonly isServing: boolean;
  /** Its problems now; empty unless `unhealthy` or `needs-decision`. */
  readonly problems: readonly Problem[];
  /** The step that failed, or why nothing was tried; undefined if nothing failed. */
  readonly failure: LaneFailure | undefined;
  /** Notes on data that was preserved, and on data that was discarded and by which flag. */
  readonly notes: readonly string[];
  /** What is known of each replica's log; empty unless there is something to decide. */
  readonly evidence: readonly ReplicaEvidence[];
  /** If `needs-decision`: the replicas that can lead. */
  readonly choices?: readonly ChoiceOfLeader[] | undefined;
  /** What to do next; empty if there is no problem now. */
  readonly next: Advice;
}

/** A tablet that the tool cannot use. */
export interface AbsentTablet {
  readonly endpoint: Endpoint;
  /** The reason, as the end of a sentence that begins with the tablet's name. */
  readonly reason: string;
  readonly absence: Absence;
}

/** The recovery commands. */
export type RecoveryCommand = "recoverdata" | "recovertable";

/** The result of a recovery run. */
export interface RunReport {
  readonly command: RecoveryCommand;
  readonly leader: Endpoint;
  /** Every tablet that is not healthy or does not answer, with the reason. */
  readonly absentTablets: readonly AbsentTablet[];
  readonly tablets: number;
  readonly tables: number;
  readonly replicas: number;
  /** The partitions with a status other than `healthy`, in the order of the view. */
  readonly partitions: readonly PartitionResult[];
  readonly partitionCount: number;
  readonly autoFailover: {
    readonly before: boolean;
    /** Undefined if it could not be read at the end. */
    readonly after: boolean | undefined;
    /** Why it could not be restored; undefined if it is as it was. */
    readonly notRestored: string | undefined;
    /** True if it is left off on purpose, because partitions need a decision. */
    readonly isLeftOff: boolean;
  };
  /** Present if the operator declared tablets lost (`--lost`). */
  readonly lost?:
    | {
        readonly tablets: readonly Endpoint[];
        /** Partitions with fewer replicas than their table's replica count. */
        readonly shortPartitions: number;
        /** The command that adds the missing replicas. */
        readonly addMissing: string;
      }
    | undefined;
  /** Successful calls that changed the cluster. */
  readonly changes: number;
  /** The commands that write the open decisions to a file and apply the file; absent if they are not known. */
  readonly decide?: { readonly write: string; readonly apply: string } | undefined;
  /** All calls to the cluster. */
  readonly calls: number;
  readonly tookMs: number;
}

/** The result of a planned operation. */
export interface OperationReport {
  /** The planned steps, and notes for the operator. */
  readonly plan: { readonly steps: readonly Step[]; readonly notes: readonly string[] };
  readonly results: readonly StepResult[];
  /** Deviations from the planned result, one line each. */
  readonly complaints: readonly string[];
  /** Results worth reporting, one line each. */
  readonly conclusions: readonly string[];
  /** Why auto_failover could not be restored; undefined if it is as it was. */
  readonly notRestored: string | undefined;
  /** The error that ended the run early; undefined if it ran to its end. */
  readonly error: unknown;
  /** True if the run may have changed the cluster. */
  readonly hasChanged: boolean;
  /** The last observation of the cluster; undefined if an error ended the run before it. */
  readonly figures: OperationFigures | undefined;
  /** Calls to the cluster so far. */
  readonly calls: number;
}

/** Figures of the cluster before and after an operation. */
export interface OperationFigures {
  readonly leader: Endpoint;
  readonly autoFailover: { readonly before: boolean; readonly after: boolean };
  readonly tablets: number;
  readonly tables: number;
  readonly partitions: number;
  readonly replicas: number;
  /** Partitions that were unhealthy at the first observation and are healthy now. */
  readonly recovered: number;
  /** Partitions that are unhealthy now. */
  readonly unhealthy: number;
  /** The tablet that leads each serving partition now, by `replicaKey`; other partitions are absent. */
  readonly leaders: ReadonlyMap<string, Endpoint>;
}
