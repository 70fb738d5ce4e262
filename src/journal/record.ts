import type { z as zod } from "zod";
import type { DocumentKind, Zod } from "../util/document.js";

/** Version of the journal's format; readers skip lines of unknown kinds. */
export const JOURNAL_VERSION = 1;

/** Limit of the nesting of a record. */
const DEPTH_MAX = 16;
const PID_MAX = 2 ** 31 - 1;

// The functions below are the definition of each record: its schema for readers, its type for writers.

/** The data that a schema accepts, with all of its fields read-only. */
type DataOf<Schema extends (z: Zod) => zod.ZodType> = Fixed<zod.infer<ReturnType<Schema>>>;
type Fixed<T> = T extends object ? { readonly [K in keyof T]: Fixed<T[K]> } : T;

/** ISO 8601, UTC. */
function timeOf(z: Zod) {
  return z
    .string()
    .max(40)
    .refine((text) => !Number.isNaN(Date.parse(text)), "expected a time");
}

function clusterName(z: Zod) {
  return z.object({
    /** ZooKeeper servers as `host:port`. */
    zkCluster: z.array(z.string()),
    zkRootPath: z.string(),
  });
}

/** A cluster by its ZooKeeper. */
export type ClusterName = DataOf<typeof clusterName>;

function runRecord(z: Zod) {
  const text = z.string();
  return z.object({
    kind: z.literal("run"),
    journalVersion: z.number(),
    id: text,
    time: timeOf(z),
    host: text,
    pid: z.int().min(1).max(PID_MAX),
    user: text,
    /** Version of this tool. */
    version: text,
    /** Name of the command, such as `recoverdata`. */
    command: text,
    /** The arguments as they were typed, secrets removed. */
    commandLine: z.array(text),
    /** The effective flags, including defaults and environment, secrets removed. */
    flags: z.record(text, z.unknown()),
    cluster: clusterName(z),
    /** The run that this one continues. */
    resumes: text.optional(),
  });
}

/** The first line of a journal: the user, the command and the time. */
export type RunRecord = DataOf<typeof runRecord>;

function intentRecord(z: Zod) {
  const text = z.string();
  return z.object({
    kind: z.literal("intent"),
    time: timeOf(z),
    /** Unique within the run: pairs the intent with its outcome. */
    call: text,
    method: text,
    /** As in `MutationCall`. */
    target: z.object({
      endpoint: text.exactOptional(),
      db: text.exactOptional(),
      table: text.exactOptional(),
      tid: z.number().exactOptional(),
      pid: z.number().exactOptional(),
    }),
    /** JSON data. */
    args: z.array(z.unknown()),
  });
}

/** Written before a call that changes the cluster, and synced to disk unless the disk is too slow. */
export type IntentRecord = DataOf<typeof intentRecord>;

function outcomeRecord(z: Zod) {
  return z.object({
    kind: z.literal("outcome"),
    time: timeOf(z),
    call: z.string(),
    isOk: z.boolean(),
    /** Why it failed; absent if it did not. */
    error: z.string().optional(),
  });
}

/** The outcome of a call. The call of an intent without an outcome may or may not have had its effect. */
export type OutcomeRecord = DataOf<typeof outcomeRecord>;

function stepRecord(z: Zod) {
  return z.object({
    step: z.string(),
    endpoint: z.string().optional(),
    /** The reason; usually the code of the problem that it fixes. */
    why: z.string(),
  });
}

/** A step of a plan. */
export type StepRecord = DataOf<typeof stepRecord>;

function eventRecord(z: Zod) {
  const text = z.string();
  const time = timeOf(z);
  const step = stepRecord(z);
  return z.discriminatedUnion("kind", [
    z.object({
      kind: z.enum(["note", "warning"]),
      time,
      text,
      /** Set if the note reports a change of the leading nameserver. */
      nameserver: z.object({ from: text, to: text }).optional(),
    }),
    z.object({
      kind: z.literal("observed"),
      time,
      when: z.enum(["before", "after"]),
      /** Leader of the nameservers. */
      nameserver: text,
      /** As in `TabletSummary`. */
      tablets: z.array(
        z.object({
          endpoint: text,
          health: z.enum(["ok", "offline", "silent"]),
          detail: text,
          replicas: z.number(),
          leaders: z.number(),
          alive: z.number(),
          loaded: z.number().nullable(),
        }),
      ),
    }),
    z.object({
      kind: z.literal("plan"),
      time,
      partition: text,
      round: z.number(),
      leader: text.optional(),
      steps: z.array(step),
      /** Why the partition may not be changed. */
      blocked: text.optional(),
      /** Notes on data that is preserved or discarded; absent in old journals. */
      notes: z.array(text).optional(),
      /** True if data is discarded under `--accept_data_loss`; absent otherwise. */
      givesUp: z.literal(true).optional(),
    }),
    step.extend({ kind: z.literal("step-started"), time, partition: text }),
    step.extend({
      kind: z.literal("step-ended"),
      time,
      partition: text,
      /** `done`, `already-done`, `stale` or `failed`. */
      result: text,
      detail: text,
      /** Milliseconds. */
      tookMs: z.number(),
    }),
    z.object({
      kind: z.literal("partition-ended"),
      time,
      partition: text,
      /** The failure; absent if there was none. */
      failure: text.optional(),
    }),
  ]);
}

/** An event of the run; `partition` is a name such as `db1.t1:0`. */
export type EventRecord = DataOf<typeof eventRecord>;

/** An event of one kind. */
export type EventOf<K extends EventRecord["kind"]> = Extract<EventRecord, { readonly kind: K }>;

function endRecord(z: Zod) {
  const count = z.int().min(0);
  return z.object({
    kind: z.literal("end"),
    time: timeOf(z),
    /** The exit code as a word, see {@link resultOf}. */
    result: z.string(),
    exitCode: z.int(),
    counts: z.object({ intents: count, done: count, failed: count }),
    /** More about the end, one line; absent if there is nothing to add. */
    detail: z.string().optional(),
  });
}

/** The last line of the journal of a run that ended in an orderly way. */
export type EndRecord = DataOf<typeof endRecord>;

/** Numbers of changing calls: intended, succeeded and failed. */
export type CallCounts = EndRecord["counts"];

/** One line of a journal. */
export type JournalRecord = RunRecord | IntentRecord | OutcomeRecord | EventRecord | EndRecord;

/** The schema of one line of a journal. The longest lines hold the flags of a run or the plan of a partition. */
export const JOURNAL_LINE: DocumentKind<JournalRecord> = {
  maxBytes: 4 * 2 ** 20,
  maxDepth: DEPTH_MAX,
  schema: (z) =>
    z.discriminatedUnion("kind", [
      runRecord(z),
      intentRecord(z),
      outcomeRecord(z),
      eventRecord(z),
      endRecord(z),
    ]),
};

/** The schema of a run's summary in ZooKeeper, whose znodes hold at most 1 MB. */
export const RUN_SUMMARY: DocumentKind<{
  readonly run: RunRecord;
  readonly end?: EndRecord | undefined;
}> = {
  maxBytes: 2 ** 20,
  maxDepth: DEPTH_MAX,
  schema: (z) => z.object({ run: runRecord(z), end: endRecord(z).optional() }),
};

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
