import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf } from "../errors.js";
import { durationText } from "../model/duration.js";
import { makeRunsFolder } from "./runs-folder.js";

/** A file that is only appended to. */
export interface AppendFile {
  append(text: string): Promise<void>;
  /** Resolves when all that was appended is on the disk: it survives a power loss then. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Lines that are written in order; many that wait share one trip to the disk. */
export interface DurableLog {
  /**
   * Adds a line. Never throws.
   *
   * @param line With its line break.
   * @returns Resolves when the line is on the disk, or when the log was given up.
   */
  addDurably(line: string): Promise<void>;
  /** Adds a line that goes to the file soon and to the disk when the system likes. Never throws. */
  add(line: string): void;
  /** Ends the log: resolves when everything is on the disk. Never throws. */
  close(): Promise<void>;
}

/** How long the disk may take for one thing before the run goes on without a journal. */
const DISK_MS = 10_000;

/**
 * Creates a file that must not exist yet, for its owner only (0600), in a folder that is created
 * for its owner only (0700) if it is not there.
 *
 * @throws What the file system throws, or Error if it does not answer for 10 s.
 */
export function createAppendFile(path: string): Promise<AppendFile> {
  return within(DISK_MS, create(path));
}

async function create(path: string): Promise<AppendFile> {
  const folder = dirname(path);
  await makeRunsFolder(folder);
  const file = await open(path, "ax", 0o600);
  await syncFolder(folder);
  return {
    append: (text) => file.appendFile(text),
    sync: () => file.datasync(),
    close: () => file.close(),
  };
}

/** The name of a new file is part of its folder: a power loss may take it away without this. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  // Some file systems cannot do it; the lines themselves are safe all the same.
  await folder.sync().catch(() => undefined);
  await folder.close();
}

interface Waiting {
  readonly line: string;
  readonly isDurable: boolean;
  readonly done: () => void;
}

/**
 * Writes lines to a file with group commit: while one batch is on its way to the disk, the lines
 * that come wait and then go together. A thousand calls in flight cost a few trips, not a thousand.
 *
 * A disk that fails, is full or stands still for 10 s ends the log, not the run: `onFailure` is
 * told once, and every line from then on is dropped.
 */
export function durableLog(file: AppendFile, onFailure: (reason: string) => void): DurableLog {
  let waiting: Waiting[] = [];
  let writing: Promise<void> | undefined;
  let isOpen = true;

  const write = async () => {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      if (isOpen) await writeBatch(batch);
      for (const one of batch) one.done();
    }
    writing = undefined;
  };
  const writeBatch = async (batch: readonly Waiting[]) => {
    try {
      await within(DISK_MS, file.append(batch.map((one) => one.line).join("")));
      if (batch.some((one) => one.isDurable)) await within(DISK_MS, file.sync());
    } catch (error) {
      isOpen = false;
      onFailure(messageOf(error));
    }
  };
  const add = (line: string, isDurable: boolean): Promise<void> => {
    if (!isOpen) return Promise.resolve();
    return new Promise((done) => {
      waiting.push({ line, isDurable, done });
      writing ??= write();
    });
  };
  return {
    addDurably: (line) => add(line, true),
    add: (line) => void add(line, false),
    async close() {
      await add("", true);
      await writing;
      isOpen = false;
      // Everything is written: a file that cannot be closed loses nothing.
      await within(DISK_MS, file.close()).catch(() => undefined);
    },
  };
}

/** @throws Error if `work` takes longer than `ms` milliseconds. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`the disk did not answer for ${durationText(ms)}`)),
      ms,
    );
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
