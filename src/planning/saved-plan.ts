import type { Lost } from "../model/loss.js";
import type { Problem } from "../model/problem.js";
import { each, type Work } from "../model/work.js";
import { jsonPieces, lazyList } from "../util/text.js";
import type { Plan, PlannedRound, PlannedStep } from "./recovery-plan.js";

/** Version of the file format. A reader refuses every other one. */
export const PLAN_FORMAT_VERSION = 2;
/** What every plan says that it is. */
export const PLAN_KIND = "openmldb-ops plan";

/** Begins a digest of text that comes in pieces: equal for equal text, and for no other in practice. */
export type NewDigest = () => {
  update(text: string): unknown;
  /** Hexadecimal digits, sixteen at least. */
  digest(encoding: "hex"): string;
};

/** Enough to notice a change, short enough to be named. */
const ID_DIGITS = 16;

/** Which command made a plan, on which cluster. */
export interface PlanMaker {
  readonly command: string;
  /** The command with its arguments, to be typed again. */
  readonly words: readonly string[];
  /** `zk_root_path` of the cluster. */
  readonly rootPath: string;
}

/** A plan with what tells it from others. */
export interface SavedPlan extends PlanMaker {
  /** Comes from the content: the same plan of the same moment has the same id. */
  readonly id: string;
  readonly plan: Plan;
}

/** Names a plan; may rest between its pieces. */
export function* savedPlan(
  plan: Plan,
  { command, words, rootPath }: PlanMaker,
  newDigest: NewDigest,
): Work<SavedPlan> {
  const made = { command, words, rootPath, plan };
  const digest = newDigest();
  yield* each(jsonPieces(contentOf(made)), (piece) => digest.update(piece));
  return { id: shortId(digest), ...made };
}

/**
 * The id of content that is read back.
 *
 * @param pieces As {@link planDocument} has it behind the id, as JSON without white space, cut anywhere.
 */
export function idOf(pieces: Iterable<string>, newDigest: NewDigest): string {
  const digest = newDigest();
  for (const piece of pieces) digest.update(piece);
  return shortId(digest);
}

function shortId(digest: ReturnType<NewDigest>): string {
  return digest.digest("hex").slice(0, ID_DIGITS);
}

/** The plan as data for `jsonPieces`. Times are ISO 8601 in UTC; what is undefined becomes null. */
export function planDocument(saved: SavedPlan) {
  return {
    kind: PLAN_KIND,
    formatVersion: PLAN_FORMAT_VERSION,
    id: saved.id,
    ...contentOf(saved),
  };
}

function contentOf({ command, words, rootPath, plan }: Omit<SavedPlan, "id">) {
  return {
    command,
    words,
    rootPath,
    method: plan.method ?? null,
    only: {
      db: plan.only.db ?? null,
      table: plan.only.table ?? null,
      pids: plan.only.pids ?? null,
      endpoint: plan.only.endpoint ?? null,
      isForced: plan.only.isForced === true,
    },
    accept: [...plan.accept].map(([partition, leader]) => ({ partition, leader })),
    ...(plan.lost === undefined ? {} : { lost: lostData(plan.lost) }),
    madeAt: plan.madeAt,
    basis: plan.basis,
    partitions: lazyList(plan.partitions, (one) => ({
      id: one.id,
      problems: one.problems.map(problemData),
      rounds: one.rounds.map(roundData),
      facts: factsData(one.facts),
    })),
    others: plan.others.map(stepData),
    facts: factsData(plan.facts),
    notes: plan.notes,
  };
}

function lostData({ tablets, losses }: Lost) {
  return {
    tablets: [...tablets],
    losses: [...losses].map(([partition, { atLeast, atMost }]) => ({
      partition,
      atLeast: String(atLeast),
      atMost: atMost === undefined ? null : String(atMost),
    })),
  };
}

function factsData(facts: Plan["facts"]) {
  return Object.entries(facts).map(([fact, value]) => ({ fact, value }));
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
  return plain({ ...step, endpoint: step.endpoint ?? null });
}

function plain(fields: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]): [string, unknown][] => {
      if (value === undefined) return [];
      if (typeof value === "bigint") return [[name, String(value)]];
      const isGroup = typeof value === "object" && value !== null && !Array.isArray(value);
      return [[name, isGroup ? plain(value) : value]];
    }),
  );
}

function problemData(problem: Problem) {
  const { code, endpoint, text, candidate } = problem;
  return { code, endpoint: endpoint ?? null, text, candidate: candidate ?? null };
}
