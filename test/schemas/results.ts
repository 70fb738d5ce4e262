import { z } from "zod";
import {
  absence,
  count,
  decimal,
  head,
  maybe,
  owner,
  partitionId,
  problem,
  role,
  text,
  texts,
  time,
} from "./parts.js";

const counts = {
  tablets: count,
  tables: count,
  partitions: count,
  replicas: count,
  healthy: count,
  unhealthy: count,
  serving: count,
};

const evidence = z.object({
  endpoint: text,
  wasLeader: z.boolean(),
  wasAlive: z.boolean(),
  offset: z.object({
    loaded: maybe(decimal),
    nameserver: maybe(decimal),
    earlierRun: maybe(decimal),
  }),
  snapshot: maybe(z.object({ term: decimal, offset: decimal })),
  records: z.object({ loaded: maybe(decimal), nameserver: maybe(decimal) }),
});

/** The result of comparing rows, for `verify --deep` and `recoverdata --deep`. */
const rows = z.object({
  counts: z.object({
    partitions: count,
    same: count,
    different: count,
    notComparable: count,
    single: count,
  }),
  sample: maybe(z.union([z.object({ rows: count }), z.object({ percent: z.number() })])),
  resumed: count,
  rowsCompared: count,
  rowsExpired: count,
  bytesRead: count,
  tookMs: count,
  different: z.array(
    z.object({
      ...partitionId,
      leader: maybe(text),
      followers: texts,
      differences: z.array(
        z.object({
          index: maybe(text),
          groups: z.array(
            z.object({
              have: texts,
              lack: texts,
              moreOften: z.boolean(),
              rows: count,
              keys: z.array(z.object({ hash: text, key: maybe(text), ts: decimal })),
            }),
          ),
        }),
      ),
      reasons: texts,
      next: maybe(text),
    }),
  ),
  notWalked: z.array(z.object({ ...partitionId, indexes: texts })),
  notComparable: z.array(z.object({ ...partitionId, reasons: texts })),
});

/** `recoverdata` and `recovertable`. */
export const recovery = z.object({
  ...head,
  command: z.enum(["recoverdata", "recovertable"]),
  healthy: z.boolean(),
  nameserver: text,
  counts: z.object({ ...counts, recovered: count, needsDecision: count }),
  autoFailover: z.object({
    before: z.boolean(),
    after: maybe(z.boolean()),
    notRestored: maybe(text),
    leftOff: z.literal(true).optional(),
  }),
  lost: z.object({ tablets: texts, shortPartitions: count, addMissing: text }).optional(),
  changes: count,
  calls: count,
  tookMs: count,
  sickTablets: z.array(z.object({ endpoint: text, reason: text, absence })),
  partitions: z.array(
    z.object({
      ...partitionId,
      status: z.enum(["healthy", "recovered", "unhealthy", "needs-decision"]),
      serving: z.boolean(),
      leader: maybe(text),
      problems: z.array(problem),
      failure: maybe(z.object({ step: text, endpoint: maybe(text), detail: text })),
      notes: texts,
      evidence: z.array(evidence),
      next: maybe(text),
    }),
  ),
  rows: rows.optional(),
});

const error = z.object({
  code: text,
  message: text,
  hint: text.optional(),
  details: texts.optional(),
});

/** `config show`. */
export const config = z.object({
  ...head,
  command: z.literal("config"),
  settings: z.array(z.object({ name: text, value: maybe(text), source: text })),
});

/** The line that `sandbox --output=json` prints when it is ready. */
export const sandboxReady = z.object({
  zk_cluster: text,
  zk_root_path: text,
  nameservers: texts,
  tablets: texts,
});

const rowsOfPartition = z.object({
  ...partitionId,
  acknowledged: count,
  leader: text.optional(),
  served: count.optional(),
  lost: count,
  replicas: z.array(
    z.object({
      ...{ endpoint: text, isLoaded: z.boolean(), role: role.optional() },
      ...{ held: count, acknowledged: count, counted: count.optional() },
    }),
  ),
});

/** The answer of the sandbox's console to one line, where its input is not a terminal. */
export const sandboxAnswer = z.union([
  z.object({ error: text }),
  z.object({ ok: z.literal(true), name: text.optional(), address: text.optional() }),
  z.object({
    accepted: count,
    refused: z.array(
      z.object({
        ...{ db: text, table: text, pid: count, accepted: count },
        ...{ leader: text.optional(), refused: text },
      }),
    ),
  }),
  z.object({
    ...{ acknowledged: count, served: count, lost: count },
    partitions: z.array(rowsOfPartition),
  }),
  z.object({ healthy: z.boolean(), complaints: texts }),
  z.object({
    servers: z.array(
      z.object({
        ...{ name: text, endpoint: text, address: text, state: text },
        ...{ loaded: count.optional(), stored: count.optional() },
      }),
    ),
  }),
  z.object({ commands: texts }),
]);

/** A command that ended with an error, or a recovery that ended early after it had changed something. */
export const failure = z.object({
  schemaVersion: z.literal(1),
  command: text.optional(),
  time: time.optional(),
  exitCode: count,
  healthy: z.literal(false).optional(),
  error: z.object({ ...error.shape, hint: maybe(text).optional() }),
  autoFailover: z.object({ notRestored: maybe(text), restoreCommand: maybe(text) }).optional(),
});

const inspectCounts = z.object({
  ...counts,
  nameservers: count,
  errors: count,
  warnings: count,
  notes: count,
});

const replica = z.object({
  endpoint: text,
  nameserver: z.object({
    role,
    alive: z.boolean(),
    offset: maybe(decimal),
    records: maybe(decimal),
  }),
  tablet: z.object({
    health: z.enum(["ok", "offline", "silent"]),
    detail: maybe(text),
    absence,
    loaded: z.boolean(),
    role: maybe(role),
    state: maybe(text),
    offset: maybe(decimal),
    records: maybe(decimal),
  }),
  zooKeeper: z.object({
    registered: z.boolean(),
    role: maybe(role),
    alive: maybe(z.boolean()),
  }),
  disagrees: z.boolean(),
});

/** `inspect`; with `--watch` one document a line. */
export const inspect = z.object({
  ...head,
  command: z.literal("inspect"),
  time,
  healthy: z.boolean(),
  scope: z.object({ db: maybe(text), table: maybe(text) }),
  counts: inspectCounts,
  zooKeeper: z.array(z.object({ host: text, answers: z.boolean(), silence: maybe(text) })),
  nameservers: z.array(
    z.object({
      endpoint: text,
      role: z.enum(["leader", "standby"]),
      answers: z.boolean(),
      silence: maybe(text),
    }),
  ),
  tablets: z.array(
    z.object({
      endpoint: text,
      health: z.enum(["ok", "offline", "silent"]),
      detail: maybe(text),
      absence,
      state: maybe(text),
      ageMs: maybe(decimal),
      registered: z.boolean(),
      firstSession: z.boolean(),
      replicas: count,
      loaded: maybe(count),
      leaders: count,
    }),
  ),
  autoFailover: z.boolean(),
  lock: maybe(z.object({ owner: maybe(owner) })),
  marker: maybe(z.object({ owner: maybe(owner), original: maybe(z.boolean()) })),
  findings: z.array(
    z.object({
      code: text,
      level: z.enum(["error", "warning", "note"]),
      subject: z.object({
        kind: z.enum(["cluster", "zookeeper", "nameserver", "tablet", "table", "partition"]),
        host: text.optional(),
        endpoint: text.optional(),
        db: text.optional(),
        table: text.optional(),
        tid: count.optional(),
        pid: count.optional(),
      }),
      text,
      effect: text,
      next: maybe(text),
    }),
  ),
  partitions: z.array(
    z.object({
      ...partitionId,
      grade: z.enum(["down", "at-risk", "one-left", "degraded", "untidy"]),
      serving: z.boolean(),
      leader: maybe(text),
      problems: z.array(problem),
      effect: text,
      replicas: z.array(replica),
      ops: z.array(
        z.object({
          id: decimal,
          type: text,
          status: text,
          task: text,
          startTime: decimal,
          endTime: decimal,
        }),
      ),
      next: text,
    }),
  ),
  calls: count,
  tookMs: count,
});

/** `verify`. */
export const verify = z.object({
  ...head,
  command: z.literal("verify"),
  time,
  healthy: z.boolean(),
  counts: inspectCounts,
  errors: texts,
  rows: rows.optional(),
});

/** `changeleader`, `migrate`, `scaleout` and all other commands that carry out a plan of actions. */
export const operation = z.object({
  ...head,
  actions: z.array(
    z
      .object({
        verb: text,
        db: text.optional(),
        table: text.optional(),
        tid: z.union([count, text]).optional(),
        pid: count.optional(),
        endpoint: text.optional(),
        to: text.optional(),
        why: text,
        result: z.enum(["done", "already-done", "stale", "failed", "not-done"]),
        detail: text,
      })
      // Further fields of a step, such as an op's id.
      .catchall(z.unknown()),
  ),
  planned: count,
  notes: texts,
  conclusions: texts,
  complaints: texts,
  autoFailoverNotRestored: maybe(text),
  error: maybe(text),
});

/** `confset`, and with `--dry_run`. */
export const confSet = z.object({
  schemaVersion: z.literal(1),
  dryRun: z.literal(true).optional(),
  key: text,
  before: maybe(text).optional(),
  after: maybe(text).optional(),
  changed: z.boolean().optional(),
  wanted: text.optional(),
  exitCode: count,
});

/** `restore`, and with `--dry_run`. */
export const restore = z.object({
  ...head,
  command: z.literal("restore"),
  dryRun: z.literal(true).optional(),
  result: z.enum(["none", "restored", "unreadable", "failed"]).optional(),
  wanted: maybe(z.boolean()).optional(),
  leftBy: maybe(owner),
});
