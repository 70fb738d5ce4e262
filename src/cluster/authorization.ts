import { createHash } from "node:crypto";
import { usageError } from "../errors.js";

/** Credentials. Without a user, the service token of OpenMLDB's own command-line clients is used. */
export interface Credentials {
  readonly user?: string | undefined;
  /** Empty if undefined: the initial password of the account `root` is empty. */
  readonly password?: string | undefined;
}

/**
 * The value of the `authorization` metadata that every call to OpenMLDB 0.9 must carry: `sdefault`
 * (`s` and the service token `default`), or `u`, the user, `:1` and the lowercase hex SHA-256 of
 * the password. If authentication is off, any value is accepted; without a value brpc drops the connection.
 *
 * @throws OpsError `usage` for a password without a user and for a user name that cannot be sent.
 */
export function authorizationFor(credentials: Credentials): string {
  const { user, password } = credentials;
  if (user === undefined || user === "") {
    if (password !== undefined && password !== "") {
      throw usageError("a password was given without a user", "give the user with --user");
    }
    return "sdefault";
  }
  if (!/^[\x21-\x39\x3b-\x7e]+$/.test(user)) {
    throw usageError(
      "the user name may only hold printable ASCII characters, no spaces and no colon",
    );
  }
  const digest = createHash("sha256")
    .update(password ?? "", "utf8")
    .digest("hex");
  return `u${user}:1${digest}`;
}
