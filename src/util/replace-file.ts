import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
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

/** The mode of a new file, less what the umask takes away. */
const NEW_FILE_MODE = 0o640;
const PERMISSION_BITS = 0o777;

/**
 * Replaces a file as a whole: at any moment, also after a power loss, there is the old content or the
 * new one. The new content is written to a file beside it with a name that cannot be foreseen, opened
 * so that nothing that exists is used, with the mode of the old file. A symbolic link at `path` is
 * replaced itself; what it leads to is never written.
 *
 * @param newMode The mode of a file that is not there yet, less what the umask takes away.
 * @throws What the file system throws; the old file is left as it was then.
 */
export function replaceFile(path: string, content: string, newMode = NEW_FILE_MODE): void {
  const folder = dirname(path);
  const beside = nameBeside(path);
  const mode = modeOf(path);
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  const file = openSync(beside, O_WRONLY | O_CREAT | O_EXCL, mode ?? newMode);
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
  syncFolder(folder);
}

/**
 * The same for content that is too large to be held as one text.
 *
 * @param fill Writes the content, and closes the file when it is on the disk, or has failed.
 * @throws What `fill` and the file system throw; the old file is left as it was then.
 */
export async function replaceFileBy(
  path: string,
  fill: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const beside = nameBeside(path);
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  const mode = modeOf(path);
  const file = await open(beside, O_WRONLY | O_CREAT | O_EXCL, mode ?? NEW_FILE_MODE);
  try {
    if (mode !== undefined) chmodSync(beside, mode);
    await fill(file);
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/** A name that cannot be foreseen. */
function nameBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(8).toString("hex")}.tmp`);
}

/** The name of a file is part of its folder: a power loss may take a change away without this. */
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
