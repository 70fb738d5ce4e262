import type { TabletSummary } from "../model/tablet-summary.js";
import type { MutationCall } from "../run/watch-mutations.js";

/** Version of the journal's format; readers skip lines of unknown kinds. */
export const JOURNAL_VERSION = 1;

/** A cluster by its ZooKeeper. */
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
  /** The effective flags, including defaults and environment, secrets removed. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly cluster: ClusterName;
  /** The run that this one continues. */
  readonly resumes?: string | undefined;
}

/** Written before a call that changes the cluster, and synced to disk unless the disk is too slow. */
export interface IntentRecord {
  readonly kind: "intent";
  readonly time: string;
  /** Unique within the run: pairs the intent with its outcome. */
  readonly call: string;
  readonly method: string;
  readonly target: MutationCall["target"];
  readonly args: MutationCall["args"];
}

/** The outcome of a call. The call of an intent without an outcome may or may not have had its effect. */
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
  /** The reason; usually the code of the problem that it fixes. */
  readonly why: string;
}

/** An event of the run; `partition` is a name such as `db1.t1:0`. */
export type EventRecord =
  | {
      readonly kind: "note" | "warning";
      readonly time: string;
      readonly text: string;
      /** Set if the note reports a change of the leading nameserver. */
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
      /** Why the partition may not be changed. */
      readonly blocked?: string | undefined;
      /** Notes on data that is preserved or discarded; absent in old journals. */
      readonly notes?: readonly string[] | undefined;
      /** True if data is discarded under `--accept_data_loss`; absent otherwise. */
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
      /** The failure; absent if there was none. */
      readonly failure?: string | undefined;
    };

/** Numbers of changing calls: intended, succeeded and failed. */
export interface CallCounts {
  readonly intents: number;
  readonly done: number;
  readonly failed: number;
}

/** The last line of the journal of a run that ended in an orderly way. */
export interface EndRecord {
  readonly kind: "end";
  readonly time: string;
  /** The exit code as a word, see {@link resultOf}. */
  readonly result: string;
  readonly exitCode: number;
  readonly counts: CallCounts;
  /** More about the end, one line; absent if there is nothing to add. */
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
