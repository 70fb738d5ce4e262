import type { LogLevel } from "./cli/common-specs.js";
import { messageOf } from "./errors.js";
import { isSecretName, MASK } from "./util/secret-name.js";
import { jsonText, safe } from "./util/text.js";

/** Values that go with a log line; one with the name of a secret is masked by the log itself. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A leveled log. Every method returns at once and never throws. */
export interface Log {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** What a person wants to read while it happens. */
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** Writes a line to the file only: for what the terminal is told in another way. */
  record(level: LogLevel, message: string, fields?: LogFields): void;
}

/** A log that is closed by its opener. */
export interface OpenLog extends Log {
  /** Ends the log, with every line written. */
  close(): Promise<void>;
}

/** A log file that lines are appended to. */
export interface LogFile {
  /** Appends a line, if the level asks for it. Returns at once and never throws. */
  write(level: LogLevel, message: string, fields: LogFields): void;
  /** Ends the file, with every line written. */
  close(): Promise<void>;
}

/** How a log is opened. */
export interface LogOptions {
  /** What `write` gets. */
  readonly level: LogLevel;
  /** Takes each line for people, with its line break. */
  readonly write: (line: string) => void;
  /** Gets every line too; closed with the log. See `openLogFile`. */
  readonly file: LogFile | undefined;
}

const LEVELS = { error: 0, warn: 1, info: 2, debug: 3 };

/** Opens a log. Lines for people are written at once. */
export function openLog({ level, write, file }: LogOptions): OpenLog {
  let isOpen = true;
  const log = (itsLevel: LogLevel, message: string, fields: LogFields, isFileOnly: boolean) => {
    if (!isOpen) return;
    try {
      const known = plainFields(fields);
      file?.write(itsLevel, message, known);
      if (!isFileOnly && LEVELS[itsLevel] <= LEVELS[level]) write(lineOf(itsLevel, message, known));
    } catch {
      // A line is lost. What is logged stands in the middle of a run, which has to go on.
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

/** A line for people, with its line break. */
function lineOf(level: LogLevel, message: string, fields: LogFields): string {
  const prefix = level === "info" ? "" : `${level}: `;
  const more = Object.entries(fields)
    .map(([name, value]) => ` ${name}=${typeof value === "string" ? value : jsonText(value)}`)
    .join("");
  const time = new Date().toISOString().slice(11, 19);
  return `${time} ${prefix}${safe(message)}${safe(more)}\n`;
}

/** Values that JSON can hold. Errors become their text, and what has the name of a secret is masked. */
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
