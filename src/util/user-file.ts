import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { codeOf, messageOf, usageError } from "../errors.js";
import { safe } from "./text.js";

/** Milliseconds without a writer after which a pipe counts as empty. */
const PIPE_OPEN_MS = 1_000;
/** Limit in milliseconds for the writer of a pipe, in total. */
const PIPE_READ_MS = 10_000;
const PIPE_POLL_MS = 10;
const CHUNK_BYTES = 65_536;
/** The invisible character that editors of Windows write before the text. */
const BYTE_ORDER_MARK = "\ufeff";

/** The options of {@link readUserFile}. */
export interface ReadOptions {
  /** The flag with its value, made safe; begins every message. */
  readonly where: string;
  /** A longer file is refused without being read to its end. */
  readonly maxBytes: number;
}

/**
 * Reads a file named by the user, as UTF-8. Accepts regular files and pipes with a writer (such as a
 * shell's `<(command)`); refuses devices, sockets and folders, and input without an end.
 *
 * @throws OpsError `usage` if the file cannot be read, is too large, or is of another kind.
 */
export function readUserFile(path: string, { where, maxBytes }: ReadOptions): string {
  return guarded(where, () => {
    assertInputKind(statSync(path));
    // Without O_NONBLOCK, opening a pipe that nothing writes to would wait forever.
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(file);
      assertInputKind(stats);
      if (stats.isFile() && stats.size > maxBytes) throw tooLarge(maxBytes);
      return readToEnd(file, { maxBytes, isPipe: stats.isFIFO(), size: stats.size });
    } finally {
      closeSync(file);
    }
  });
}

/**
 * Checks that {@link readUserFile} can read a file, without opening it.
 *
 * @throws OpsError `usage`.
 */
export function assertUserFile(path: string, where: string): void {
  guarded(where, () => {
    assertInputKind(statSync(path));
    accessSync(path, constants.R_OK);
  });
}

/**
 * Checks that a file can be appended to, and creates it if it does not exist. Refuses a pipe without a
 * reader: opening it later would block forever.
 *
 * @throws OpsError `usage`.
 */
export function assertAppendable(path: string, where: string): void {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
  guarded(where, () =>
    closeSync(openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o640)),
  );
}

/**
 * Checks that a file can be replaced as a whole: its folder exists and is writable, and the existing
 * file is a regular one. Creates nothing.
 *
 * @throws OpsError `usage`.
 */
export function assertReplaceable(path: string, where: string): void {
  guarded(where, () => {
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats !== undefined && !stats.isFile()) throw new Error("it is not a regular file");
  });
}

/**
 * Reads a regular file as UTF-8. Follows no symbolic link, and never waits for a pipe or a device.
 *
 * @throws Error for a file of another kind or with more than `maxBytes`, and errors of the file system.
 */
export function readRegularFile(path: string, maxBytes: number): string {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new Error("it is not a regular file");
    if (stats.size > maxBytes) throw new Error(`it is longer than ${maxBytes} bytes`);
    return readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}

function assertInputKind(stats: Stats): void {
  if (stats.isFile() || stats.isFIFO()) return;
  throw new Error(stats.isDirectory() ? "it is a folder" : "it is not a regular file");
}

function tooLarge(maxBytes: number): Error {
  return new Error(`it is larger than ${maxBytes} bytes`);
}

function readToEnd(
  file: number,
  {
    maxBytes,
    isPipe,
    size,
  }: { readonly maxBytes: number; readonly isPipe: boolean; readonly size: number },
): string {
  const began = performance.now();
  const chunks: Buffer[] = [];
  let length = 0;
  for (;;) {
    // A regular file is read in one piece, as long as it does not grow meanwhile.
    const chunk = Buffer.allocUnsafe(length === 0 ? Math.max(size, CHUNK_BYTES) : CHUNK_BYTES);
    const read = readSome(file, chunk);
    if (read !== undefined && read > 0) {
      chunks.push(chunk.subarray(0, read));
      length += read;
      if (length > maxBytes) throw tooLarge(maxBytes);
      continue;
    }
    const waitedMs = performance.now() - began;
    if (read === 0 && (!isPipe || length > 0)) break;
    if (read === 0 && waitedMs > PIPE_OPEN_MS) throw new Error("nothing is written to this pipe");
    if (waitedMs > PIPE_READ_MS) throw new Error("the writer of this pipe does not close it");
    pause(PIPE_POLL_MS);
  }
  return textOf(chunks);
}

/** The text of the chunks, without a byte order mark. A single chunk, which may be large, is not copied. */
function textOf(chunks: readonly Buffer[]): string {
  const [first] = chunks;
  const text = (chunks.length === 1 && first ? first : Buffer.concat(chunks)).toString("utf8");
  return text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
}

/** @returns Bytes read; 0 at the end, and of a pipe without a writer; undefined if none came yet. */
function readSome(file: number, chunk: Buffer): number | undefined {
  try {
    return readSync(file, chunk);
  } catch (error) {
    if (codeOf(error) === "EAGAIN") return undefined;
    throw error;
  }
}

/** Blocks the thread. Files are read while flags are parsed, before anything else runs. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

const PROBLEMS: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "there is no such file or folder"],
  ["EACCES", "permission denied"],
  ["EPERM", "permission denied"],
  ["EISDIR", "it is a folder"],
  ["ENOTDIR", "a part of the path is not a folder"],
  ["EROFS", "the file system is read-only"],
  ["ENOSPC", "no space left"],
  ["ENXIO", "it is a pipe or socket that nothing reads from"],
  ["ENAMETOOLONG", "the path is too long"],
  ["ELOOP", "its symbolic links form a loop"],
]);

/** The problem of a file in words. */
function fileProblem(thrown: unknown): string {
  return PROBLEMS.get(String(codeOf(thrown))) ?? messageOf(thrown);
}

function guarded<T>(where: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw usageError(`${where}: ${safe(fileProblem(error))}`);
  }
}
