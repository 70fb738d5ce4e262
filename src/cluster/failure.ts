import { OpsError, type OpsErrorParts } from "../errors.js";
import type { Clock } from "../model/clock.js";

/**
 * Whether a failed call can have had an effect.
 *
 * - `unsent`: the request was not sent, so it certainly had no effect.
 * - `dropped`: the connection was accepted and then closed. brpc does this if the authorization is wrong or
 *   missing; it also happens when the peer dies.
 * - `unclear`: the request may have had an effect.
 */
export type FailureKind = "unsent" | "dropped" | "unclear";

const kinds = new WeakMap<OpsError, FailureKind>();

/** Creates the error of a failed call and stores its kind; see {@link failureKindOf}. */
export function failure(kind: FailureKind, parts: OpsErrorParts): OpsError {
  const error = new OpsError(parts);
  kinds.set(error, kind);
  return error;
}

/** The kind of a failed call; `unclear` for errors without a stored kind. */
export function failureKindOf(error: OpsError): FailureKind {
  return kinds.get(error) ?? "unclear";
}

/**
 * Returns the same failure with another message, and optionally another endpoint and hint. Kind, code and other
 * fields are kept; the old error is the cause.
 */
export function reworded(
  error: OpsError,
  parts: Pick<OpsErrorParts, "message" | "endpoint" | "hint">,
): OpsError {
  const { code, hint, retryable, responseCode } = error;
  return failure(failureKindOf(error), {
    code,
    hint,
    retryable,
    responseCode,
    cause: error,
    ...parts,
  });
}

/** The error of an aborted call: the signal's reason if that is an OpsError (`time-limit`), else `interrupted`. */
export function interruption(signal: AbortSignal | undefined): OpsError {
  if (signal?.reason instanceof OpsError) {
    return signal.reason;
  }
  return new OpsError({ code: "interrupted", message: "interrupted", cause: signal?.reason });
}

/** Sleeps between two attempts of a call. @throws OpsError as {@link interruption} once the signal is aborted. */
export function pause(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return clock.sleep(ms, signal).catch((error: unknown) => {
    throw signal?.aborted === true ? interruption(signal) : error;
  });
}
