import type { LogLevel } from "./cli/common-specs.js";
import { safe } from "./util/text.js";

/** A leveled log. Every method returns at once and never throws. */
export interface Log {
  error(message: string): void;
  warn(message: string): void;
  /** Progress that the operator wants to follow. */
  info(message: string): void;
  debug(message: string): void;
  /** Writes a line to the file only, for text that the terminal shows in another way. */
  record(level: LogLevel, message: string): void;
}

/** A log together with the function that closes it. */
export interface OpenLog extends Log {
  /** Closes the log after all lines are written. */
  close(): Promise<void>;
}

/** A log file that lines are appended to. */
export interface LogFile {
  /** Appends a line if its level is enabled. Returns at once and never throws. */
  write(level: LogLevel, message: string): void;
  /** Closes the file after all lines are written. */
  close(): Promise<void>;
}

/** Options of {@link openLog}. */
export interface LogOptions {
  /** The least severe level that is passed to `write`. */
  readonly level: LogLevel;
  /** Receives each line for the terminal, including its line break. */
  readonly write: (line: string) => void;
  /** Receives every line and applies its own level; closed with the log. See `openLogFile`. */
  readonly file: LogFile | undefined;
}

/** The severity of each level; a higher number is less severe. */
export const LEVELS = { error: 0, warn: 1, info: 2, debug: 3 };

/** Opens a log. Lines for the terminal are written at once. */
export function openLog({ level, write, file }: LogOptions): OpenLog {
  let isOpen = true;
  const log = (itsLevel: LogLevel, message: string, isFileOnly: boolean) => {
    if (!isOpen) return;
    try {
      file?.write(itsLevel, message);
      if (!isFileOnly && LEVELS[itsLevel] <= LEVELS[level]) write(lineOf(itsLevel, message));
    } catch {
      // The line is dropped: a failing log must not stop a run.
    }
  };
  return {
    error: (message) => log("error", message, false),
    warn: (message) => log("warn", message, false),
    info: (message) => log("info", message, false),
    debug: (message) => log("debug", message, false),
    record: (itsLevel, message) => log(itsLevel, message, true),
    async close() {
      isOpen = false;
      await file?.close();
    },
  };
}

/** A line for the terminal, including its line break. */
function lineOf(level: LogLevel, message: string): string {
  const prefix = level === "info" ? "" : `${level}: `;
  const time = new Date().toISOString().slice(11, 19);
  return `${time} ${prefix}${safe(message)}\n`;
}
