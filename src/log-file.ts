import { closeSync, constants, openSync, writeSync } from "node:fs";
import { Writable } from "node:stream";
import { createLogger, format, transports } from "winston";
import type { LogLevel } from "./cli/common-specs.js";
import { realClock } from "./cluster/real-clock.js";
import { messageOf } from "./errors.js";
import { LEVELS, type LogFile } from "./log.js";
import { jsonText, safe } from "./util/text.js";
import { within } from "./util/within.js";

/** Limit in milliseconds for closing. */
const CLOSE_MS = 2_000;

/**
 * Opens a log file of JSON lines, written by winston. The file is written synchronously: winston's own file
 * transport loses lines when the process exits, and the last lines of a run that is stopped by force matter
 * most.
 *
 * @param level The log level. Lines of level `info` and above are written in any case.
 * @param warn Prints a line for the operator, which includes its line break.
 * @throws The error of `fs.openSync`.
 */
export function openLogFile(path: string, level: LogLevel, warn: (line: string) => void): LogFile {
  const file = openFile(path, warn);
  const sink = new transports.Stream({
    stream: file.stream,
    level: LEVELS[level] > LEVELS.info ? level : "info",
    eol: "\n",
    format: format.printf((info) => {
      const time = new Date().toISOString();
      const { level: itsLevel, message } = info;
      return jsonText({ time, level: itsLevel, message });
    }),
  });
  const logger = createLogger({ levels: LEVELS, level: "debug", transports: [sink] });
  // Without a listener a failing stream would end the process.
  logger.on("error", () => {});
  return {
    write: (itsLevel, message) => logger.log({ level: itsLevel, message }),
    async close() {
      await ended(logger, sink).catch(() => undefined);
      file.close();
    },
  };
}

/** Opens a file that is appended to synchronously. The first failure is reported; later lines are dropped. */
function openFile(
  path: string,
  warn: (line: string) => void,
): { stream: Writable; close: () => void } {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
  // O_NONBLOCK: a pipe whose reader has stopped reading must not block a recovery.
  const file = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o640);
  let isBroken = false;
  const stream = new Writable({
    decodeStrings: false,
    write(line: string, _encoding, done) {
      try {
        if (!isBroken) writeSync(file, line);
      } catch (error) {
        isBroken = true;
        warn(`openmldb-ops: note: no more is written to the log file: ${safe(messageOf(error))}\n`);
      }
      done();
    },
  });
  const close = () => {
    try {
      closeSync(file);
    } catch {
      // All lines are written already.
    }
  };
  return { stream, close };
}

/** Ends the logger and waits, at most {@link CLOSE_MS}, until its sink has written everything. */
async function ended(
  logger: { end(): unknown },
  sink: transports.StreamTransportInstance,
): Promise<void> {
  const finished = new Promise<void>((resolve) => sink.once("finish", () => resolve()));
  logger.end();
  await within(realClock, CLOSE_MS, "the log file", finished).catch(() => undefined);
}
