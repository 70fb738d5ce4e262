import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { messageOf, OpsError } from "../errors.js";
import { parseStatLine, type StatLine, type StatStore, statText } from "../operations/statfile.js";

/**
 * A statfile on the disk. Lines are appended and synced one by one; it is rewritten as a whole beside
 * the old one and then put in its place, so that it is complete at any moment.
 */
export function statStore(path: string): StatStore {
  const read = () => {
    if (!existsSync(path)) return undefined;
    return linesOf(path, () => readFileSync(path, "utf8"));
  };
  return {
    path,
    read,
    append: (line) =>
      guarded(path, () => write(path, "a", `${missingBreak(path)}${statText(line)}\n`)),
    touch: () => guarded(path, () => write(path, "a", "")),
    remove(matches) {
      const lines = read() ?? [];
      const left = lines.filter((line) => !matches(line));
      if (left.length === lines.length && left.length > 0) return;
      guarded(path, () => {
        if (left.length === 0) rmSync(path, { force: true });
        else {
          write(`${path}.new`, "w", left.map((line) => `${statText(line)}\n`).join(""));
          renameSync(`${path}.new`, path);
        }
        syncFolder(path);
      });
    },
  };
}

/**
 * Checks that a statfile can be written, without making one.
 *
 * @throws OpsError `usage` if it cannot.
 */
export function assertWritable(path: string): void {
  guarded(path, () => accessSync(existsSync(path) ? path : dirname(path), constants.W_OK));
}

function linesOf(path: string, load: () => string): StatLine[] {
  const lines = guarded(path, load)
    .split("\n")
    .filter((text) => text.trim() !== "");
  return lines.map((text, index) => {
    const line = parseStatLine(text);
    if (line !== undefined) return line;
    throw new OpsError({
      code: "usage",
      message: `--statfile=${path}: line ${index + 1} is not of the form endpoint,db,name,tid,pid,added endpoint`,
      hint: "name the statfile that pre-upgrade wrote",
    });
  });
}

/** A line that was cut off must not run into the next one. */
function missingBreak(path: string): string {
  if (!existsSync(path)) return "";
  const text = readFileSync(path, "utf8");
  return text === "" || text.endsWith("\n") ? "" : "\n";
}

function write(path: string, flag: "a" | "w", text: string): void {
  const isNew = !existsSync(path);
  const file = openSync(path, flag, 0o640);
  try {
    if (text !== "") writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  if (isNew) syncFolder(path);
}

function syncFolder(path: string): void {
  const folder = openSync(dirname(path), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function guarded<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof OpsError) throw error;
    throw new OpsError({
      code: "usage",
      message: `--statfile=${path}: ${messageOf(error)}`,
      hint: "name a file in a folder that exists and may be written",
    });
  }
}
