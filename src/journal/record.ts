import type { TabletSummary } from "../model/tablet-summary.js";
import type { MutationCall } from "../run/watch-mutations.js";

/** Version of the journal's lines; a reader skips kinds of lines that it does not know. */
export const JOURNAL_VERSION = 1;

/** A cluster, by how it was reached. */
export interface ClusterName {
  /** ZooKeeper servers as `host:port`. */
  readonly zkCluster: readonly string[];
  readonly zkRootPath: string;
}

/** The first line of a journal: the user, the command and the time. */
export interface RunRecord {
  readonly kind: "run";
  readonly journalVersion: number;
  readonly id: string;
  /** ISO 8601, UTC, as every `time` of a journal. */
  readonly time: string;
  readonly host: string;
  readonly pid: number;
  readonly user: string;
  /** Version of this tool. */
  readonly version: string;
  /** Name of the command, such as `recoverdata`. */
  readonly command: string;
  /** The arguments as they were typed, secrets removed. */
  readonly commandLine: readonly string[];
  /** The flags that were in force, defaults and environment included, secrets removed. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly cluster: ClusterName;
  /** The run that this one continues. */
  readonly resumes?: string | undefined;
}

/** Written, and on the disk, before a call that changes the cluster is made. */
export interface IntentRecord {
  readonly kind: "intent";
  readonly time: string;
  /** Unique within the run: pairs the intent with its outcome. */
  readonly call: string;
  readonly method: string;
  readonly target: MutationCall["target"];
  readonly args: MutationCall["args"];
}

/** How a call ended. An intent without one may or may not have had its effect. */
export interface OutcomeRecord {
  readonly kind: "outcome";
  readonly time: string;
  readonly call: string;
  readonly isOk: boolean;
  /** Why it failed; absent if it did not. */
  readonly error?: string | undefined;
}

/** A step of a plan. */
export interface StepRecord {
  readonly step: string;
  readonly endpoint?: string | undefined;
  /** The problem that it answers. */
  readonly why: string;
}

/** What happened during the run; `partition` is a name such as `db1.t1:0`. */
export type EventRecord =
  | {
      readonly kind: "note" | "warning";
      readonly time: string;
      readonly text: string;
      /** With a note that another nameserver leads now: which one led, and which one does. */
      readonly nameserver?: { readonly from: string; readonly to: string } | undefined;
    }
  | {
      readonly kind: "observed";
      readonly time: string;
      readonly when: "before" | "after";
      /** Leader of the nameservers. */
      readonly nameserver: string;
      readonly tablets: readonly TabletSummary[];
    }
  | {
      readonly kind: "plan";
      readonly time: string;
      readonly partition: string;
      readonly round: number;
      readonly leader?: string | undefined;
      readonly steps: readonly StepRecord[];
      /** Why nothing may be done to the partition. */
      readonly blocked?: string | undefined;
      /** What could have been lost and was not, or what is given up; absent in old journals. */
      readonly notes?: readonly string[] | undefined;
      /** Whether something is given up under `--accept_data_loss`; absent if not. */
      readonly givesUp?: true | undefined;
    }
  | ({
      readonly kind: "step-started";
      readonly time: string;
      readonly partition: string;
    } & StepRecord)
  | ({
      readonly kind: "step-ended";
      readonly time: string;
      readonly partition: string;
      /** `done`, `already-done`, `stale` or `failed`. */
      readonly result: string;
      readonly detail: string;
      /** Milliseconds. */
      readonly tookMs: number;
    } & StepRecord)
  | {
      readonly kind: "partition-ended";
      readonly time: string;
      readonly partition: string;
      /** What went wrong; absent if nothing did. */
      readonly failure?: string | undefined;
    };

/** How many calls that change something were meant, done and failed. */
export interface CallCounts {
  readonly intents: number;
  readonly done: number;
  readonly failed: number;
}

/** The last line of a journal whose run came to its own end. */
export interface EndRecord {
  readonly kind: "end";
  readonly time: string;
  /** A word for the exit code, see {@link resultOf}. */
  readonly result: string;
  readonly exitCode: number;
  readonly counts: CallCounts;
  /** What the run says of its end, one line; absent if there is nothing to say. */
  readonly detail?: string | undefined;
}

/** One line of a journal. */
export type JournalRecord = RunRecord | IntentRecord | OutcomeRecord | EventRecord | EndRecord;

const RESULTS: ReadonlyMap<number, string> = new Map([
  [0, "ok"],
  [1, "error"],
  [2, "usage"],
  [3, "partly"],
  [4, "refused"],
  [5, "locked"],
  [6, "plan-outdated"],
  [7, "time-limit"],
  [9, "not-restored"],
]);

/** The exit code as a word; `signal-N` for 128 + N. */
export function resultOf(exitCode: number): string {
  return (
    RESULTS.get(exitCode) ?? (exitCode > 128 ? `signal-${exitCode - 128}` : `exit-${exitCode}`)
  );
}
