/** What stands in for a secret. */
const MASK = "***";
const SECRET_NAME = /cert|password|passwd|secret|token|credential/i;
/** Values that may contain one: a command can carry the token of a chat or a ticket system. */
const HIDDEN_NAME = /cert|password|passwd|secret|token|credential|hook/i;
/** Shorter secrets are not searched for in text: masking them would garble everything. */
const SECRET_MIN = 4;

/**
 * Command-line arguments without the values of flags that carry secrets, whether written as
 * `--zk_cert=X` or `--zk_cert X`.
 */
export function redactArgs(argv: readonly string[]): string[] {
  return argv.map((arg, index) => {
    const [, name = "", value] = /^--?([^=]+)(=[\s\S]*)?$/.exec(arg) ?? [];
    if (HIDDEN_NAME.test(name)) return value === undefined ? arg : `--${name}=${MASK}`;
    const before = argv[index - 1] ?? "";
    const isValueOfSecret = /^--?[^=]+$/.test(before) && HIDDEN_NAME.test(before);
    return isValueOfSecret && !arg.startsWith("--") ? MASK : arg;
  });
}

/** Flags as they were read, without secrets; flags that have no value are left out. */
export function redactFlags(flags: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(flags)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, HIDDEN_NAME.test(name) && value !== "" ? MASK : value]),
  );
}

/** The texts of secret flags, and what stands after the user name in those like `user:password`. */
export function secretsIn(flags: object): string[] {
  return Object.entries(flags).flatMap(([name, value]: [string, unknown]) => {
    if (!SECRET_NAME.test(name) || typeof value !== "string") return [];
    return [value, value.slice(value.indexOf(":") + 1)];
  });
}

/**
 * One line of JSON in which none of `secrets` occurs in a text. A bigint becomes a decimal string.
 */
export function redactedLine(value: object, secrets: readonly string[]): string {
  const known = secrets.filter((secret) => secret.length >= SECRET_MIN);
  const mask = (text: string) =>
    known.reduce((masked, secret) => masked.replaceAll(secret, MASK), text);
  const text = JSON.stringify(value, (key, item: unknown) => {
    if (typeof item === "bigint") return item.toString();
    // A reader needs the kind to know what the line is, and it is one of our own words.
    return typeof item === "string" && key !== "kind" ? mask(item) : item;
  });
  return `${text}\n`;
}
