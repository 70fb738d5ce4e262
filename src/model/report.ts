import type { Absence } from "./absence.js";
import type { Advice } from "./advice.js";
import type { Endpoint, PartitionId } from "./cluster-state.js";
import type { ReplicaEvidence } from "./evidence.js";
import type { Loss } from "./loss.js";
import type { LaneFailure } from "./outcome.js";
import type { Problem } from "./problem.js";

/** A replica that can lead where a decision is open, and what that gives up. */
export interface ChoiceOfLeader {
  readonly endpoint: Endpoint;
  /** Its last entry. */
  readonly offset: bigint;
  readonly loss: Loss;
}

/** How one partition stands at the end. */
export interface PartitionResult {
  readonly id: PartitionId;
  /** `recovered`: something was wrong when the run began, and nothing is now.
   * `needs-decision`: it cannot be brought back without giving something up; it was left as it is. */
  readonly status: "healthy" | "recovered" | "unhealthy" | "needs-decision";
  /** The replica that leads now; undefined if none does. */
  readonly leader: Endpoint | undefined;
  /** Whether it takes reads and writes: a leader serves, whatever its followers do. */
  readonly isServing: boolean;
  /** What is wrong now; empty unless `unhealthy`. */
  readonly problems: readonly Problem[];
  /** What was tried in vain, or why nothing was tried; undefined if nothing went wrong. */
  readonly failure: LaneFailure | undefined;
  /** What could have been lost and was not, and what was given up under which flag. */
  readonly notes: readonly string[];
  /** What is known of each replica's log; empty unless there is something to decide. */
  readonly evidence: readonly ReplicaEvidence[];
  /** With `needs-decision`: the replicas that can lead. */
  readonly choices?: readonly ChoiceOfLeader[] | undefined;
  /** What to do next; empty unless something is wrong now. */
  readonly next: Advice;
}

/** A tablet that cannot be worked with. */
export interface AbsentTablet {
  readonly endpoint: Endpoint;
  /** What was seen, for a sentence that begins with the tablet's name. */
  readonly reason: string;
  readonly absence: Absence;
}

/** The commands that recover. */
export type RecoveryCommand = "recoverdata" | "recovertable";

/** What a run found, did and left: the one screen at its end. */
export interface RunReport {
  readonly command: RecoveryCommand;
  readonly leader: Endpoint;
  /** Every tablet that is not healthy or does not answer, with the reason. */
  readonly absentTablets: readonly AbsentTablet[];
  readonly tablets: number;
  readonly tables: number;
  readonly replicas: number;
  /** Only the partitions that are not plainly healthy, in the order of the view. */
  readonly partitions: readonly PartitionResult[];
  readonly partitionCount: number;
  readonly autoFailover: {
    readonly before: boolean;
    /** Undefined if it could not be read at the end. */
    readonly after: boolean | undefined;
    /** Why it could not be put back; undefined if it is as it was. */
    readonly notRestored: string | undefined;
    /** Whether it is left off on purpose, because partitions need a decision. */
    readonly isLeftOff: boolean;
  };
  /** With tablets that the operator calls lost; absent without. */
  readonly lost?:
    | {
        readonly tablets: readonly Endpoint[];
        /** Partitions with fewer replicas than their table asks for. */
        readonly shortPartitions: number;
        /** The command that makes the missing replicas. */
        readonly addMissing: string;
      }
    | undefined;
  /** Changes that the run made (calls that change something and succeeded). */
  readonly changes: number;
  /** The commands that write the open decisions to a file, and apply it; absent if they are not known. */
  readonly decide?: { readonly write: string; readonly apply: string } | undefined;
  readonly calls: number;
  readonly tookMs: number;
}
