import type { Readable } from "node:stream";
import type { Log } from "../log.js";

/** Makes lines for a terminal of a size: no longer than its columns, no more than its rows. Without line ends. */
export type DrawLive = (size: {
  readonly columns: number;
  readonly rows: number;
}) => readonly string[];

/** Where a command writes text: a stream of the process, or a buffer in tests. */
export interface TextOut {
  /**
   * Writes `text`; lines end with `\n` given by the caller. What a terminal must not get is escaped
   * on the way, see `printable`. Returns a promise where it takes time until it is through;
   * a caller that writes much waits for it, see `print`.
   */
  write(text: string): unknown;
  /**
   * Writes a control sequence of this tool (cursor, clearing) as it is: never text from elsewhere.
   * Left out where there is no terminal, or one that knows none (TERM=dumb).
   */
  control?(sequence: string): void;
  /**
   * Shows lines below all that is written, in place of those before, until it gets undefined; then the next text
   * begins a line. Left out where nothing can be drawn, or is to be: no terminal, TERM=dumb, JSON on stdout,
   * `--log_level` warn or error.
   */
  live?(draw: DrawLive | undefined): void;
  /** Whether its reader has gone; left out where that cannot happen. */
  isClosed?(): boolean;
  /** Takes an event of the run, an object with a `kind`; left out where no events are wanted. */
  event?(record: object): void;
}

/** What a command may use of the process that runs it. */
export interface CommandIo {
  /** The result, and nothing else. With `--output=json` exactly one JSON document. */
  readonly stdout: TextOut;
  /** Progress and notes for people. */
  readonly stderr: TextOut;
  readonly stdin: Readable;
  /** Whether stdin is a terminal, so that a question can be asked. Does not open stdin. */
  readonly isInteractiveStdin: boolean;
  /** Leveled log: on stderr from `--log_level` up, in `--log_file` as JSON lines. */
  readonly log: Log;
  /** Whether stderr is a terminal, so that a line may be rewritten in place. */
  readonly isInteractiveStderr: boolean;
  /** Whether stdout is a terminal, so that what stands there may be drawn anew. */
  readonly isInteractiveStdout: boolean;
  /** Whether the result on stdout may carry colours (terminal, NO_COLOR, FORCE_COLOR, --no_color). */
  readonly hasColor: boolean;
  /** Width of the terminal in columns, 80 if there is none. It may change at any time, as `rows` may. */
  readonly columns: number;
  /** Height of the terminal in lines, 24 if there is none. */
  readonly rows: number;
  /**
   * Aborted by the first SIGINT, SIGTERM or SIGHUP with an OpsError `interrupted` as reason. The
   * command then ends by itself within 5 s and puts back what it switched.
   */
  readonly signal: AbortSignal;
  /**
   * Registers what is done, synchronously, before the process exits at once (a second signal, an
   * uncaught error), such as printing the command that puts auto_failover back. The handler returns
   * whether auto_failover may be off. The last registration wins.
   */
  onSecondSignal(handler: () => boolean): void;
}

/** Columns that a result on stdout has; infinite where it is no terminal. */
export function columnsOf({
  isInteractiveStdout,
  columns,
}: Pick<CommandIo, "isInteractiveStdout" | "columns">): number {
  return isInteractiveStdout ? columns : Number.POSITIVE_INFINITY;
}

/** What every module of `src/commands` that implements a command exports. */
export interface Command<F> {
  /**
   * Runs the command to its end.
   *
   * @returns The exit code, see `exit-codes.ts`.
   * @throws OpsError, which the caller prints and turns into an exit code.
   */
  run(flags: F, io: CommandIo): Promise<number>;
}
