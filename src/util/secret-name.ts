/** What stands in for a secret. */
export const MASK = "***";

/** A hook is a command of the user: it can carry the token of a chat or a ticket system. */
const SECRET_NAME = /cert|password|passwd|secret|authorization|token|credential|hook/i;

/**
 * Whether a flag, field or variable holds a secret, by its name. Secrets are kept out of logs and
 * journals by where they come from, never by searching texts for them: many are ordinary words.
 */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}
