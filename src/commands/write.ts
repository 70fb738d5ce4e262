import type { FileHandle } from "node:fs/promises";
import type { GlobalFlags } from "../cli/common-specs.js";
import type { TableScreen } from "../util/table.js";
import { untilAborted } from "../util/until-aborted.js";
import { takeTurns } from "../util/yielding.js";
import type { CommandIo } from "./command.js";

/** Characters that are written at once. */
const CHUNK = 65_536;

/**
 * Prints a result of any length: made and written piece by piece, as fast as it is read, with other
 * work in between. Ends early, without a word, if its reader has gone.
 *
 * @throws The reason of a signal that comes while it is written; one that came before ends nothing.
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

/** What a table is shown on: the terminal, or all that there is where it is none and with `--output=wide`. */
export function tableScreen(
  { output }: Pick<GlobalFlags, "output">,
  io: Pick<CommandIo, "isInteractiveStdout" | "hasColor" | "columns" | "rows">,
): TableScreen {
  const isNarrow = io.isInteractiveStdout && output !== "wide";
  return {
    hasColor: io.hasColor,
    columns: isNarrow ? io.columns : Number.POSITIVE_INFINITY,
    rows: io.isInteractiveStdout ? io.rows : Number.POSITIVE_INFINITY,
  };
}

/** Lines of text, each with its line break; an empty piece where they may rest, see `Lines`. */
export function* lined(lines: Iterable<string | undefined>): Generator<string> {
  for (const line of lines) yield line === undefined ? "" : `${line}\n`;
}

/** The pieces of a text, and a line break behind them. */
export function* ended(pieces: Iterable<string>): Generator<string> {
  yield* pieces;
  yield "\n";
}

/**
 * Fills a file piece by piece, waits until it is on the disk, and closes it.
 *
 * @throws What the file system throws; the file is closed then too.
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

/** @param write Writes a text; resolves to whether more is wanted. */
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
