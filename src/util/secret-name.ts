/** Replaces a secret in output. */
export const MASK = "***";

/** A hook is a command of the user: it can contain the token of a chat or a ticket system. */
const SECRET_NAME = /cert|password|passwd|secret|authorization|token|credential|hook/i;

/**
 * True if a flag, field or variable holds a secret, by its name. Secrets are kept out of logs and
 * journals by their source, never by searching texts for them: many are ordinary words.
 */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}
