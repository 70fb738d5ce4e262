import { lstat, mkdir, readdir, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { codeOf } from "../errors.js";
import { checkDocument } from "../util/document.js";
import { isRunId } from "../util/process-identity.js";
import { readFirstLine } from "./journal-file.js";
import { JOURNAL_LINE } from "./record.js";

/** The name of a journal is the id of its run and this suffix. */
const SUFFIX = ".jsonl";
/** A file next to each journal folder that this tool created. Without it nothing in the folder is deleted. */
const MARK = ".openmldb-ops-journals";
const MARK_TEXT =
  "openmldb-ops made the folder runs for its journals, and deletes the oldest of them.\n";

/** Path of the journal of a run. */
export function journalPath(stateDir: string, id: string): string {
  return join(runsFolder(stateDir), `${id}${SUFFIX}`);
}

function runsFolder(stateDir: string): string {
  return join(stateDir, "runs");
}

/**
 * Creates the folder of the journals with mode 0700, and marks it as created by this tool. An existing folder is
 * used as it is.
 *
 * @throws The error of the file system.
 */
export async function makeRunsFolder(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  if (made === undefined) return;
  try {
    await writeFile(join(dirname(path), MARK), MARK_TEXT, { flag: "wx", mode: 0o600 });
  } catch (error) {
    // The mark can exist already: from an earlier folder, or from a concurrent run.
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

/**
 * Ids of the runs with a journal, newest first; empty if the folder does not exist. Files with other names are
 * ignored.
 *
 * @throws The error of the file system, except for a missing folder.
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

/**
 * Deletes all but the newest journals. Deletes only files that are certainly journals of this tool: regular files
 * in a folder that the tool created and marked, named after a run id that the first line repeats.
 *
 * @throws The error of the file system.
 */
export async function deleteOldJournals(stateDir: string, keptMax: number): Promise<void> {
  const ids = await listRunIds(stateDir);
  if (ids.length <= keptMax || !(await isOwn(stateDir))) return;
  for (const id of ids.slice(keptMax)) {
    const path = journalPath(stateDir, id);
    if (await isJournalOf(path, id)) await unlink(path);
  }
}

/** True if {@link makeRunsFolder} created the folder, and it is not a symbolic link. */
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
