import { z } from "zod";
import { count, decimal, head, maybe, role, storageMode, text, texts, time } from "./parts.js";

/** `confget`. */
export const confGet = z.object({
  schemaVersion: z.literal(1),
  conf: z.record(z.string(), text),
});

/** `showns`. */
export const showNs = z.object({
  ...head,
  command: z.literal("showns"),
  nameservers: z.array(
    z.object({
      endpoint: text,
      realEndpoint: maybe(text),
      role: z.enum(["leader", "standby"]),
    }),
  ),
});

/** `showtablet`. */
export const showTablet = z.object({
  ...head,
  command: z.literal("showtablet"),
  tablets: z.array(
    z.object({
      endpoint: text,
      realEndpoint: maybe(text),
      state: text,
      healthy: z.boolean(),
      ageMs: decimal,
    }),
  ),
});

/** `showdb`. */
export const showDb = z.object({
  ...head,
  command: z.literal("showdb"),
  databases: z.array(
    z.object({ name: text, system: z.boolean(), tables: count, partitions: count }),
  ),
});

/** `showtable`. */
export const showTable = z.object({
  ...head,
  command: z.literal("showtable"),
  tables: z.array(
    z.object({
      db: text,
      table: text,
      tid: count,
      storageMode,
      compressType: text,
      replicaCount: count,
      partitions: z.array(
        z.object({
          pid: count,
          terms: z.array(z.object({ term: decimal, offset: decimal })),
          replicas: z.array(
            z.object({
              endpoint: text,
              role,
              alive: z.boolean(),
              offset: maybe(decimal),
              rows: maybe(decimal),
              memoryBytes: maybe(decimal),
              diskBytes: decimal,
            }),
          ),
        }),
      ),
    }),
  ),
});

/** `showtablestatus`. */
export const showTableStatus = z.object({
  ...head,
  command: z.literal("showtablestatus"),
  tables: z.array(
    z.object({
      tid: count,
      table: text,
      db: text,
      storageMode,
      rows: decimal,
      memoryBytes: decimal,
      diskBytes: decimal,
      partitions: count,
      partitionUnalive: count,
      replicas: count,
      warnings: texts,
    }),
  ),
});

/** `showopstatus`. */
export const showOpStatus = z.object({
  ...head,
  command: z.literal("showopstatus"),
  ops: z.array(
    z.object({
      opId: decimal,
      opType: text,
      db: text,
      table: text,
      pid: maybe(count),
      status: text,
      startTime: maybe(time),
      endTime: maybe(time),
      tookMs: maybe(decimal),
      task: maybe(text),
    }),
  ),
});

/** `gettablestatus`. */
export const getTableStatus = z.object({
  ...head,
  command: z.literal("gettablestatus"),
  endpoint: text,
  replicas: z.array(
    z.object({
      tid: count,
      pid: count,
      db: maybe(text),
      table: maybe(text),
      role: maybe(role),
      state: text,
      offset: decimal,
      rows: decimal,
      memoryBytes: decimal,
      indexBytes: decimal,
      diskBytes: decimal,
    }),
  ),
});

/** `getfollower`. */
export const getFollower = z.object({
  ...head,
  command: z.literal("getfollower"),
  endpoint: text,
  tid: count,
  pid: count,
  leaderOffset: decimal,
  followers: z.array(z.object({ endpoint: text, offset: decimal, lag: decimal })),
});
