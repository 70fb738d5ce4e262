import { open, unlink } from "node:fs/promises";
import { messageOf, OpsError } from "../errors.js";
import { jsonPieces, safe } from "../util/text.js";
import { readUserFile } from "../util/user-file.js";
import { ended, writeToDisk } from "./write.js";

/** Far more than the plan of a cluster with 240,000 replicas. */
const PLAN_BYTES_MAX = 256 * 2 ** 20;

/**
 * Saves a plan in a file that did not exist, completely or not at all.
 *
 * @param document For `jsonPieces`.
 * @throws OpsError `usage` if it cannot be saved.
 */
export async function writeNewFile(path: string, document: unknown): Promise<void> {
  const file = await open(path, "wx", 0o640).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") throw planExists(path);
    throw planUsage(`cannot save the plan in ${path}: ${messageOf(error)}`);
  });
  try {
    await writeToDisk(file, ended(jsonPieces(document, 2)));
  } catch (error) {
    await unlink(path);
    throw planUsage(`cannot save the plan in ${path}: ${messageOf(error)}`);
  }
}

/** The error for `--plan_out` with a file that exists. */
export function planExists(path: string): OpsError {
  return planUsage(
    `--plan_out=${path}: the file exists, and a plan never overwrites anything`,
    "name a new file",
  );
}

/**
 * Reads the text of a plan for `--apply`.
 *
 * @param command The command that is to apply it.
 * @throws OpsError `usage` if the file cannot be read, or says that another command made it.
 */
export function readPlanText(path: string, command: string): string {
  const text = readUserFile(path, { where: `--apply=${safe(path)}`, maxBytes: PLAN_BYTES_MAX });
  const maker = commandOfPlan(text);
  if (maker === undefined || maker === command) return text;
  throw planUsage(
    `the plan in ${path} is one of ${maker}, not of ${command}`,
    "give --apply to the command that made the plan, with the same arguments",
  );
}

/** Both kinds of plans say who made them, each in its way; undefined if a file says nothing of the sort. */
function commandOfPlan(text: string): string | undefined {
  try {
    const { command, only } = JSON.parse(text) as Record<string, unknown>;
    if (typeof command === "string") return command;
    if (typeof only !== "object" || only === null || !("table" in only)) return undefined;
    return only.table === null ? "recoverdata" : "recovertable";
  } catch {
    return undefined;
  }
}

/** An error of the command line about a plan. */
export function planUsage(message: string, hint?: string): OpsError {
  return new OpsError({ code: "usage", message, ...(hint === undefined ? {} : { hint }) });
}
