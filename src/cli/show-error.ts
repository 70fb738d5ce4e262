import { codeOf, messageOf, OpsError } from "../errors.js";
import { clipped, jsonText, safe } from "../util/text.js";

const SCHEMA_VERSION = 1;
/** Limit of characters of a printed message, and of its hint. */
const MESSAGE_MAX = 4_000;

/** The hint for an unexpected error. */
export const unexpectedHint = "this is a bug; run again with --log_level=debug and report the log";

/** An error as one line of text: the message, and the hint in brackets. */
export function errorText(thrown: unknown): string {
  const hint = hintOf(thrown);
  const message = safe(clipped(messageOf(thrown), MESSAGE_MAX));
  return hint === undefined ? message : `${message} (${safe(clipped(hint, MESSAGE_MAX))})`;
}

/** Hints for errors of the operating system, by code. */
const SYSTEM_HINTS: ReadonlyMap<unknown, string> = new Map([
  ["EMFILE", "allow a process more open files: ulimit -n"],
  ["ENFILE", "the machine has no file handles left: end other processes, or raise fs.file-max"],
  ["ENOMEM", "the machine has no memory left: end other processes, or allow this one more"],
  ["ENOSPC", "the disk is full: free some space, then run it again"],
  ["EDQUOT", "the disk quota is used up: free some space, then run it again"],
]);

function hintOf(thrown: unknown): string | undefined {
  if (thrown instanceof OpsError) return thrown.hint;
  return SYSTEM_HINTS.get(codeOf(thrown)) ?? unexpectedHint;
}

/** The lines that precede {@link errorText}, with the details of an error. Empty for most errors. */
export function detailLines(thrown: unknown): string[] {
  return detailsOf(thrown).map((line) => safe(clipped(line, MESSAGE_MAX)));
}

function detailsOf(thrown: unknown): readonly string[] {
  return thrown instanceof OpsError ? thrown.details : [];
}

/** The command that failed, and the time of a failed observation. */
export interface FailedCommand {
  /** Undefined if the command line names none. */
  readonly command?: string | undefined;
  /** Time of a failed observation of `--watch`, ISO 8601 in UTC. */
  readonly time?: string;
}

/** An error as a JSON document with a line break; the same for all commands, with and without `--watch`. */
export function errorDocument(
  thrown: unknown,
  exitCode: number,
  { command, time }: FailedCommand = {},
): string {
  const code = thrown instanceof OpsError ? thrown.code : "unexpected";
  const details = detailsOf(thrown);
  const error = {
    code,
    message: messageOf(thrown),
    hint: hintOf(thrown),
    ...(details.length === 0 ? {} : { details }),
  };
  return `${jsonText({ schemaVersion: SCHEMA_VERSION, command, time, exitCode, error })}\n`;
}

/** The stack trace of an unexpected error, or of the cause of an OpsError. */
export function stackLines(thrown: unknown): string[] {
  const root = thrown instanceof OpsError ? (thrown.cause ?? thrown) : thrown;
  return root instanceof Error ? (root.stack ?? "").split("\n") : [];
}
