import type { Readable } from "node:stream";
import type { Log } from "../log.js";

/** Returns lines without line ends, at most `rows` and each at most `columns` wide. */
export type DrawLive = (size: {
  readonly columns: number;
  readonly rows: number;
}) => readonly string[];

/** An output of a command: a stream of the process, or a buffer in tests. */
export interface TextOut {
  /**
   * Writes `text`, which includes its line ends. Characters that are unsafe for a terminal are escaped, see
   * `printable`. Returns a promise if the write is not finished at once; a caller with much output awaits it, see
   * `print`.
   */
  write(text: string): unknown;
  /**
   * Writes a control sequence of this tool (cursor, clearing) unchanged: never text from outside. Left out without a
   * terminal, or if it has no control sequences (TERM=dumb).
   */
  control?(sequence: string): void;
  /**
   * Shows a live block below all other output, replacing the previous one; undefined removes it. Left out if no live
   * block is possible or wanted: no terminal, TERM=dumb, JSON on stdout, `--log_level` warn or error.
   */
  live?(draw: DrawLive | undefined): void;
  /** True if the reader has closed the stream; left out if that cannot happen. */
  isClosed?(): boolean;
  /** Writes an event of the run, an object with a `kind`; left out unless events are wanted (`--output=ndjson`). */
  event?(record: object): void;
}

/** The parts of the process that a command may use. */
export interface CommandIo {
  /** The result, and nothing else. With `--output=json` exactly one JSON document. */
  readonly stdout: TextOut;
  /** Progress and notes. */
  readonly stderr: TextOut;
  readonly stdin: Readable;
  /** True if stdin is a terminal, so that a question can be asked. Does not open stdin. */
  readonly isInteractiveStdin: boolean;
  /** Leveled log: on stderr from `--log_level` up, in `--log_file` as JSON lines. */
  readonly log: Log;
  /** True if stderr is a terminal, so that a line can be rewritten in place. */
  readonly isInteractiveStderr: boolean;
  /** True if stdout is a terminal, so that its content can be redrawn. */
  readonly isInteractiveStdout: boolean;
  /** True if the result on stdout may have colours (terminal, NO_COLOR, FORCE_COLOR, --no_color). */
  readonly hasColor: boolean;
  /** Width of the terminal in columns, 80 without one. It can change at any time, as `rows` can. */
  readonly columns: number;
  /** Height of the terminal in lines, 24 without one. */
  readonly rows: number;
  /**
   * Aborted by the first SIGINT, SIGTERM or SIGHUP with an OpsError `interrupted` as reason. The command then ends
   * within 5 s and restores auto_failover.
   */
  readonly signal: AbortSignal;
  /**
   * Registers a synchronous handler that runs before the process exits at once (a second signal, an uncaught error),
   * for example to print the command that restores auto_failover. It returns true if auto_failover may be off. A
   * later registration replaces an earlier one.
   */
  onSecondSignal(handler: () => boolean): void;
}

/** The interface of a command module of `src/commands`. */
export interface Command<F> {
  /**
   * Runs the command to its end.
   *
   * @returns The exit code, see `exit-codes.ts`.
   * @throws OpsError, which the caller prints and turns into an exit code.
   */
  run(flags: F, io: CommandIo): Promise<number>;
}
