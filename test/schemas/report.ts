import { z } from "zod";
import { count, maybe, text, texts, time } from "./parts.js";

const verdict = z.object({
  result: z.enum(["ok", "left", "failed"]),
  word: text,
  exitCode: maybe(count),
  headline: text,
  detail: text,
});

const run = z.object({
  id: maybe(text),
  began: time,
  ended: maybe(time),
  tookMs: maybe(count),
  timeZone: text,
  beganLocal: text,
  host: text,
  user: text,
  version: text,
  commandLine: text,
  cluster: text,
  nameserver: z.object({ before: maybe(text), after: maybe(text) }),
  calls: maybe(count),
  changes: maybe(count),
});

const counts = maybe(
  z.object({
    tablets: count,
    tables: count,
    partitions: count,
    replicas: count,
    healthy: count,
    recovered: count,
    unhealthy: count,
    needsDecision: count,
    serving: count,
  }),
);

const autoFailover = maybe(
  z.object({
    before: z.boolean(),
    after: maybe(z.boolean()),
    notRestored: maybe(text),
    restoreCommand: maybe(text),
  }),
);

const left = z.array(
  z.object({
    ways: z.array(z.object({ what: text, command: maybe(text), partitions: count })),
  }),
);

const told = z.array(z.object({ partition: text, text }));
const tabletCounts = maybe(
  z.object({ replicas: count, leaders: count, alive: count, loaded: maybe(count) }),
);

/** The content of the file of `--report=FILE.json`. */
export const report = z.object({
  schemaVersion: z.literal(1),
  kind: z.literal("report"),
  command: text,
  verdict,
  run,
  counts,
  autoFailover,
  left,
  givenUp: told,
  rebuilt: told,
  atRisk: told,
  tablets: z.array(
    z.object({
      endpoint: text,
      health: text,
      detail: text,
      before: tabletCounts,
      after: tabletCounts,
    }),
  ),
  partitions: z.array(
    z.object({
      partition: text,
      status: text,
      serving: maybe(z.boolean()),
      leader: maybe(text),
      was: texts,
      done: texts,
      tookMs: maybe(count),
      problems: z.array(z.object({ code: text, endpoint: maybe(text), text })),
      failure: maybe(text),
      notes: texts,
      evidence: texts,
      next: maybe(text),
    }),
  ),
  findings: z.array(z.object({ level: text, code: text, subject: text, text, effect: text })),
  timeline: z.object({
    spanMs: count,
    marks: z.array(
      z.object({
        lane: text,
        kind: z.enum(["load", "replication", "leader", "mark", "op", "note", "warning"]),
        fromMs: count,
        toMs: count,
        isFailed: z.boolean(),
        text,
      }),
    ),
  }),
  log: z.array(z.object({ atMs: count, level: z.enum(["note", "warning"]), text })),
  parameters: z.array(z.object({ name: text, value: text })),
});

/** The standard input of the command of `--post_hook`. */
export const runEnded = z.object({
  schemaVersion: z.literal(1),
  kind: z.literal("run-ended"),
  command: text,
  verdict,
  run,
  counts,
  autoFailover,
  left,
  givenUp: count,
  atRisk: count,
  report: maybe(text),
});
