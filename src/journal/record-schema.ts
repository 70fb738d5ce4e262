import type { DocumentKind, Zod } from "../util/document.js";
import type { EndRecord, JournalRecord, RunRecord } from "./record.js";

/** Limit of the nesting of a record. */
const DEPTH_MAX = 16;
const PID_MAX = 2 ** 31 - 1;

/** The schema of one line of a journal. The longest lines hold the flags of a run or the plan of a partition. */
export const JOURNAL_LINE: DocumentKind<JournalRecord> = {
  maxBytes: 4 * 2 ** 20,
  maxDepth: DEPTH_MAX,
  schema: (z) => {
    const calls = callRecords(z);
    const steps = stepRecords(z);
    return z.discriminatedUnion("kind", [runRecord(z), ...calls, ...steps, endRecord(z)]);
  },
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

function timeOf(z: Zod) {
  return z
    .string()
    .max(40)
    .refine((text) => !Number.isNaN(Date.parse(text)), "expected a time");
}

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
    version: text,
    command: text,
    commandLine: z.array(text),
    flags: z.record(text, z.unknown()),
    cluster: z.object({ zkCluster: z.array(text), zkRootPath: text }),
    resumes: text.optional(),
  });
}

function endRecord(z: Zod) {
  const count = z.int().min(0);
  return z.object({
    kind: z.literal("end"),
    time: timeOf(z),
    result: z.string(),
    exitCode: z.int(),
    counts: z.object({ intents: count, done: count, failed: count }),
    detail: z.string().optional(),
  });
}

function callRecords(z: Zod) {
  const text = z.string();
  const time = timeOf(z);
  const target = z.object({
    endpoint: text.exactOptional(),
    db: text.exactOptional(),
    table: text.exactOptional(),
    tid: z.number().exactOptional(),
    pid: z.number().exactOptional(),
  });
  return [
    z.object({
      kind: z.literal("intent"),
      time,
      call: text,
      method: text,
      target,
      args: z.array(z.json()),
    }),
    z.object({
      kind: z.literal("outcome"),
      time,
      call: text,
      isOk: z.boolean(),
      error: text.optional(),
    }),
  ] as const;
}

function stepRecords(z: Zod) {
  const text = z.string();
  const time = timeOf(z);
  const step = { step: text, endpoint: text.optional(), why: text };
  const partition = text;
  return [
    z.object({
      kind: z.enum(["note", "warning"]),
      time,
      text,
      nameserver: z.object({ from: text, to: text }).optional(),
    }),
    z.object({
      kind: z.literal("plan"),
      time,
      partition,
      round: z.number(),
      leader: text.optional(),
      steps: z.array(z.object(step)),
      blocked: text.optional(),
      notes: z.array(text).optional(),
      givesUp: z.literal(true).optional(),
    }),
    z.object({
      kind: z.literal("observed"),
      time,
      when: z.enum(["before", "after"]),
      nameserver: text,
      tablets: z.array(
        z.object({
          endpoint: text,
          health: z.enum(["ok", "offline", "silent"]),
          detail: text,
          replicas: z.number(),
          leaders: z.number(),
          alive: z.number(),
          loaded: z.union([z.number(), z.null()]),
        }),
      ),
    }),
    z.object({ kind: z.literal("step-started"), time, partition, ...step }),
    z.object({
      kind: z.literal("step-ended"),
      time,
      partition,
      ...step,
      result: text,
      detail: text,
      tookMs: z.number(),
    }),
    z.object({ kind: z.literal("partition-ended"), time, partition, failure: text.optional() }),
  ] as const;
}
