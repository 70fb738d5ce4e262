import { type FileHandle, open, unlink } from "node:fs/promises";
import type { GlobalFlags } from "../cli/common-specs.js";
import type { TableScreen } from "../util/table.js";
import { untilAborted } from "../util/within.js";
import { takeTurns } from "../util/yielding.js";
import type { CommandIo } from "./command.js";

/** Number of characters that are collected for one write. */
const CHUNK = 65_536;

/**
 * Prints a result of any length in pieces, at the speed of the reader, and yields to other work. Returns early if the
 * reader has closed the stream.
 *
 * @throws The reason of a signal that comes during printing; an earlier one is ignored.
 */
export async function print(
  { stdout, signal }: Pick<CommandIo, "stdout" | "signal">,
  pieces: Iterable<string>,
): Promise<void> {
  const wasAborted = signal.aborted;
  await writePieces(pieces, async (text) => {
    const written = stdout.write(text);
    if (!wasAborted && written instanceof Promise) await untilAborted(written, signal);
    return stdout.isClosed?.() !== true;
  });
}

/**
 * The size for a table: that of the terminal; unlimited width without one and with `--output=wide`.
 *
 * @param margin Columns at the edge that the table leaves free.
 */
export function tableScreen(
  { output }: Pick<GlobalFlags, "output">,
  io: Pick<CommandIo, "isInteractiveStdout" | "hasColor" | "columns" | "rows">,
  margin = 0,
): TableScreen {
  const isNarrow = io.isInteractiveStdout && output !== "wide";
  return {
    hasColor: io.hasColor,
    columns: isNarrow ? io.columns - margin : Number.POSITIVE_INFINITY,
    rows: io.isInteractiveStdout ? io.rows : Number.POSITIVE_INFINITY,
  };
}

/** Appends a line break to each line; a yield point (see `Lines`) becomes an empty piece. */
export function* lined(lines: Iterable<string | undefined>): Generator<string> {
  for (const line of lines) yield line === undefined ? "" : `${line}\n`;
}

/** The pieces, followed by a line break. */
export function* ended(pieces: Iterable<string>): Generator<string> {
  yield* pieces;
  yield "\n";
}

/**
 * Writes pieces to a file, syncs it to disk, and closes it.
 *
 * @throws The error of the file system, after closing the file.
 */
export async function writeToDisk(file: FileHandle, pieces: Iterable<string>): Promise<void> {
  try {
    await writePieces(pieces, async (text) => {
      await file.appendFile(text);
      return true;
    });
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Writes pieces to a new file, completely or not at all.
 *
 * @throws The error of the file system, with code `EEXIST` if there is such a file; an error of `pieces`.
 */
export async function writeNewFile(path: string, pieces: Iterable<string>): Promise<void> {
  const file = await open(path, "wx", 0o640);
  try {
    await writeToDisk(file, pieces);
  } catch (error) {
    await unlink(path);
    throw error;
  }
}

/** @param write Writes a text; resolves to false to stop. */
async function writePieces(
  pieces: Iterable<string>,
  write: (text: string) => Promise<boolean>,
): Promise<void> {
  const turn = takeTurns(1);
  let waiting: string[] = [];
  let length = 0;
  for (const piece of pieces) {
    const rest = turn();
    if (rest !== undefined) await rest;
    waiting.push(piece);
    length += piece.length;
    if (length < CHUNK) continue;
    if (!(await write(waiting.join("")))) return;
    waiting = [];
    length = 0;
  }
  await write(waiting.join(""));
}
