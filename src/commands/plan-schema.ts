import type { PartitionId } from "../model/cluster-state.js";
import { PROBLEM_CODES, type Problem } from "../model/problem.js";
import type { StepKind } from "../model/step.js";
import type { Plan, PlannedPartition, PlannedStep } from "../planning/recovery-plan.js";
import type { SavedPlan } from "../planning/saved-plan.js";
import { type DocumentKind, digits, listOf, maybe, type Zod } from "../util/document.js";

/** Limit of a plan in bytes. A plan for all partitions of a cluster with 240,000 replicas has 230 MB. */
export const PLAN_BYTES_MAX = 256 * 2 ** 20;
/** Limit in bytes of a plan without its partitions: mainly the tablets, and the accepted losses. */
const REST_BYTES_MAX = 16 * 2 ** 20;
const DEPTH_MAX = 16;

/** The schema of one partition of a plan. */
export const PLAN_PARTITION: DocumentKind<PlannedPartition> = {
  maxBytes: 2 ** 20,
  maxDepth: DEPTH_MAX,
  schema: partitionSchema,
};

/** The schema of a plan of this format version. */
export const PLAN_BODY = {
  maxBytes: PLAN_BYTES_MAX,
  maxDepth: DEPTH_MAX,
  schema: (z: Zod) => {
    const text = z.string();
    const texts = listOf(z, text);
    const count = z.int().min(0);
    const facts = factsSchema(z);
    return z
      .object({
        id: text,
        command: text,
        words: texts,
        rootPath: text,
        method: maybe(z.enum(["direct", "documented"])),
        only: z.object({
          db: maybe(text),
          table: maybe(text),
          pids: maybe(z.array(count)),
          endpoint: maybe(text),
          isForced: z.boolean(),
        }),
        accept: listOf(z, z.object({ partition: text, leader: text })).transform(
          (all) => new Map(all.map((one) => [one.partition, one.leader])),
        ),
        lost: lostSchema(z).optional(),
        madeAt: text,
        basis: z.object({
          nameserver: text,
          tablets: texts,
          autoFailover: z.boolean(),
          partitions: count,
        }),
        partitions: listOf(z, partitionSchema(z)),
        others: listOf(z, stepSchema(z)),
        facts,
        notes: texts,
      })
      .transform(({ id, command, words, rootPath, ...rest }): SavedPlan => {
        const others = rest.others.map((step) => withId(step, undefined));
        const plan: Plan = { ...rest, others };
        return { id, command, words, rootPath, plan };
      });
  },
};

/** The schema of a plan without its partitions, which are parsed one by one. */
export const PLAN_REST = { ...PLAN_BODY, maxBytes: REST_BYTES_MAX };

/** The facts that a plan depends on, by name. */
function factsSchema(z: Zod) {
  return z
    .array(z.object({ fact: z.string(), value: z.string() }))
    .transform((all) => new Map(all.map(({ fact, value }) => [fact, value])));
}

function partitionSchema(z: Zod) {
  const text = z.string();
  const count = z.int().min(0);
  const maybeText = maybe(text);
  const problem = z
    .object({ code: z.enum(PROBLEM_CODES), endpoint: maybeText, text, candidate: maybeText })
    .transform(
      ({ candidate, ...one }): Problem => (candidate === undefined ? one : { ...one, candidate }),
    );
  const round = z.object({
    leader: maybeText,
    steps: z.array(stepSchema(z)),
    notes: listOf(z, text),
    blocked: maybe(problem),
  });
  return z
    .object({
      id: z.object({ db: text, table: text, tid: count, pid: count }),
      facts: factsSchema(z),
      problems: z.array(problem),
      rounds: z.array(round).min(1),
    })
    .transform(({ rounds, ...one }): PlannedPartition => {
      const [first, ...later] = rounds.map((each) => ({
        ...each,
        steps: each.steps.map((step) => withId(step, one.id)),
      }));
      // The schema requires at least one.
      if (first === undefined) throw new TypeError("a partition without rounds");
      return { ...one, first, rounds: [first, ...later] };
    });
}

/** The lost tablets and the accepted losses; see `Lost`. */
function lostSchema(z: Zod) {
  const number = digits(z);
  const losses = z.array(
    z.object({ partition: z.string(), atLeast: number, atMost: maybe(number) }),
  );
  return z.object({ tablets: z.array(z.string()), losses }).transform(({ tablets, losses }) => ({
    tablets: new Set(tablets),
    losses: new Map(losses.map(({ partition, ...loss }) => [partition, loss])),
  }));
}

/** A step in a file; its partition is named outside of it. */
type FileStep = { readonly kind: StepKind; readonly endpoint: string | undefined };

function withId({ endpoint, ...step }: FileStep, id: PartitionId | undefined): PlannedStep {
  const of = {
    ...(id === undefined ? {} : { id }),
    ...(endpoint === undefined ? {} : { endpoint }),
  };
  // The schema has validated all fields of this kind of step.
  return { ...step, ...of } as PlannedStep;
}

/** The schema of steps, by kind. */
function stepSchema(z: Zod) {
  const text = z.string();
  const endpoints = z.array(text);
  const flag = z.boolean();
  const number = digits(z);
  const role = z.enum(["leader", "follower"]);
  const endpoint = maybe(text);
  const step = <K extends StepKind, F extends Parameters<Zod["object"]>[0]>(kind: K, fields: F) =>
    z.object({ kind: z.literal(kind), endpoint, why: text, expects: text, ...fields });
  const plain = <K extends StepKind>(kind: K) => step(kind, {});
  return z.discriminatedUnion("kind", [
    plain("wait-ops"),
    plain("wait-load"),
    plain("wait-sync"),
    plain("load-follower"),
    plain("load-leader"),
    plain("change-role"),
    plain("replicate"),
    plain("recover-snapshot"),
    plain("add-replica"),
    plain("del-replica"),
    plain("offline-replica"),
    step("load-table", { role, least: number }),
    step("demote", { isDecided: flag }),
    step("promote", { followers: endpoints }),
    step("set-flags", { alive: endpoints, keepsFlag: endpoints.optional() }),
    step("mark-dead", { mayLead: flag }),
    step("mark-alive", { role, checks: z.enum(["nothing", "role", "health"]) }),
    step("mark-table", {
      db: text,
      table: text,
      tid: z.int(),
      pids: z.array(z.int()),
      isAlive: flag,
      isForced: flag,
    }),
    step("recover-table", {
      acceptsLoss: flag.optional(),
      isForced: flag.optional(),
      isWanted: flag.optional(),
      isCopy: flag.optional(),
      since: number.optional(),
    }),
    step("rejoin", {
      acceptsLoss: flag.optional(),
      since: number.optional(),
      wasLeader: flag.optional(),
    }),
    step("change-leader", {
      from: text.optional(),
      acceptsLoss: flag,
      offset: number.optional(),
      lastSeen: number.optional(),
    }),
    step("remove-from-record", { acceptsLoss: flag }),
    step("move-in-record", { to: text }),
    step("migrate", { to: text }),
    step("offline-endpoint", { concurrency: z.int().optional() }),
    step("recover-endpoint", { concurrency: z.int().optional() }),
    step("cancel-op", { op: number }),
    step("delete-op", {
      ops: z.union([
        z.object({ op: number }),
        z.object({
          status: z.enum(["inited", "doing", "done", "failed", "canceled", "other"]),
          upTo: number,
        }),
      ]),
    }),
  ]);
}
