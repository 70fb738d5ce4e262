import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import type { PlanFlags } from "../cli/common-specs.js";
import { codeOf, messageOf, OpsError, usageError } from "../errors.js";
import { idOf, PLAN_FORMAT_VERSION, type SavedPlan } from "../planning/saved-plan.js";
import { type Checked, checkDocument, checkItems, compactJson } from "../util/document.js";
import { jsonPieces, safe } from "../util/text.js";
import { readUserFile } from "../util/user-file.js";
import { PLAN_BODY, PLAN_BYTES_MAX, PLAN_PARTITION, PLAN_REST } from "./plan-schema.js";
import { ended, writeNewFile } from "./write.js";

/** The beginning of a plan of any version, without white space; the id is the digest of everything after it. */
const BEGIN =
  /^\{"kind":"openmldb-ops plan","formatVersion":(\d{1,9}),(?:"id":"([0-9a-f]{1,64})",)?/;
/** The beginning of an operation's plan of format version 1. */
const BEGIN_OF_OLD = /^\{[^{}[\]]{0,100}"kind":"operation-plan"/;
const BEGIN_CHARS = 200;

/** A larger plan must be in lines, as `--plan_out` writes it, because parsing it as a whole takes long. */
const RELAID_CHARS_MAX = 32 * 2 ** 20;

/** Creates the digest that a plan's id is made of. */
export function planDigest() {
  return createHash("sha256");
}

/** True if only a plan is requested, so that nothing may be changed. */
export function isPlanOnly(flags: Pick<PlanFlags, "dryRun" | "planOut">): boolean {
  return flags.dryRun || flags.planOut !== undefined;
}

/**
 * Checks the combination of plan flags, and reads the plan to apply. Accesses files only.
 *
 * @param command The command that applies it.
 * @returns The plan of `--apply`; undefined without it.
 * @throws OpsError `usage`.
 */
export function readGivenPlan(
  flags: Omit<PlanFlags, "method"> & { readonly zkRootPath: string },
  command: string,
): SavedPlan | undefined {
  const { planOut, apply } = flags;
  if (flags.detailedExitcode && !isPlanOnly(flags)) {
    throw usageError("--detailed_exitcode needs --dry_run", "give --dry_run too");
  }
  if (planOut !== undefined && apply !== undefined) {
    throw usageError("--plan_out and --apply cannot be combined", "give one of them");
  }
  if (planOut !== undefined && existsSync(planOut)) throw planExists(planOut);
  if (apply === undefined) return undefined;
  const where = `--apply=${safe(apply)}`;
  const saved = parsePlan(readUserFile(apply, { where, maxBytes: PLAN_BYTES_MAX }), where);
  if (saved.command !== command) {
    throw usageError(
      `the plan in ${safe(apply)} was made by ${safe(saved.command)}, not by ${command}`,
      "give --apply to the command that made the plan, with the same arguments",
    );
  }
  if (saved.rootPath !== flags.zkRootPath) {
    throw usageError(
      `the plan in ${safe(apply)} was made for the cluster at ${safe(saved.rootPath)}, not for ${flags.zkRootPath}`,
    );
  }
  return saved;
}

/**
 * Parses a saved plan.
 *
 * @param text The content of an untrusted file.
 * @param where The prefix of every error message.
 * @throws OpsError `usage` if it is not a plan, has another format version, or was edited.
 */
export function parsePlan(text: string, where: string): SavedPlan {
  // An edited or truncated plan is detected by its digest, without parsing it.
  const lines = planLines(text);
  if (lines === undefined && text.length > RELAID_CHARS_MAX)
    throw noPlan(where, `it is longer than ${RELAID_CHARS_MAX} characters, and not in lines`);
  const [begin = "", ...more] = lines === undefined ? [compactJson(text)] : compactLines(lines);
  const start = begin.slice(0, BEGIN_CHARS);
  const [head, formatVersion, id] = BEGIN.exec(start) ?? [];
  const isOld = BEGIN_OF_OLD.test(start);
  if (head === undefined && !isOld) throw noPlan(where, "it does not begin like a plan");
  const version = isOld ? 1 : Number(formatVersion);
  if (version !== PLAN_FORMAT_VERSION) {
    throw usageError(
      `${where}: the plan has format version ${version}, and this openmldb-ops reads version ${PLAN_FORMAT_VERSION} only`,
      "make the plan again with this version",
    );
  }
  if (id !== idOf([`{${begin.slice(head?.length)}`, ...more], planDigest)) {
    throw usageError(
      `${where}: the plan was edited after it was made, or is incomplete`,
      "make a new plan instead of editing one",
    );
  }
  const checked = lines === undefined ? checkDocument(PLAN_BODY, text) : checkLines(lines);
  if ("problem" in checked) throw noPlan(where, checked.problem);
  return checked.value;
}

function noPlan(where: string, problem: string): OpsError {
  return usageError(
    `${where}: this is not a plan of openmldb-ops: ${safe(problem)}`,
    "name a file that --plan_out has written",
  );
}

/**
 * Saves a plan in a new file, completely or not at all.
 *
 * @param document For `jsonPieces`.
 * @throws OpsError `usage` if it cannot be saved, or would be too large to be read back.
 */
export async function savePlan(path: string, document: unknown): Promise<void> {
  try {
    await writeNewFile(path, ended(bounded(inLines(jsonPieces(document)))));
  } catch (error) {
    if (error instanceof OpsError) throw error;
    if (codeOf(error) === "EEXIST") throw planExists(path);
    throw usageError(`cannot save the plan in ${safe(path)}: ${messageOf(error)}`);
  }
}

function* bounded(pieces: Iterable<string>): Generator<string> {
  let bytes = 0;
  for (const piece of pieces) {
    bytes += Buffer.byteLength(piece);
    if (bytes >= PLAN_BYTES_MAX) {
      throw usageError(
        `the plan is larger than ${PLAN_BYTES_MAX} bytes, the limit of --apply`,
        "make it for a part of the cluster: --db, --table or --endpoint",
      );
    }
    yield piece;
  }
}

function planExists(path: string): OpsError {
  return usageError(
    `--plan_out=${path}: the file exists, and a plan never overwrites anything`,
    "name a new file",
  );
}

// The text directly before and after the partitions of a plan in lines.
const BEFORE = '"partitions":\n[';
const BEHIND = "\n]";
/** Limit of partitions: more than the largest cluster that this tool is measured with. */
const PARTITIONS_MAX = 400_000;

/** A plan in lines, split into its parts. */
interface PlanLines {
  /** JSON up to the bracket that opens the list of partitions, without white space. */
  readonly before: string;
  readonly partitions: readonly string[];
  /** The rest, from the bracket that closes the list. */
  readonly behind: string;
}

/**
 * Formats a plan as JSON in which each partition is on its own line, after the separating character, so that the
 * partitions can be parsed one by one.
 *
 * @param pieces The output of `jsonPieces` without an indent.
 */
export function* inLines(pieces: Iterable<string>): Generator<string> {
  for (const piece of pieces) yield /^(?:[[,]\{|\])/.test(piece) ? `\n${piece}` : piece;
}

/** Splits the output of {@link inLines}; undefined for any other layout, and for a plan without partitions. */
export function planLines(text: string): PlanLines | undefined {
  const found = text.indexOf(BEFORE);
  const end = text.indexOf(BEHIND, found);
  if (found < 0 || end < 0) return undefined;
  const begin = found + BEFORE.length;
  return {
    before: text.slice(0, begin).replaceAll("\n", ""),
    partitions: text.slice(begin, end).split("\n,"),
    behind: text.slice(end).replaceAll("\n", ""),
  };
}

/** A plan in lines as JSON without line breaks, in pieces. */
function* compactLines({ before, partitions, behind }: PlanLines): Generator<string> {
  yield before;
  for (const [index, text] of partitions.entries()) yield index === 0 ? text : `,${text}`;
  yield behind;
}

/** Validates a plan in lines from an untrusted file. Never throws. */
function checkLines({ before, partitions, behind }: PlanLines): Checked<SavedPlan> {
  if (partitions.length > PARTITIONS_MAX) return { problem: "it has too many partitions" };
  const rest = checkDocument(PLAN_REST, `${before}${behind}`);
  if ("problem" in rest) return rest;
  const items = checkItems(PLAN_PARTITION, partitions);
  if ("problem" in items) return { problem: `partitions${items.problem}` };
  const { plan, ...saved } = rest.value;
  return { value: { ...saved, plan: { ...plan, partitions: items.value } } };
}
