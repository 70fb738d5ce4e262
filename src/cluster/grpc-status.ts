import { status } from "@grpc/grpc-js";
import { OpsError } from "../errors.js";
import { durationText } from "../model/duration.js";
import { oneLine } from "../util/text.js";
import { failure } from "./failure.js";

/** One call, for error messages. */
export interface CallName {
  /** `host:port` that was dialled. */
  readonly address: string;
  /** Such as `GetTableStatus`. */
  readonly method: string;
  /** Deadline of the call in milliseconds. */
  readonly timeoutMs: number;
  /** The largest accepted answer in bytes. */
  readonly maxAnswerBytes: number;
}

const credentialsHint =
  "a wrong or missing user or password looks like this: check --user and --password_file";

/**
 * Validates the status of a failed call. grpc-js 1.14 reports errors without `code` and `details` if one of its filters
 * throws (an answer marked as compressed without `grpc-encoding`), and `code` NaN if the peer's `grpc-status` is not a
 * number.
 *
 * @returns `code`: undefined if the error has no valid one. `details`: one line of bounded length; may be empty.
 */
function checked(error: unknown): { readonly code: number | undefined; readonly details: string } {
  const { code, details, message } = Object(error) as Record<string, unknown>;
  // If the error has a code, its message only repeats code and details.
  const text = "code" in Object(error) ? details : message;
  return {
    code: typeof code === "number" && Number.isInteger(code) ? code : undefined,
    details: typeof text === "string" ? oneLine(percentDecode(text)) : "",
  };
}

/** The error of a call whose deadline passed. */
export function tooLate({ address, method, timeoutMs }: CallName): OpsError {
  return failure("unclear", {
    code: "deadline",
    message: `${method} at ${address}: no answer within ${durationText(timeoutMs)}`,
    retryable: true,
    endpoint: address,
  });
}

/**
 * Converts any failure of a gRPC call to an OpsError.
 *
 * @param error The status or error of grpc-js; it is validated.
 * @param hasAnswered True if this address has answered a call before, and so accepts the authorization: a dropped
 *   connection has another cause then.
 * @returns `unreachable` and `deadline` are retryable, `bad-answer` is not.
 * @see grpc-js 1.14, subchannel-call and resolving-call, for the texts of `details`.
 */
export function fromStatus(name: CallName, error: unknown, hasAnswered: boolean): OpsError {
  const call = `${name.method} at ${name.address}`;
  const { code, details } = checked(error);
  const parts = { endpoint: name.address, cause: error };
  switch (code) {
    case status.UNAVAILABLE:
      return unavailable(name, error, details, hasAnswered);
    case status.CANCELLED:
      // Cancelled by the peer: calls that this side cancels do not reach this code.
      return failure("unclear", {
        ...parts,
        code: "unreachable",
        message: `${call}: the peer cancelled the call`,
        retryable: true,
      });
    case status.DEADLINE_EXCEEDED:
      return tooLate(name);
    case status.UNIMPLEMENTED:
      return new OpsError({
        ...parts,
        code: "bad-answer",
        message: `${call}: the peer does not know this method (${details})`,
        hint: "it may be an older OpenMLDB, or no OpenMLDB nameserver or tablet at all",
      });
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return new OpsError({
        ...parts,
        code: "bad-answer",
        message: `${call}: ${details}`,
        hint: credentialsHint,
      });
    case status.RESOURCE_EXHAUSTED:
      return exhausted(name, error, details);
    default:
      return new OpsError({
        ...parts,
        code: "bad-answer",
        message: withDetails(name, statusInWords(code), details),
      });
  }
}

/** The error for RESOURCE_EXHAUSTED: an answer that is too large (detected by grpc-js), or the server's own status. */
function exhausted(name: CallName, error: unknown, details: string): OpsError {
  const isTooLarge = /^Received message (larger than max|that decompresses)/.test(details);
  const size = `${Math.round(name.maxAnswerBytes / 1024 / 1024)} MiB`;
  return new OpsError({
    code: "bad-answer",
    message: isTooLarge
      ? `${name.method} at ${name.address}: the answer is larger than ${size}`
      : withDetails(name, statusInWords(status.RESOURCE_EXHAUSTED), details),
    hint: isTooLarge ? "--max_answer accepts a larger one" : undefined,
    endpoint: name.address,
    cause: error,
  });
}

function withDetails({ method, address }: CallName, status: string, details: string): string {
  return [`${method} at ${address}`, status, details].filter((text) => text !== "").join(": ");
}

function statusInWords(code: number | undefined): string {
  if (code === undefined) return "the answer is not a gRPC answer";
  return code in status ? `gRPC status ${code} ${status[code]}` : `unknown gRPC status ${code}`;
}

function unavailable(
  name: CallName,
  error: unknown,
  details: string,
  hasAnswered: boolean,
): OpsError {
  const isUnsent = /^(No connection established|Name resolution failed|Channel closed)/.test(
    details,
  );
  // brpc drops the connection of a call whose authorization is wrong.
  const isRefusal = details.startsWith("Connection dropped") && !hasAnswered;
  return failure(isUnsent ? "unsent" : isRefusal ? "dropped" : "unclear", {
    code: "unreachable",
    message: `${name.method} at ${name.address}: ${unavailableInWords(details)}`,
    hint: isRefusal ? credentialsHint : undefined,
    retryable: true,
    endpoint: name.address,
    cause: error,
  });
}

function unavailableInWords(details: string): string {
  if (details.includes("ECONNREFUSED")) {
    return "connection refused, nothing listens there";
  }
  if (/ENOTFOUND|EAI_AGAIN|Name resolution failed/.test(details)) {
    return "the host name cannot be resolved";
  }
  if (details.includes("ECONNRESET")) {
    return "the connection was reset";
  }
  return details.startsWith("Connection dropped")
    ? "the connection was dropped by the peer"
    : details;
}

/**
 * Decodes valid percent encoding and leaves everything else unchanged. brpc encodes the details of a gRPC status
 * (`%3a`, `%2f`), and a single `%` in them must not be an error.
 */
export function percentDecode(text: string): string {
  return text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run;
    }
  });
}
