import { lstat, mkdir, readdir, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { checkDocument } from "../util/document.js";
import { isRunId } from "../util/process-identity.js";
import { readFirstLine } from "./journal-file.js";
import { JOURNAL_LINE } from "./record-schema.js";

/** What the name of a journal ends with; before it stands the id of the run. */
const SUFFIX = ".jsonl";
/** Lies beside every folder that this tool made for journals: in no other one anything is deleted. */
const MARK = ".openmldb-ops-journals";
const MARK_TEXT =
  "openmldb-ops made the folder runs for its journals, and deletes the oldest of them.\n";

/** Where the journal of a run is. */
export function journalPath(stateDir: string, id: string): string {
  return join(runsFolder(stateDir), `${id}${SUFFIX}`);
}

function runsFolder(stateDir: string): string {
  return join(stateDir, "runs");
}

/**
 * Makes the folder of the journals, for its owner only (0700), and marks it as this tool's own. A folder
 * that is there already is used as it is.
 *
 * @throws What the file system throws.
 */
export async function makeRunsFolder(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  if (made === undefined) return;
  try {
    await writeFile(join(dirname(path), MARK), MARK_TEXT, { flag: "wx", mode: 0o600 });
  } catch (error) {
    // From an earlier folder, or of another run in the same moment.
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

/**
 * Ids of the runs that have a journal, newest first; empty if there is no such folder. Files with other
 * names are not this tool's.
 *
 * @throws What the file system throws, except that there is no folder.
 */
export async function listRunIds(stateDir: string): Promise<string[]> {
  try {
    const names = await readdir(runsFolder(stateDir));
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .filter(isRunId)
      .sort()
      .reverse();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/**
 * Deletes all but the newest journals, and nothing that is not certainly a journal of this tool: a
 * regular file in a folder that the tool made and marked, with the name that a run gives its journal and
 * a first line that says the same.
 *
 * @throws What the file system throws.
 */
export async function forgetOld(stateDir: string, keptMax: number): Promise<void> {
  const ids = await listRunIds(stateDir);
  if (ids.length <= keptMax || !(await isOwn(stateDir))) return;
  for (const id of ids.slice(keptMax)) {
    const path = journalPath(stateDir, id);
    if (await isJournalOf(path, id)) await unlink(path);
  }
}

/** Whether the folder of the journals is one that {@link makeRunsFolder} made, and not reached through a symbolic link. */
async function isOwn(stateDir: string): Promise<boolean> {
  try {
    const [self, mark] = [await lstat(runsFolder(stateDir)), await lstat(join(stateDir, MARK))];
    return self.isDirectory() && mark.isFile();
  } catch {
    return false;
  }
}

async function isJournalOf(path: string, id: string): Promise<boolean> {
  try {
    const checked = checkDocument(JOURNAL_LINE, await readFirstLine(path));
    return "value" in checked && checked.value.kind === "run" && checked.value.id === id;
  } catch {
    return false;
  }
}
