/** Why something failed, as one word that programs and tests can rely on. */
export type ErrorCode =
  /** The command line, an environment default or a file given by the user is wrong. */
  | "usage"
  /** No ZooKeeper answered within the limit, or what answered is not ZooKeeper. */
  | "zookeeper-unreachable"
  /** ZooKeeper refused the credentials, or none were given where they are needed. */
  | "zookeeper-auth"
  /** ZooKeeper answered an operation with an error that is none of the above. */
  | "zookeeper-failed"
  /** There is no OpenMLDB cluster under the given root path. */
  | "no-cluster"
  /** The cluster is there, but no nameserver leads it. */
  | "no-leader"
  /** The peer could not be reached, or dropped the connection. */
  | "unreachable"
  /** The peer did not answer before the deadline of the call. */
  | "deadline"
  /** The peer answered with a code other than 0; see `responseCode`. */
  | "rejected"
  /** The tablet that answers is not the one of that name; nothing more is sent to it in this run. */
  | "wrong-tablet"
  /** The tablet was connected to anew and has not shown yet whose it is; nothing was sent. */
  | "unidentified"
  /** The peer answered something that is not the protocol. */
  | "bad-answer"
  /** The run was told to stop (a signal). */
  | "interrupted"
  /** The time limit of the whole run has passed. */
  | "time-limit"
  /** Another run holds the lock of the cluster; nothing was changed. */
  | "lock-held"
  /** The lock was lost in the middle, and another run holds it now. */
  | "lock-lost"
  /** The lock was lost and taken again: what was observed before that counts no more. */
  | "lock-retaken"
  /** Another client switched auto_failover on in the middle; the run changes nothing more. */
  | "auto-failover-on"
  /** The cluster is not as the plan to be applied saw it; nothing was changed. */
  | "plan-stale"
  /** A check forbids going on; nothing was changed. */
  | "refused";

/** What an {@link OpsError} is made of. */
export interface OpsErrorParts {
  readonly code: ErrorCode;
  /** What happened and why, one line, no final stop. Names of any length may be in it: long ones are cut. */
  readonly message: string;
  /** What the user can do about it; absent when there is nothing better than the message. */
  readonly hint?: string;
  /** Whether the same call may succeed if it is made again. Decided where the error is born. */
  readonly retryable?: boolean;
  /** The nameserver or tablet concerned, by the name the cluster knows it by. */
  readonly endpoint?: string;
  /** OpenMLDB's response code, if the peer answered one. */
  readonly responseCode?: number;
  /** What the message sums up, one fact a line; left out if there is nothing more to tell. */
  readonly details?: readonly string[];
  readonly cause?: unknown;
}

/** A longer word is a name that no person reads to its end: so much of it is left in a message. */
const WORD_SHOWN = 100;
const LONG_WORD = /\S{301,}/g;

/** A name of any length may come from outside. Commands to be typed stand in hints, and stay whole. */
function withShortWords(text: string): string {
  return text.replaceAll(
    LONG_WORD,
    (word) => `${word.slice(0, WORD_SHOWN)}... (${word.length} characters)`,
  );
}

/** The one exception of this tool. Conditions of a cluster are `Problem` values instead. */
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

/**
 * The text of anything thrown, on one line.
 *
 * @param thrown Whatever a `catch` received.
 */
export function messageOf(thrown: unknown): string {
  return textOf(thrown).replaceAll(/\s*\n\s*/g, " ");
}

/** Libraries throw anything: an object that cannot become a text must not cause another error. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return "a value that is no error was thrown";
  }
}
