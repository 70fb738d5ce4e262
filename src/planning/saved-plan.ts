import type { Lost } from "../model/loss.js";
import type { Problem } from "../model/problem.js";
import { each, type Work } from "../model/work.js";
import { jsonPieces, lazyList } from "../util/text.js";
import type { Plan, PlannedRound, PlannedStep } from "./recovery-plan.js";

/** Version of the file format. A reader refuses every other one. */
export const PLAN_FORMAT_VERSION = 2;
/** The `kind` of every saved plan. */
export const PLAN_KIND = "openmldb-ops plan";

/** Creates a digest of text that is given in pieces, such as SHA-256. */
export type NewDigest = () => {
  update(text: string): unknown;
  /** Returns at least sixteen hexadecimal digits. */
  digest(encoding: "hex"): string;
};

/** Enough digits to detect a change, few enough to be typed. */
const ID_DIGITS = 16;

/** The command that made a plan, and the cluster. */
export interface PlanMaker {
  readonly command: string;
  /** The command with its arguments, as typed. */
  readonly words: readonly string[];
  /** `zk_root_path` of the cluster. */
  readonly rootPath: string;
}

/** A plan with its identity. */
export interface SavedPlan extends PlanMaker {
  /** A digest of the content: equal plans of the same moment have the same id. */
  readonly id: string;
  readonly plan: Plan;
}

/** Computes the id of a plan; may yield between pieces. */
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
 * Computes the id of a plan that is read back.
 *
 * @param pieces The JSON of {@link planDocument} after the id, without white space, in pieces of any
 *   size.
 */
export function idOf(pieces: Iterable<string>, newDigest: NewDigest): string {
  const digest = newDigest();
  for (const piece of pieces) digest.update(piece);
  return shortId(digest);
}

function shortId(digest: ReturnType<NewDigest>): string {
  return digest.digest("hex").slice(0, ID_DIGITS);
}

/**
 * The plan as data for `jsonPieces`, which writes 64-bit numbers as decimal digits. Times are ISO 8601 in UTC; undefined
 * becomes null.
 */
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
      atLeast,
      atMost: atMost ?? null,
    })),
  };
}

function factsData(facts: Plan["facts"]) {
  return Array.from(facts, ([fact, value]) => ({ fact, value }));
}

function roundData(round: PlannedRound) {
  return {
    leader: round.leader ?? null,
    steps: round.steps.map(stepData),
    notes: round.notes,
    blocked: round.blocked === undefined ? null : problemData(round.blocked),
  };
}

/** A step without its partition, which is named once for all steps. */
function stepData({ id: _id, ...step }: PlannedStep) {
  return { ...step, endpoint: step.endpoint ?? null };
}

function problemData(problem: Problem) {
  const { code, endpoint, text, candidate } = problem;
  return { code, endpoint: endpoint ?? null, text, candidate: candidate ?? null };
}
