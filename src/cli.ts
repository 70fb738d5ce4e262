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

/** Limit in milliseconds for draining stdout at the end. */
const DRAIN_MS = 5_000;
/** Milliseconds that open connections may keep the process alive after the end of the command. */
const LINGER_MS = 1_000;
/** Milliseconds that a run may take to clean up after an uncaught error: the same as after a signal. */
const CLEAN_UP_MS = 5_000;

/**
 * Runs one command line: help, version, or a command. Every error is caught here and printed as one line.
 *
 * @param argv Without `node` and the script.
 * @returns The exit code.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const io = guardProcessIo();
  const exitCode = await dispatch(argv, io);
  await stdoutDrained(DRAIN_MS);
  const failure = io.failure();
  // Unref: the timer ends a process that open handles keep alive, and keeps none alive itself.
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
        // Print help but exit with an error, so that a script with an empty command stops.
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

/** Prints the candidates for shell completion; see the command `completion`. */
async function completeLine(argv: readonly string[], io: ProcessIo): Promise<number> {
  const { complete } = await import("./cli/complete.js");
  io.out(await complete(argv, process.env, () => import("./commands/cluster-names.js")));
  return EXIT.ok;
}

async function helpText(of: CommandEntry | undefined): Promise<string> {
  const { commandHelp, mainHelp } = await import("./cli/help.js");
  return of === undefined ? mainHelp(toolVersion(), columns()) : commandHelp(of, columns());
}

/** Width of the terminal in columns; 80 without a terminal, or if it reports 0. */
function columns(): number {
  return process.stdout.columns || process.stderr.columns || 80;
}

/** Prints what the command is going to do, before the module that wraps lines is loaded. */
function announce(name: string, announcement: string, io: ProcessIo): void {
  const line = `openmldb-ops ${name}: ${announcement}`;
  const isLong = process.stderr.isTTY === true && line.length > columns();
  io.err(isLong ? `openmldb-ops ${name}:\n  ${announcement}\n` : `${line}\n`);
}

/** Wraps lines to the terminal's width, for each stream that is a terminal. @param isText True if stdout carries text. */
async function fitting<Io extends ProcessIo>(io: Io, isText: boolean): Promise<Io> {
  const stdout = isText && process.stdout.isTTY === true;
  const stderr = process.stderr.isTTY === true;
  if (!stdout && !stderr) return io;
  const { folded } = await import("./util/wrap.js");
  const fold = (isTerminal: boolean, text: string) => (isTerminal ? folded(text, columns()) : text);
  return {
    ...io,
    out: (text) => io.out(fold(stdout, text)),
    print: (text) => io.print(fold(stdout, text)),
    err: (text) => io.err(fold(stderr, text)),
  };
}

/** The value of `--output`, read without parsing the rest of the command line, which may be wrong. */
function wantedOutput(argv: readonly string[]): "table" | "json" | "ndjson" {
  const given = argv.findLast(
    (arg, index) => arg.startsWith("--output=") || argv[index - 1] === "--output",
  );
  const word = (given ?? process.env[variableOf("output")])?.replace(/^--output=/, "");
  return word === "json" || word === "ndjson" ? word : "table";
}

/** Prints an error and returns the exit code. */
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
  // The lines of a completion script must not be wrapped.
  const isForPeople = prepared.flags.output === "table" && entry.name !== "completion";
  const io = await fitting(bare, isForPeople);
  for (const note of notesOn(line, process.env)) io.err(`openmldb-ops: note: ${note}\n`);
  const { openLog } = await import("./log.js");
  const { logLevel, logFile } = prepared.flags;
  // Loaded only if needed: the module for log files takes a tenth of the time of a short command.
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
      // A getter, because accessing process.stdin opens it.
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
    // An uncaught error has already been printed.
    return error === running.uncaught.error ? exitCode : fail(error, exitCode, io, running);
  }
}

/**
 * The exit code of a run that returned `code`. Priority: auto_failover not restored, then an uncaught error,
 * then a signal. A run that succeeded although a signal came keeps exit code 0.
 */
function finalCode(code: number, { uncaught, watch }: Running): number {
  if (code === EXIT.notRestored) return code;
  if (uncaught.error !== undefined) return EXIT.failed;
  const signal = watch.received();
  return signal === undefined || code === EXIT.ok ? code : signalExitCode(signal);
}

/** The JSON document for a command that printed none, so that there always is one. */
function silentDocument(exitCode: number, command: string): string {
  const meaning = EXIT_MEANINGS.find(([code]) => code === String(exitCode))?.[1];
  return errorDocument(new Error(meaning ?? "stopped"), exitCode, { command });
}

/** Tracks uncaught errors of the run. */
interface Uncaught {
  /** The first one of the run; undefined if there was none. */
  readonly error: unknown;
  /** Marks the run as ended: later errors are printed but no longer change the exit code. */
  stop(): void;
}

/** Number of uncaught errors that are printed; further ones are dropped. */
const UNCAUGHT_PRINTED_MAX = 5;

/**
 * Makes uncaught errors stop the run like a signal, so that auto_failover is restored. The first one starts
 * the time limit for cleaning up. After that the process exits, with exit code 9 if auto_failover may still
 * be off.
 */
function catchUncaught(watch: SignalWatch, io: ProcessIo): Uncaught {
  const caught: { error: unknown; stop(): void } = { error: undefined, stop: () => {} };
  let count = 0;
  let isOver = false;
  const onUncaught = (error: unknown): void => {
    count += 1;
    if (count <= UNCAUGHT_PRINTED_MAX) io.err(`openmldb-ops: ${errorText(error)}\n`);
    if (count > 1 || isOver) return;
    caught.error = error ?? unexpectedHint;
    watch.abort(error);
    setTimeout(() => watch.leave(EXIT.failed), CLEAN_UP_MS).unref();
  };
  // Never removed: errors of connections that close late must not change the exit code.
  process.on("uncaughtException", onUncaught);
  caught.stop = () => {
    isOver = true;
  };
  return caught;
}
