import type { LogLevel } from "./cli/common-specs.js";
import { messageOf } from "./errors.js";
import { isSecretName, MASK } from "./util/secret-name.js";
import { jsonText, safe } from "./util/text.js";

/** Named values of a log line. The log masks values whose names are those of secrets. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A leveled log. Every method returns at once and never throws. */
export interface Log {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** Progress that the operator wants to follow. */
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** Writes a line to the file only, for text that the terminal shows in another way. */
  record(level: LogLevel, message: string, fields?: LogFields): void;
}

/** A log together with the function that closes it. */
export interface OpenLog extends Log {
  /** Closes the log after all lines are written. */
  close(): Promise<void>;
}

/** A log file that lines are appended to. */
export interface LogFile {
  /** Appends a line if its level is enabled. Returns at once and never throws. */
  write(level: LogLevel, message: string, fields: LogFields): void;
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
  const log = (itsLevel: LogLevel, message: string, fields: LogFields, isFileOnly: boolean) => {
    if (!isOpen) return;
    try {
      const known = plainFields(fields);
      file?.write(itsLevel, message, known);
      if (!isFileOnly && LEVELS[itsLevel] <= LEVELS[level]) write(lineOf(itsLevel, message, known));
    } catch {
      // The line is dropped: a failing log must not stop a run.
    }
  };
  return {
    error: (message, fields = {}) => log("error", message, fields, false),
    warn: (message, fields = {}) => log("warn", message, fields, false),
    info: (message, fields = {}) => log("info", message, fields, false),
    debug: (message, fields = {}) => log("debug", message, fields, false),
    record: (itsLevel, message, fields = {}) => log(itsLevel, message, fields, true),
    async close() {
      isOpen = false;
      await file?.close();
    },
  };
}

/** A line for the terminal, including its line break. */
function lineOf(level: LogLevel, message: string, fields: LogFields): string {
  const prefix = level === "info" ? "" : `${level}: `;
  const more = Object.entries(fields)
    .map(([name, value]) => ` ${name}=${typeof value === "string" ? value : jsonText(value)}`)
    .join("");
  const time = new Date().toISOString().slice(11, 19);
  return `${time} ${prefix}${safe(message)}${safe(more)}\n`;
}

/** Converts values for JSON: errors to their messages, bigints to decimal text. Values named as secrets are masked. */
function plainFields(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, plain(name, value)]),
  );
}

function plain(name: string, value: unknown): unknown {
  if (isSecretName(name)) return MASK;
  if (value instanceof Error) return messageOf(value);
  if (typeof value !== "object" || value === null) {
    return typeof value === "bigint" ? value.toString() : value;
  }
  try {
    return jsonText(value);
  } catch {
    return String(value);
  }
}
