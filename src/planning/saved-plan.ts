import type { Selection } from "../diagnosis/selection.js";
import { OpsError } from "../errors.js";
import type { Problem } from "../model/problem.js";
import { jsonPieces, lazyList } from "../util/text.js";
import { eachInTurns } from "../util/yielding.js";
import type { PlannedPartition, PlannedRound, PlannedStep, RecoveryPlan } from "./recovery-plan.js";

/** Version of the file format. A reader refuses every other one. */
const PLAN_FORMAT_VERSION = 1;

const KIND = "openmldb-ops plan";

/** Begins a digest of text that comes in pieces: equal for equal text, and for no other in practice. */
export type NewDigest = () => {
  update(text: string): unknown;
  /** Hexadecimal digits, sixteen at least. */
  digest(encoding: "hex"): string;
};

/** Enough to notice a change, short enough to be named. */
const ID_DIGITS = 16;

/** A plan with what tells it from others. */
export interface SavedPlan {
  /** Comes from the content: the same plan of the same moment has the same id. */
  readonly id: string;
  /** `zk_root_path` of the cluster. */
  readonly rootPath: string;
  readonly plan: RecoveryPlan;
}

/** Names a plan; lets other work run in between. */
export async function savedPlan(
  plan: RecoveryPlan,
  rootPath: string,
  newDigest: NewDigest,
): Promise<SavedPlan> {
  const digest = newDigest();
  await eachInTurns(jsonPieces(contentOf(plan, rootPath)), (piece) => digest.update(piece));
  return { id: digest.digest("hex").slice(0, ID_DIGITS), rootPath, plan };
}

/** The plan as data for `jsonPieces`. Times are ISO 8601 in UTC; what is undefined becomes null. */
export function planDocument({ plan, rootPath, id }: SavedPlan) {
  return { kind: KIND, formatVersion: PLAN_FORMAT_VERSION, id, ...contentOf(plan, rootPath) };
}

function contentOf(plan: RecoveryPlan, rootPath: string) {
  return {
    rootPath,
    method: plan.method,
    only: {
      db: plan.only.db ?? null,
      table: plan.only.table ?? null,
      pids: plan.only.pids ?? null,
      endpoint: plan.only.endpoint ?? null,
      isForced: plan.only.isForced === true,
    },
    accept: [...plan.accept].map(([partition, leader]) => ({ partition, leader })),
    madeAt: plan.madeAt,
    basis: plan.basis,
    partitions: lazyList(plan.partitions, (one) => ({
      id: one.id,
      problems: one.problems.map(problemData),
      rounds: one.rounds.map(roundData),
      facts: Object.entries(one.facts).map(([fact, value]) => ({ fact, value })),
    })),
  };
}

function roundData(round: PlannedRound) {
  return {
    leader: round.leader ?? null,
    steps: round.steps.map(stepData),
    notes: round.notes,
    blocked: round.blocked === undefined ? null : problemData(round.blocked),
  };
}

/** The partition is named once for all steps; 64-bit numbers are decimal digits. */
function stepData({ id: _id, ...step }: PlannedStep) {
  return Object.fromEntries(
    Object.entries({ ...step, endpoint: step.endpoint ?? null }).map(([name, value]) => [
      name,
      typeof value === "bigint" ? String(value) : value,
    ]),
  );
}

function problemData(problem: Problem) {
  const { code, endpoint, text, candidate } = problem;
  return { code, endpoint: endpoint ?? null, text, candidate: candidate ?? null };
}

/**
 * Reads a plan back.
 *
 * @param text The content of a file, of any origin.
 * @param newDigest The one that {@link savedPlan} was given.
 * @throws OpsError `usage` if it is no plan, one of another version, or one that was edited.
 */
export function parsePlan(text: string, newDigest: NewDigest): SavedPlan {
  const document = read(() => record(JSON.parse(text), "the file"));
  if (document["kind"] !== KIND) throw noPlan("it does not say that it is one");
  const version = document["formatVersion"];
  if (version !== PLAN_FORMAT_VERSION) {
    throw new OpsError({
      code: "usage",
      message: `the plan has format version ${String(version)}, and this openmldb-ops reads version ${PLAN_FORMAT_VERSION} only`,
      hint: "make the plan again with this version",
    });
  }
  const { kind: _kind, formatVersion: _version, id, ...content } = document;
  const digest = newDigest();
  for (const piece of jsonPieces(content)) digest.update(piece);
  if (id !== digest.digest("hex").slice(0, ID_DIGITS)) {
    throw new OpsError({
      code: "usage",
      message: "the plan was changed after it was made",
      hint: "make a new plan instead of editing one",
    });
  }
  return read(() => ({
    id: word(id, "id"),
    rootPath: word(content["rootPath"], "rootPath"),
    plan: planOf(content),
  }));
}

function planOf(content: Record<string, unknown>): RecoveryPlan {
  const basis = record(content["basis"], "basis");
  const method = word(content["method"], "method");
  if (method !== "direct" && method !== "documented") throw new Error(`method ${method}`);
  return {
    method,
    only: selectionOf(record(content["only"], "only")),
    accept: new Map(
      list(content["accept"], "accept").map((one) => {
        const { partition, leader } = record(one, "accept");
        return [word(partition, "partition"), word(leader, "leader")];
      }),
    ),
    madeAt: word(content["madeAt"], "madeAt"),
    basis: {
      nameserver: word(basis["nameserver"], "nameserver"),
      tablets: words(basis["tablets"], "tablets"),
      autoFailover: basis["autoFailover"] === true,
      partitions: count(basis["partitions"], "partitions"),
    },
    partitions: list(content["partitions"], "partitions").map(partitionOf),
  };
}

function selectionOf(only: Record<string, unknown>): Selection {
  const pids = only["pids"];
  return {
    db: wordOrNone(only["db"], "db"),
    table: wordOrNone(only["table"], "table"),
    pids: pids === null ? undefined : list(pids, "pids").map((pid) => count(pid, "pid")),
    endpoint: wordOrNone(only["endpoint"], "endpoint"),
    isForced: only["isForced"] === true,
  };
}

function partitionOf(data: unknown): PlannedPartition {
  const one = record(data, "partition");
  const id = record(one["id"], "id");
  const [first, ...later] = list(one["rounds"], "rounds").map(roundOf);
  if (first === undefined) throw new Error("a partition without rounds");
  return {
    id: {
      db: word(id["db"], "db"),
      table: word(id["table"], "table"),
      tid: count(id["tid"], "tid"),
      pid: count(id["pid"], "pid"),
    },
    problems: list(one["problems"], "problems").map(problemOf),
    first,
    rounds: [first, ...later],
    facts: Object.fromEntries(
      list(one["facts"], "facts").map((data) => {
        const { fact, value } = record(data, "fact");
        return [word(fact, "fact"), word(value, "value")];
      }),
    ),
  };
}

function roundOf(data: unknown): PlannedRound {
  const round = record(data, "round");
  return {
    leader: wordOrNone(round["leader"], "leader"),
    steps: list(round["steps"], "steps").map((step) => stepOf(step)),
    notes: words(round["notes"], "notes"),
    blocked: round["blocked"] === null ? undefined : problemOf(round["blocked"]),
  };
}

/** Steps of a file are shown and compared, never run: the planner has to come to the same. */
function stepOf(data: unknown): PlannedStep {
  const { endpoint, ...step } = record(data, "step");
  word(step["kind"], "kind");
  word(step["why"], "why");
  word(step["expects"], "expects");
  const at = wordOrNone(endpoint, "endpoint");
  return { ...step, ...(at === undefined ? {} : { endpoint: at }) } as unknown as PlannedStep;
}

function problemOf(data: unknown): Problem {
  const problem = record(data, "problem");
  const candidate = wordOrNone(problem["candidate"], "candidate");
  return {
    code: word(problem["code"], "code") as Problem["code"],
    endpoint: wordOrNone(problem["endpoint"], "endpoint"),
    text: word(problem["text"], "text"),
    ...(candidate === undefined ? {} : { candidate }),
  };
}

/** Turns whatever reading stumbles over into one sentence. */
function read<T>(reading: () => T): T {
  try {
    return reading();
  } catch (thrown) {
    if (thrown instanceof OpsError) throw thrown;
    throw noPlan(thrown instanceof SyntaxError ? "it is not JSON" : (thrown as Error).message);
  }
}

function noPlan(why: string): OpsError {
  return new OpsError({
    code: "usage",
    message: `this is no plan of openmldb-ops: ${why}`,
    hint: "name a file that --plan_out has written",
  });
}

function record(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Error(`${name} is no object`);
}

function list(value: unknown, name: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new Error(`${name} is no list`);
}

function word(value: unknown, name: string): string {
  if (typeof value === "string") return value;
  throw new Error(`${name} is no text`);
}

function words(value: unknown, name: string): string[] {
  return list(value, name).map((one) => word(one, name));
}

function wordOrNone(value: unknown, name: string): string | undefined {
  return value === null ? undefined : word(value, name);
}

function count(value: unknown, name: string): number {
  if (Number.isSafeInteger(value)) return value as number;
  throw new Error(`${name} is no whole number`);
}
