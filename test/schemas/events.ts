import { z } from "zod";
import { count, maybe, text, texts, time } from "./parts.js";

const step = { step: text, endpoint: text.optional(), why: text };

const plan = z.object({
  kind: z.literal("plan"),
  time,
  partition: text,
  round: count,
  leader: text.optional(),
  steps: z.array(z.object(step)),
  blocked: text.optional(),
  notes: texts.optional(),
  givesUp: z.literal(true).optional(),
});

const stepEnded = z.object({
  kind: z.literal("step-ended"),
  time,
  partition: text,
  ...step,
  result: text,
  detail: text,
  tookMs: count,
});

const stepStarted = z.object({
  kind: z.literal("step-started"),
  time,
  partition: text,
  ...step,
});

/** An event of a run: a line of `--output=ndjson`, and of a journal. */
export const event = z.union([
  z.object({
    kind: z.enum(["note", "warning"]),
    time,
    text,
    nameserver: z.object({ from: text, to: text }).optional(),
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
        replicas: count,
        leaders: count,
        alive: count,
        loaded: maybe(count),
      }),
    ),
  }),
  plan,
  stepStarted,
  stepEnded,
  z.object({
    kind: z.literal("partition-ended"),
    time,
    partition: text,
    failure: text.optional(),
  }),
]);

const callCounts = z.object({ intents: count, done: count, failed: count });
const target = z.object({
  endpoint: text.optional(),
  db: text.optional(),
  table: text.optional(),
  tid: count.optional(),
  pid: count.optional(),
});
const cluster = z.object({ zkCluster: texts, zkRootPath: text });

const runRecord = z.object({
  kind: z.literal("run"),
  journalVersion: z.literal(1),
  id: text,
  time,
  host: text,
  pid: count,
  user: text,
  version: text,
  command: text,
  commandLine: texts,
  flags: z.record(z.string(), z.unknown()),
  cluster,
  resumes: text.optional(),
});

const intent = z.object({
  kind: z.literal("intent"),
  time,
  call: text,
  method: text,
  target,
  args: z.array(z.unknown()),
});

const outcome = z.object({
  kind: z.literal("outcome"),
  time,
  call: text,
  isOk: z.boolean(),
  error: text.optional(),
});

/** A line of a journal. */
export const journalLine = z.union([
  runRecord,
  intent,
  outcome,
  event,
  z.object({
    kind: z.literal("end"),
    time,
    result: text,
    exitCode: count,
    counts: callCounts,
    detail: text.optional(),
  }),
]);

/** A line of a log. Facts other than the message have their own fields. */
export const logLine = z
  .object({ time, level: z.enum(["error", "warn", "info", "debug"]), message: text })
  .catchall(z.unknown());

const runLine = {
  id: text,
  time: maybe(time),
  command: maybe(text),
  result: text,
  exitCode: maybe(count),
  durationMs: maybe(count),
  counts: maybe(callCounts),
  host: maybe(text),
  user: maybe(text),
  pid: maybe(count),
  cluster: maybe(cluster),
  source: z.enum(["journal", "zookeeper"]),
  notes: texts,
};

/** `history`; with `--id` there is `run` instead of `runs`. */
export const history = z.union([
  z.object({ schemaVersion: z.literal(1), runs: z.array(z.object(runLine)) }),
  z.object({
    schemaVersion: z.literal(1),
    run: z.object({
      ...runLine,
      version: maybe(text),
      commandLine: maybe(texts),
      flags: maybe(z.record(z.string(), z.unknown())),
      resumes: maybe(text),
      detail: maybe(text),
      journal: maybe(text),
      plan: z.array(plan).optional(),
      steps: z.array(z.union([stepEnded, stepStarted])).optional(),
      calls: z.array(z.object({ intent, outcome: outcome.optional() })).optional(),
    }),
  }),
]);
