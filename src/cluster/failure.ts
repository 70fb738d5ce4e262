import { OpsError, type OpsErrorParts } from "../errors.js";

/**
 * What a transport knows about a failed call beyond the error's code.
 *
 * - `unsent`: nothing of the request left this process, so it had no effect for certain.
 * - `dropped`: the connection was accepted and then closed, as brpc does when the authorization is
 *   wrong or missing; also seen when the peer dies.
 * - `unclear`: the request may have had an effect.
 */
export type FailureKind = "unsent" | "dropped" | "unclear";

const kinds = new WeakMap<OpsError, FailureKind>();

/** Makes the error of a failed call and remembers its kind; see {@link failureKindOf}. */
export function failure(kind: FailureKind, parts: OpsErrorParts): OpsError {
  const error = new OpsError(parts);
  kinds.set(error, kind);
  return error;
}

/** The kind of a failed call; `unclear` for errors that no transport marked. */
export function failureKindOf(error: OpsError): FailureKind {
  return kinds.get(error) ?? "unclear";
}

/** The same failure told in other words: same kind and code, the hint too unless there is a better one; the old error is its cause. */
export function reworded(
  error: OpsError,
  parts: { message: string; endpoint?: string; hint?: string },
): OpsError {
  return failure(failureKindOf(error), {
    code: error.code,
    retryable: error.retryable,
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.responseCode === undefined ? {} : { responseCode: error.responseCode }),
    ...parts,
  });
}

/**
 * Why a call ends when its signal is aborted: the signal's reason if that is an OpsError already
 * (such as `time-limit`), else `interrupted`.
 */
export function interruption(signal: AbortSignal | undefined): OpsError {
  if (signal?.reason instanceof OpsError) {
    return signal.reason;
  }
  return new OpsError({ code: "interrupted", message: "interrupted", cause: signal?.reason });
}
