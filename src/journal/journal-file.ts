import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

// Bytes that are read from the beginning and the end of a journal that is too large to be read as a whole.
const HEAD_BYTES = 2 ** 20;
const TAIL_BYTES = 64 * 1024;

/** The text of a journal, or of its two ends. */
export interface JournalText {
  /** All lines; if `isPart`, the first one and those near the end. */
  readonly lines: readonly string[];
  /** The text after the last line break; empty unless the last line was cut off. */
  readonly rest: string;
  /** True if the middle was left out. */
  readonly isPart: boolean;
  /** Size of the file in bytes. */
  readonly size: number;
}

/**
 * Reads a journal. Opens regular files only and does not follow symbolic links, because a device or pipe could
 * deliver data without end.
 *
 * @param wholeMax Bytes; of a larger file only the two ends are read.
 * @throws The error of the file system, and Error if it is not a regular file.
 */
export async function readJournal(path: string, wholeMax: number): Promise<JournalText> {
  return withJournal(path, async (file, size) => {
    if (size <= wholeMax) {
      const lines = (await readAt(file, 0, size)).split("\n");
      return { rest: lines.pop() ?? "", lines, isPart: false, size };
    }
    const first = await firstLine(file, size);
    const from = Math.max(0, size - TAIL_BYTES);
    // Drop the first line, which may be incomplete.
    const lines = (await readAt(file, from, TAIL_BYTES)).split("\n").slice(1);
    return { rest: lines.pop() ?? "", lines: [first, ...lines], isPart: true, size };
  });
}

/** Reads the first line of a journal, without its line break. @throws As {@link readJournal}. */
export async function readFirstLine(path: string): Promise<string> {
  return withJournal(path, firstLine);
}

async function firstLine(file: FileHandle, size: number): Promise<string> {
  const [line = ""] = (await readAt(file, 0, Math.min(size, HEAD_BYTES))).split("\n", 1);
  return line;
}

async function readAt(file: FileHandle, from: number, length: number): Promise<string> {
  const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, from);
  return buffer.toString("utf8", 0, bytesRead);
}

async function withJournal<T>(
  path: string,
  use: (file: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error("it is not a regular file");
    return await use(file, stats.size);
  } finally {
    await file.close();
  }
}
