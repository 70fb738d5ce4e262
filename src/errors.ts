/** The cause of an error as a stable code, for programs and tests. */
export type ErrorCode =
  /** The command line, an environment default or a file given by the user is wrong. */
  | "usage"
  /** No ZooKeeper server answered within the limit, or the server that answered is not ZooKeeper. */
  | "zookeeper-unreachable"
  /** ZooKeeper refused the credentials, or required ones were not given. */
  | "zookeeper-auth"
  /** ZooKeeper answered an operation with any other error. */
  | "zookeeper-failed"
  /** There is no OpenMLDB cluster under the given root path. */
  | "no-cluster"
  /** The cluster exists, but no nameserver is registered as leader. */
  | "no-leader"
  /** The peer is unreachable, or dropped the connection. */
  | "unreachable"
  /** The peer did not answer before the deadline of the call. */
  | "deadline"
  /** The peer answered with a code other than 0; see `responseCode`. */
  | "rejected"
  /** The tablet that answers is not the one of that name. The run sends no further changes to it. */
  | "wrong-tablet"
  /** The tablet has a new connection on which it is not identified yet; nothing was sent. */
  | "unidentified"
  /** The peer's answer violates the protocol. */
  | "bad-answer"
  /** The run was stopped by a signal. */
  | "interrupted"
  /** The time limit of the whole run has passed. */
  | "time-limit"
  /** Another run holds the lock of the cluster; nothing was changed. */
  | "lock-held"
  /** The lock was lost during the run, and another run holds it now. */
  | "lock-lost"
  /** The lock was lost and acquired again: all earlier observations are outdated. */
  | "lock-retaken"
  /** Another client switched auto_failover on during the run; the run makes no further changes. */
  | "auto-failover-on"
  /** The cluster no longer matches the saved plan; nothing was changed. */
  | "plan-stale"
  /** A check forbids the command; nothing was changed. */
  | "refused";

/** The fields of an {@link OpsError}. */
export interface OpsErrorParts {
  readonly code: ErrorCode;
  /** What happened and why, one line, no final stop. Long words (names) in it are shortened. */
  readonly message: string;
  /** What the user can do about it; absent if there is nothing to add to the message. */
  readonly hint?: string | undefined;
  /** True if the same call may succeed later. Decided where the error is created. */
  readonly retryable?: boolean;
  /** The nameserver or tablet concerned, by the name the cluster knows it by. */
  readonly endpoint?: string | undefined;
  /** OpenMLDB's response code, if the peer sent one. */
  readonly responseCode?: number | undefined;
  /** The facts that the message summarizes, one a line; absent if there are no more. */
  readonly details?: readonly string[];
  readonly cause?: unknown;
}

/** Number of characters that are kept of a word that matches {@link LONG_WORD}. */
const WORD_SHOWN = 100;
const LONG_WORD = /\S{301,}/g;

/**
 * Shortens long words, because names from outside can have any length. Not used for hints: the commands in
 * them must stay complete.
 */
function withShortWords(text: string): string {
  return text.replaceAll(
    LONG_WORD,
    (word) => `${word.slice(0, WORD_SHOWN)}... (${word.length} characters)`,
  );
}

/** The only error class of this tool. Conditions of a cluster are `Problem` values instead. */
export class OpsError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly endpoint: string | undefined;
  readonly responseCode: number | undefined;
  readonly details: readonly string[];

  constructor(parts: OpsErrorParts) {
    super(
      withShortWords(parts.message),
      parts.cause === undefined ? undefined : { cause: parts.cause },
    );
    this.name = "OpsError";
    this.code = parts.code;
    this.hint = parts.hint;
    this.retryable = parts.retryable ?? false;
    this.endpoint = parts.endpoint;
    this.responseCode = parts.responseCode;
    this.details = parts.details?.map(withShortWords) ?? [];
  }
}

/** The error `usage` for a wrong command line, or for a wrong file that the user named. */
export function usageError(message: string, hint?: string): OpsError {
  return new OpsError({ code: "usage", message, hint });
}

/** The error `refused` of a check that forbids the whole command. */
export function refused(message: string, hint?: string, details: readonly string[] = []): OpsError {
  return new OpsError({ code: "refused", message, hint, details });
}

/**
 * The message of a thrown value, on one line.
 *
 * @param thrown The value that a `catch` clause received, of any type.
 */
export function messageOf(thrown: unknown): string {
  return textOf(thrown).replaceAll(/\s*\n\s*/g, " ");
}

/** The code of an error of the operating system, such as `ENOENT`; undefined if it has none. */
export function codeOf(thrown: unknown): unknown {
  return thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
}

/** Never throws, even if a library throws an object that cannot be converted to text. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return "a value that is not an Error was thrown";
  }
}

/** Errors that stop a run as a whole. Their exit codes are used even after changes. */
const STOPS: readonly ErrorCode[] = [
  "interrupted",
  "time-limit",
  "lock-lost",
  "lock-retaken",
  "auto-failover-on",
];

/** True for a signal, a time limit, a lost lock, or auto_failover switched on by another client. */
export function isStop(error: unknown): error is OpsError {
  return error instanceof OpsError && STOPS.includes(error.code);
}
