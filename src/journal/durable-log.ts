import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { realClock } from "../cluster/real-clock.js";
import { messageOf } from "../errors.js";
import { within } from "../util/within.js";
import { makeRunsFolder } from "./runs-folder.js";

/** An append-only file. */
export interface AppendFile {
  append(text: string): Promise<void>;
  /** Resolves when everything appended is on the disk and survives a power loss. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A log of lines, written in order with group commit. */
export interface DurableLog {
  /**
   * Adds a line. Never throws.
   *
   * @param line Includes the line break.
   * @returns Resolves when the line is on the disk, or when the log has failed.
   */
  addDurably(line: string): Promise<void>;
  /** Adds a line that is written to the file soon, without a sync. Never throws. */
  add(line: string): void;
  /** Closes the log; resolves when everything is on the disk. Never throws. */
  close(): Promise<void>;
}

/** Limit in milliseconds for one file operation; after that the run continues without a journal. */
const DISK_MS = 10_000;

/**
 * Creates a file that must not exist yet, with mode 0600. Creates its folder with mode 0700 if it is missing.
 *
 * @throws The error of the file system, or Error after {@link DISK_MS}.
 */
export function createAppendFile(path: string): Promise<AppendFile> {
  return onDisk(create(path));
}

function onDisk<T>(work: Promise<T>): Promise<T> {
  return within(realClock, DISK_MS, "the disk", work);
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

/** Syncs a folder, so that the directory entry of a new file survives a power loss. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  // Some file systems do not support this; the content of the file is synced in any case.
  await folder.sync().catch(() => undefined);
  await folder.close();
}

interface Waiting {
  readonly line: string;
  readonly isDurable: boolean;
  readonly done: () => void;
}

/**
 * Writes lines to a file with group commit: lines that are added while a batch is written wait and form the next
 * batch. A thousand concurrent calls need a few syncs, not a thousand.
 *
 * If the disk fails, is full or does not answer for 10 s, the log ends but the run continues: `onFailure` is called
 * once, and all later lines are dropped.
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
      await onDisk(file.append(batch.map((one) => one.line).join("")));
      if (batch.some((one) => one.isDurable)) await onDisk(file.sync());
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
      // All lines are written and synced, so an error of close loses nothing.
      await onDisk(file.close()).catch(() => undefined);
    },
  };
}
