import { isatty } from "node:tty";
import type { CommandEntry, Prepared } from "./cli/command-entry.js";
import { type CommandLine, variableOf } from "./cli/flag-parse.js";
import { notesOn, readInvocation } from "./cli/invocation.js";
import { guardProcessIo, type ProcessIo, stdoutDrained } from "./cli/process-io.js";
import {
  detailLines,
  errorDocument,
  errorText,
  stackLines,
  unexpectedHint,
} from "./cli/show-error.js";
import { type SignalWatch, watchSignals } from "./cli/signals.js";
import { type StreamIo, streamIo } from "./cli/stream-io.js";
import { EXIT, EXIT_MEANINGS, exitCodeOf, signalExitCode } from "./exit-codes.js";
import type { OpenLog } from "./log.js";
import { allowsColor } from "./util/text.js";
import { toolVersion } from "./util/version.js";

/** How long what is written to stdout may take to get through at the end. */
const DRAIN_MS = 5_000;
/** How long connections that did not close may keep the process after the end of the command. */
const LINGER_MS = 1_000;
/** How long a run may clean up after an uncaught error: as long as after a signal. */
const CLEAN_UP_MS = 5_000;

/**
 * Runs one command line: help, version, or a command. Everything that goes wrong ends up here and
 * is told in one line.
 *
 * @param argv Without `node` and the script.
 * @returns The exit code.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const io = guardProcessIo();
  const exitCode = await dispatch(argv, io);
  await stdoutDrained(DRAIN_MS);
  const failure = io.failure();
  // Does not keep the process, only ends one that something else keeps.
  setTimeout(() => process.exit(), LINGER_MS).unref();
  if (failure === undefined) return exitCode;
  io.err(`openmldb-ops: cannot write the result to stdout: ${failure}\n`);
  return exitCode === EXIT.ok ? EXIT.failed : exitCode;
}

async function dispatch(argv: readonly string[], io: ProcessIo): Promise<number> {
  let command: string | undefined;
  try {
    if (argv[0] === "__complete") return await completeLine(argv.slice(1), io);
    const invocation = readInvocation(argv);
    switch (invocation.kind) {
      case "help":
        io.out(await helpText(invocation.of));
        return EXIT.ok;
      case "version":
        io.out(`openmldb-ops ${toolVersion()}\n`);
        return EXIT.ok;
      case "nothing":
        // Help, but no success: a script whose command was empty by mistake must not go on.
        io.out(await helpText(undefined));
        io.err("openmldb-ops: no command given\n");
        return EXIT.usage;
      case "command":
        command = invocation.entry.name;
        return await runCommand(invocation.entry, invocation.line, io);
    }
  } catch (error) {
    const output = wantedOutput(argv);
    const end = await fitting(output === "ndjson" ? streamIo(io) : io, output === "table");
    return fail(error, exitCodeOf(error), end, { isJson: output !== "table", command });
  }
}

/** Answers a shell that asks what can be typed next; see `completion`. */
async function completeLine(argv: readonly string[], io: ProcessIo): Promise<number> {
  const { complete } = await import("./cli/complete.js");
  io.out(await complete(argv, process.env, () => import("./commands/cluster-names.js")));
  return EXIT.ok;
}

async function helpText(of: CommandEntry | undefined): Promise<string> {
  const { commandHelp, mainHelp } = await import("./cli/help.js");
  return of === undefined ? mainHelp(toolVersion(), columns()) : commandHelp(of, columns());
}

/** Width of the terminal; where there is none, or one that says 0, as wide as a usual one. */
function columns(): number {
  return process.stdout.columns || process.stderr.columns || 80;
}

/** Says the first word, before anything is loaded that breaks lines. */
function announce(name: string, announcement: string, io: ProcessIo): void {
  const line = `openmldb-ops ${name}: ${announcement}`;
  const isLong = process.stderr.isTTY === true && line.length > columns();
  io.err(isLong ? `openmldb-ops ${name}:\n  ${announcement}\n` : `${line}\n`);
}

/** The streams with lines that fit the terminal, where there is one. @param isText Whether people read stdout. */
async function fitting<Io extends ProcessIo>(io: Io, isText: boolean): Promise<Io> {
  const stdout = isText && process.stdout.isTTY === true;
  const stderr = process.stderr.isTTY === true;
  if (!stdout && !stderr) return io;
  const { foldedIo } = await import("./cli/folded-io.js");
  return foldedIo(io, { stdout, stderr }, columns);
}

/** What stdout is to be, found out even if the rest of the command line is wrong. */
function wantedOutput(argv: readonly string[]): "table" | "json" | "ndjson" {
  const given = argv.findLast(
    (arg, index) => arg.startsWith("--output=") || argv[index - 1] === "--output",
  );
  const word = (given ?? process.env[variableOf("output")])?.replace(/^--output=/, "");
  return word === "json" || word === "ndjson" ? word : "table";
}

/** Tells an error, and returns its exit code. */
function fail(
  error: unknown,
  exitCode: number,
  io: ProcessIo,
  { isJson, command }: { readonly isJson: boolean; readonly command: string | undefined },
): number {
  if (isJson && !io.hasWritten()) io.out(errorDocument(error, exitCode, { command }));
  for (const line of detailLines(error)) io.err(`  ${line}\n`);
  io.err(`openmldb-ops: ${errorText(error)}\n`);
  return exitCode;
}

async function runCommand(
  entry: CommandEntry,
  line: CommandLine,
  processIo: ProcessIo,
): Promise<number> {
  const prepared = entry.prepare(line, process.env);
  const bare: ProcessIo | StreamIo = prepared.isStream ? streamIo(processIo) : processIo;
  announce(entry.name, prepared.announcement, bare);
  const watch = watchSignals((text) => bare.err(`${text}\n`));
  // A script that a shell reads has lines of any length.
  const isForPeople = prepared.flags.output === "table" && entry.name !== "completion";
  const io = await fitting(bare, isForPeople);
  for (const note of notesOn(line, process.env)) io.err(`openmldb-ops: note: ${note}\n`);
  const { openLog } = await import("./log.js");
  const { logLevel, logFile } = prepared.flags;
  // What writes a file costs a short command a tenth of its time.
  const file =
    logFile === undefined
      ? undefined
      : (await import("./log-file.js")).openLogFile(logFile, logLevel, io.err);
  const log = openLog({ level: logLevel, write: io.err, file });
  log.record("info", `openmldb-ops ${toolVersion()} ${entry.name}: ${prepared.announcement}`);
  const uncaught = catchUncaught(watch, io);
  const isJson = prepared.flags.output === "json";
  try {
    const { name: command } = entry;
    const running = { command, io, log, watch, uncaught, isJson };
    const exitCode = await runPrepared(prepared, running);
    if (isJson && !io.hasWritten()) io.out(silentDocument(exitCode, command));
    log.record("info", `exit code ${exitCode}`);
    return exitCode;
  } finally {
    await log.close();
    uncaught.stop();
    watch.stop();
  }
}

interface Running {
  readonly io: ProcessIo | StreamIo;
  readonly log: OpenLog;
  readonly watch: SignalWatch;
  readonly uncaught: Uncaught;
  readonly isJson: boolean;
  readonly command: string;
}

async function runPrepared(prepared: Prepared, running: Running): Promise<number> {
  const { io, log, watch, isJson } = running;
  const isTerminal = process.stdout.isTTY === true;
  const isDrawable = isTerminal && process.env["TERM"] !== "dumb";
  const { noColor: isOff, logLevel } = prepared.flags;
  const isQuiet = isJson || logLevel === "warn" || logLevel === "error";
  const isLive = process.stderr.isTTY === true && process.env["TERM"] !== "dumb" && !isQuiet;
  try {
    const returned = await prepared.run({
      stdout: {
        write: io.print,
        ...(isDrawable ? { control: (sequence: string) => io.control("stdout", sequence) } : {}),
        isClosed: io.isClosed,
        ...("event" in io ? { event: io.event } : {}),
      },
      stderr: { write: io.err, ...(isLive ? { live: io.live } : {}) },
      // Touching process.stdin opens it: only a command that reads does.
      get stdin() {
        return process.stdin;
      },
      isInteractiveStdin: isatty(0),
      log,
      isInteractiveStderr: process.stderr.isTTY === true,
      isInteractiveStdout: isTerminal,
      hasColor: !isJson && allowsColor({ environment: process.env, isTerminal, isOff }),
      get columns() {
        return columns();
      },
      get rows() {
        return process.stdout.rows || 24;
      },
      signal: watch.signal,
      onSecondSignal: watch.onSecond,
    });
    return finalCode(returned, running);
  } catch (error) {
    log.record("error", errorText(error));
    for (const line of stackLines(error)) log.debug(line);
    const exitCode = finalCode(exitCodeOf(error), running);
    // An uncaught error has been printed when it came.
    return error === running.uncaught.error ? exitCode : fail(error, exitCode, io, running);
  }
}

/**
 * The exit code of a run that gave `code`: auto_failover left off beats everything, then an uncaught
 * error, then the signal. A run that came to a good end all the same was not ended by it.
 */
function finalCode(code: number, { uncaught, watch }: Running): number {
  if (code === EXIT.notRestored) return code;
  if (uncaught.error !== undefined) return EXIT.failed;
  const signal = watch.received();
  return signal === undefined || code === EXIT.ok ? code : signalExitCode(signal);
}

/** The JSON document of a command that ended without one, so that there always is one. */
function silentDocument(exitCode: number, command: string): string {
  const meaning = EXIT_MEANINGS.find(([code]) => code === String(exitCode))?.[1];
  return errorDocument(new Error(meaning ?? "stopped"), exitCode, { command });
}

/** What is known of errors that no code caught. */
interface Uncaught {
  /** The first one of the run; undefined if there was none. */
  readonly error: unknown;
  /** The run has ended, with its exit code: errors from now on are told, and change nothing. */
  stop(): void;
}

/** After so many uncaught errors, further ones are not printed. */
const UNCAUGHT_TOLD_MAX = 5;

/**
 * Errors that no code caught stop the run like a signal, so that auto_failover is put back. However many
 * there are, the run keeps the time that a signal leaves it; after that the process exits, with exit code
 * 9 if auto_failover may still be off.
 */
function catchUncaught(watch: SignalWatch, io: ProcessIo): Uncaught {
  const caught: { error: unknown; stop(): void } = { error: undefined, stop: () => {} };
  let count = 0;
  let isOver = false;
  const onUncaught = (error: unknown): void => {
    count += 1;
    if (count <= UNCAUGHT_TOLD_MAX) io.err(`openmldb-ops: ${errorText(error)}\n`);
    if (count > 1 || isOver) return;
    caught.error = error ?? unexpectedHint;
    watch.abort(error);
    setTimeout(() => watch.leave(EXIT.failed), CLEAN_UP_MS).unref();
  };
  // To the end of the process: connections that close late must not turn an exit code into another one.
  process.on("uncaughtException", onUncaught);
  caught.stop = () => {
    isOver = true;
  };
  return caught;
}
