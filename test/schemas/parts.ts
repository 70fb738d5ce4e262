import { z } from "zod";

/** A count, or milliseconds. */
export const count = z.int().min(0);
/** A number of 64 bits, such as an offset, a term or an op id: decimal digits, so that no reader rounds it. */
export const decimal = z.string().regex(/^\d{1,20}$/);
/** ISO 8601 in UTC. */
export const time = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
export const text = z.string();
export const maybe = <T extends z.ZodType>(schema: T) => z.union([schema, z.null()]);
export const texts = z.array(text);

/** The first fields of every result; fields may be added within a version. */
export const head = { schemaVersion: z.literal(1), command: text, exitCode: count };

/** A partition. */
export const partitionId = { db: text, table: text, tid: count, pid: count };

export const problem = z.object({ code: text, endpoint: maybe(text), text });
export const storageMode = z.enum(["memory", "ssd", "hdd", "unknown"]);
export const role = z.enum(["leader", "follower"]);

/** The reason why a tablet is absent, with the evidence; null if it is present. */
export const absence = maybe(z.object({ state: text }).catchall(z.unknown()));

/** A run of this tool, as lock and marker name it. */
export const owner = z.object({
  runId: text,
  host: text,
  pid: count,
  user: text,
  command: text,
  time,
});
