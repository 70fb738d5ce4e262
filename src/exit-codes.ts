import { constants } from "node:os";
import { type ErrorCode, OpsError } from "./errors.js";

/** All exit codes by name. Scripts depend on the numbers, which change with a major version only. */
export const EXIT = {
  /** All healthy, also if there was nothing to do. */
  ok: 0,
  /** An error that is none of the others. */
  failed: 1,
  usage: 2,
  /** Some partitions are not recovered. Deep verification: no rows differ, but some could not be compared. */
  partly: 3,
  /** Refused before any change: the cluster cannot be observed, or a check failed. */
  refused: 4,
  /** Another run holds the lock, or took it over in the middle. */
  locked: 5,
  /** The cluster no longer matches the saved plan. */
  stale: 6,
  timeLimit: 7,
  /** auto_failover could not be restored; takes precedence over all others. */
  notRestored: 9,
  /** Something is not healthy (read-only commands). */
  unhealthy: 10,
} as const;

/** What the exit codes mean, for `help`. */
export const EXIT_MEANINGS: readonly (readonly [string, string])[] = [
  ["0", "all healthy, also if there was nothing to do"],
  ["1", "unexpected error"],
  ["2", "the command line is wrong"],
  ["3", "some partitions are not recovered, or their rows could not be compared (--deep)"],
  ["4", "refused before any change: cluster not observable, or a check failed"],
  ["5", "another run is active on this cluster"],
  ["6", "the cluster has changed since the plan was made (--apply), nothing was changed"],
  ["7", "a time limit ended the run"],
  ["9", "auto_failover could not be restored (takes precedence over the others)"],
  ["10", "something is not healthy (inspect, and --dry_run with --detailed_exitcode)"],
  ["128+n", "ended by signal n"],
];

/** The signals that end a run in an orderly way. */
export const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** One of {@link STOP_SIGNALS}. */
export type StopSignal = (typeof STOP_SIGNALS)[number];

/** The exit code of a process that a signal ended: 128 plus the signal's number. */
export function signalExitCode(signal: StopSignal): number {
  return 128 + constants.signals[signal];
}

/** The error that ends a run when the first signal comes; {@link exitCodeOf} knows its signal. */
export function interruptedBy(signal: StopSignal): OpsError {
  return new OpsError({ code: "interrupted", message: `stopped by ${signal}`, cause: { signal } });
}

const CODES: Readonly<Record<ErrorCode, number>> = {
  usage: EXIT.usage,
  // Used if the run was aborted without a signal.
  interrupted: EXIT.failed,
  "time-limit": EXIT.timeLimit,
  "lock-held": EXIT.locked,
  "lock-lost": EXIT.locked,
  "lock-retaken": EXIT.locked,
  "auto-failover-on": EXIT.partly,
  "plan-stale": EXIT.stale,
  refused: EXIT.refused,
  "zookeeper-unreachable": EXIT.refused,
  "zookeeper-auth": EXIT.refused,
  "zookeeper-failed": EXIT.refused,
  "no-cluster": EXIT.refused,
  "no-leader": EXIT.refused,
  unreachable: EXIT.refused,
  deadline: EXIT.refused,
  rejected: EXIT.refused,
  "bad-answer": EXIT.refused,
  "wrong-tablet": EXIT.refused,
  unidentified: EXIT.refused,
};

/**
 * The exit code for an error of a command. Errors of observation map to "refused before any change": a command
 * that has changed something catches them itself.
 *
 * @returns 1 for anything that is not an OpsError.
 */
export function exitCodeOf(thrown: unknown): number {
  if (!(thrown instanceof OpsError)) return EXIT.failed;
  const signal = thrown.code === "interrupted" ? signalOf(thrown.cause) : undefined;
  return signal === undefined ? CODES[thrown.code] : signalExitCode(signal);
}

function signalOf(cause: unknown): StopSignal | undefined {
  const name = typeof cause === "object" && cause !== null && "signal" in cause && cause.signal;
  return STOP_SIGNALS.find((signal) => signal === name);
}
