import { type ErrorCode, OpsError } from "../errors.js";

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
