import { type ErrorCode, OpsError } from "../errors.js";

/** Errors that say all about why a run ended; their exit codes hold even after changes. */
const STOPS: readonly ErrorCode[] = [
  "interrupted",
  "time-limit",
  "lock-lost",
  "lock-retaken",
  "auto-failover-on",
];

/** Whether an error says all about why a run ended, so that its exit code holds after changes too. */
export function isStop(error: unknown): error is OpsError {
  return error instanceof OpsError && STOPS.includes(error.code);
}
