import { closeSync, constants, openSync, writeSync } from "node:fs";
import { Writable } from "node:stream";
import { createLogger, format, transports } from "winston";
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

/** How a log is opened. */
export interface LogOptions {
  /** What `write` gets. */
  readonly level: LogLevel;
  /** Takes each line for people, with its line break. */
  readonly write: (line: string) => void;
  /** Appended to as JSON lines, from `info` up or as much as `level` if that is more. */
  readonly file: string | undefined;
}

const LEVELS = { error: 0, warn: 1, info: 2, debug: 3 };
/** How long closing may take. */
const CLOSE_MS = 2_000;

/**
 * Opens a log over winston.
 *
 * The file is written with synchronous calls: winston's own file transport loses lines when the
 * process exits, and the last lines of a run that is stopped by force are the ones that matter.
 *
 * @throws What opening the file throws.
 */
export function openLog(options: LogOptions): OpenLog {
  const sinks = [peopleTransport(options)];
  const file = options.file === undefined ? undefined : openFile(options.file, options.write);
  if (file !== undefined) sinks.push(fileTransport(options.level, file.stream));
  const logger = createLogger({ levels: LEVELS, level: "debug", transports: sinks });
  // Without a listener a failing stream would end the process.
  logger.on("error", () => {});
  let isOpen = true;
  const log = (level: LogLevel, message: string, fields: LogFields, isFileOnly: boolean) => {
    if (!isOpen) return;
    try {
      logger.log({ level, message, fields: plainFields(fields), isFileOnly });
    } catch {
      // A line is lost. What is logged stands in the middle of a run, which has to go on.
    }
  };
  return {
    error: (message, fields = {}) => log("error", message, fields, false),
    warn: (message, fields = {}) => log("warn", message, fields, false),
    info: (message, fields = {}) => log("info", message, fields, false),
    debug: (message, fields = {}) => log("debug", message, fields, false),
    record: (level, message, fields = {}) => log(level, message, fields, true),
    async close() {
      isOpen = false;
      await ended(logger, sinks).catch(() => undefined);
      file?.close();
    },
  };
}

type Sink = transports.StreamTransportInstance;

function peopleTransport({ level, write }: LogOptions): Sink {
  const stream = new Writable({
    decodeStrings: false,
    write(line: string, _encoding, done) {
      write(line);
      done();
    },
  });
  const line = format.printf((info) => {
    const prefix = info.level === "info" ? "" : `${info.level}: `;
    const fields = Object.entries(info["fields"] as LogFields)
      .map(([name, value]) => ` ${name}=${typeof value === "string" ? value : jsonText(value)}`)
      .join("");
    const time = new Date().toISOString().slice(11, 19);
    return `${time} ${prefix}${safe(String(info.message))}${safe(fields)}`;
  });
  const notForFileOnly = format((info) => (info["isFileOnly"] === true ? false : info));
  return new transports.Stream({
    stream,
    level,
    eol: "\n",
    format: format.combine(notForFileOnly(), line),
  });
}

function fileTransport(level: LogLevel, stream: Writable): Sink {
  const line = format.printf((info) => {
    const time = new Date().toISOString();
    const { level: itsLevel, message } = info;
    return jsonText({ time, level: itsLevel, message, ...(info["fields"] as LogFields) });
  });
  return new transports.Stream({
    stream,
    level: LEVELS[level] > LEVELS.info ? level : "info",
    eol: "\n",
    format: line,
  });
}

/** A file that is appended to at once, line by line; the first failure is told, the rest dropped. */
function openFile(
  path: string,
  tell: (line: string) => void,
): { stream: Writable; close: () => void } {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
  // A pipe whose reader stands still must not hold up a recovery.
  const file = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o640);
  let isBroken = false;
  const stream = new Writable({
    decodeStrings: false,
    write(line: string, _encoding, done) {
      try {
        if (!isBroken) writeSync(file, line);
      } catch (error) {
        isBroken = true;
        tell(`openmldb-ops: note: no more is written to the log file: ${safe(messageOf(error))}\n`);
      }
      done();
    },
  });
  const close = () => {
    try {
      closeSync(file);
    } catch {
      // Everything is written.
    }
  };
  return { stream, close };
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

/** Ends the logger and waits, within a bound, until its sinks have written everything. */
async function ended(logger: { end(): unknown }, sinks: readonly Sink[]): Promise<void> {
  const finished = sinks.map(
    (sink) => new Promise<void>((resolve) => sink.once("finish", () => resolve())),
  );
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, CLOSE_MS);
  });
  logger.end();
  await Promise.race([Promise.all(finished), limit]);
  clearTimeout(timer);
}
