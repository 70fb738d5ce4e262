import { messageOf, OpsError } from "../errors.js";
import { clipped, jsonText, safe } from "../util/text.js";

const SCHEMA_VERSION = 1;
/** Characters of a message for people, and of its hint, so that both can be found on the line. */
const MESSAGE_MAX = 4_000;

/** What to do about an error that is none of the expected ones. */
export const unexpectedHint = "this is a bug; run again with --log_level=debug and report the log";

/** An error for people, on one line: what happened, and in brackets what to do. */
export function errorText(thrown: unknown): string {
  const hint = hintOf(thrown);
  const message = safe(clipped(messageOf(thrown), MESSAGE_MAX));
  return hint === undefined ? message : `${message} (${safe(clipped(hint, MESSAGE_MAX))})`;
}

/** What to do where the operating system refused something, by its code. */
const SYSTEM_HINTS: ReadonlyMap<unknown, string> = new Map([
  ["EMFILE", "allow a process more open files: ulimit -n"],
  ["ENFILE", "the machine has no file handles left: end other processes, or raise fs.file-max"],
  ["ENOMEM", "the machine has no memory left: end other processes, or allow this one more"],
  ["ENOSPC", "the disk is full: make room, then run it again"],
  ["EDQUOT", "the disk quota is used up: make room, then run it again"],
]);

function hintOf(thrown: unknown): string | undefined {
  if (thrown instanceof OpsError) return thrown.hint;
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  return SYSTEM_HINTS.get(code) ?? unexpectedHint;
}

/** The lines that come before {@link errorText}: what it sums up. Empty for most errors. */
export function detailLines(thrown: unknown): string[] {
  return detailsOf(thrown).map((line) => safe(clipped(line, MESSAGE_MAX)));
}

function detailsOf(thrown: unknown): readonly string[] {
  return thrown instanceof OpsError ? thrown.details : [];
}

/** Which command ended with an error, and when a look of it failed. */
export interface FailedCommand {
  /** Undefined if the command line names none. */
  readonly command?: string | undefined;
  /** With a look of `--watch`: its time, ISO 8601 in UTC. */
  readonly time?: string;
}

/** An error for programs: one JSON document with its line break, the same for every command and every look. */
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

/** Where an error that is no OpsError comes from; of an OpsError, where its cause comes from. */
export function stackLines(thrown: unknown): string[] {
  const root = thrown instanceof OpsError ? (thrown.cause ?? thrown) : thrown;
  return root instanceof Error ? (root.stack ?? "").split("\n") : [];
}
