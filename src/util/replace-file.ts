import { randomBytes } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** The mode of a new file, before the umask. */
const NEW_FILE_MODE = 0o640;
const PERMISSION_BITS = 0o777;

/**
 * Replaces a file as a whole: at any moment, also after a power loss, it has the old content or the new
 * one. The new content is written to a temporary file in the same folder, with an unpredictable name,
 * opened exclusively, with the mode of the old file. A symbolic link at `path` is replaced itself; its
 * target is never written.
 *
 * @param newMode The mode of a file that does not exist yet, before the umask.
 * @throws Errors of the file system; the old file is then unchanged.
 */
export function replaceFile(path: string, content: string, newMode = NEW_FILE_MODE): void {
  const beside = nameBeside(path);
  const mode = modeOf(path);
  const file = openSync(beside, "wx", mode ?? newMode);
  try {
    try {
      if (mode !== undefined) fchmodSync(file, mode);
      writeFileSync(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/**
 * The same for content that is too large for one text.
 *
 * @param fill Writes the content, and closes the file when it is on disk, or has failed.
 * @throws Errors of `fill` and of the file system; the old file is then unchanged.
 */
export async function replaceFileBy(
  path: string,
  fill: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const beside = nameBeside(path);
  const mode = modeOf(path);
  const file = await open(beside, "wx", mode ?? NEW_FILE_MODE);
  try {
    if (mode !== undefined) await file.chmod(mode);
    await fill(file);
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/** An unpredictable name in the same folder. */
function nameBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(8).toString("hex")}.tmp`);
}

/**
 * Syncs a folder: it holds the names of its files, so a power loss may revert a change without this.
 */
export function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Permission bits of a regular file; undefined if there is none at `path`. */
function modeOf(path: string): number | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isFile() ? stats.mode & PERMISSION_BITS : undefined;
}
