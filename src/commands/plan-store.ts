import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { open, unlink } from "node:fs/promises";
import type { PlanFlags } from "../cli/common-specs.js";
import { messageOf, OpsError } from "../errors.js";
import { idOf, PLAN_FORMAT_VERSION, type SavedPlan } from "../planning/saved-plan.js";
import { checkDocument, compactJson } from "../util/document.js";
import { jsonPieces, safe } from "../util/text.js";
import { readUserFile } from "../util/user-file.js";
import { checkLines, compactLines, inLines, planLines } from "./plan-lines.js";
import { PLAN_BODY, PLAN_BYTES_MAX } from "./plan-schema.js";
import { ended, writeToDisk } from "./write.js";

/** How a plan of any version begins, white space left out; its id names all that follows. */
const BEGIN =
  /^\{"kind":"openmldb-ops plan","formatVersion":(\d{1,9}),(?:"id":"([0-9a-f]{1,64})",)?/;
/** How plans of operations of format version 1 began. */
const BEGIN_OF_OLD = /^\{[^{}[\]]{0,100}"kind":"operation-plan"/;
const BEGIN_CHARS = 200;

/** A larger plan has to be in lines, as `--plan_out` writes it: it takes long to read as a whole. */
const RELAID_CHARS_MAX = 32 * 2 ** 20;
/** Begins the digest that plans are named by. */
export function planDigest() {
  return createHash("sha256");
}

/** Whether nothing but a plan is asked for, so that nothing may be changed. */
export function isPlanOnly(flags: Pick<PlanFlags, "dryRun" | "planOut">): boolean {
  return flags.dryRun || flags.planOut !== undefined;
}

/**
 * Judges the plan flags together, and reads the plan to apply. Reaches nothing but files.
 *
 * @param command The command that is to apply it.
 * @returns The plan of `--apply`; undefined without it.
 * @throws OpsError `usage`.
 */
export function readGivenPlan(
  flags: Omit<PlanFlags, "method"> & { readonly zkRootPath: string },
  command: string,
): SavedPlan | undefined {
  const { planOut, apply } = flags;
  if (flags.detailedExitcode && !isPlanOnly(flags)) {
    throw planUsage("--detailed_exitcode belongs to --dry_run", "give --dry_run too");
  }
  if (planOut !== undefined && apply !== undefined) {
    throw planUsage("--plan_out and --apply exclude each other", "give one of them");
  }
  if (planOut !== undefined && existsSync(planOut)) throw planExists(planOut);
  if (apply === undefined) return undefined;
  const where = `--apply=${safe(apply)}`;
  const saved = parsePlan(readUserFile(apply, { where, maxBytes: PLAN_BYTES_MAX }), where);
  if (saved.command !== command) {
    throw planUsage(
      `the plan in ${safe(apply)} is one of ${safe(saved.command)}, not of ${command}`,
      "give --apply to the command that made the plan, with the same arguments",
    );
  }
  if (saved.rootPath !== flags.zkRootPath) {
    throw planUsage(
      `the plan in ${safe(apply)} was made for the cluster at ${safe(saved.rootPath)}, not for ${flags.zkRootPath}`,
    );
  }
  return saved;
}

/**
 * Reads a plan back.
 *
 * @param text The content of a file, of any origin.
 * @param where Begins every message.
 * @throws OpsError `usage` if it is no plan, one of another version, or one that was edited.
 */
export function parsePlan(text: string, where: string): SavedPlan {
  // A plan that was edited or cut off is found out without parsing it, however large it is.
  const lines = planLines(text);
  if (lines === undefined && text.length > RELAID_CHARS_MAX)
    throw noPlan(where, `it is longer than ${RELAID_CHARS_MAX} characters, and not in lines`);
  const [begin = "", ...more] = lines === undefined ? [compactJson(text)] : compactLines(lines);
  const start = begin.slice(0, BEGIN_CHARS);
  const [head, formatVersion, id] = BEGIN.exec(start) ?? [];
  const isOld = BEGIN_OF_OLD.test(start);
  if (head === undefined && !isOld) throw noPlan(where, "it does not begin as a plan does");
  const version = isOld ? 1 : Number(formatVersion);
  if (version !== PLAN_FORMAT_VERSION) {
    throw planUsage(
      `${where}: the plan has format version ${version}, and this openmldb-ops reads version ${PLAN_FORMAT_VERSION} only`,
      "make the plan again with this version",
    );
  }
  if (id !== idOf([`{${begin.slice(head?.length)}`, ...more], planDigest)) {
    throw planUsage(
      `${where}: the plan was changed after it was made, or is not all there`,
      "make a new plan instead of editing one",
    );
  }
  const checked = lines === undefined ? checkDocument(PLAN_BODY, text) : checkLines(lines);
  if ("problem" in checked) throw noPlan(where, checked.problem);
  return checked.value;
}

function noPlan(where: string, problem: string): OpsError {
  return planUsage(
    `${where}: this is no plan of openmldb-ops: ${safe(problem)}`,
    "name a file that --plan_out has written",
  );
}

/**
 * Saves a plan in a file that did not exist, completely or not at all.
 *
 * @param document For `jsonPieces`.
 * @throws OpsError `usage` if it cannot be saved, or would be too large to be read back.
 */
export async function writeNewFile(path: string, document: unknown): Promise<void> {
  const file = await open(path, "wx", 0o640).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") throw planExists(path);
    throw planUsage(`cannot save the plan in ${path}: ${messageOf(error)}`);
  });
  try {
    await writeToDisk(file, ended(bounded(inLines(jsonPieces(document)))));
  } catch (error) {
    await unlink(path);
    if (error instanceof OpsError) throw error;
    throw planUsage(`cannot save the plan in ${path}: ${messageOf(error)}`);
  }
}

function* bounded(pieces: Iterable<string>): Generator<string> {
  let bytes = 0;
  for (const piece of pieces) {
    bytes += Buffer.byteLength(piece);
    if (bytes >= PLAN_BYTES_MAX) {
      throw planUsage(
        `the plan takes more than ${PLAN_BYTES_MAX} bytes, and --apply reads no more`,
        "make it for a part of the cluster: --db, --table or --endpoint",
      );
    }
    yield piece;
  }
}

function planExists(path: string): OpsError {
  return planUsage(
    `--plan_out=${path}: the file exists, and a plan never overwrites anything`,
    "name a new file",
  );
}

/** An error of the command line about a plan. */
export function planUsage(message: string, hint?: string): OpsError {
  return new OpsError({ code: "usage", message, ...(hint === undefined ? {} : { hint }) });
}
