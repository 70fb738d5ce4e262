import { isSecretName, MASK } from "../util/secret-name.js";

/**
 * Command-line arguments without the values of flags that carry secrets, whether written as
 * `--zk_cert=X` or `--zk_cert X`.
 */
export function redactArgs(argv: readonly string[]): string[] {
  return argv.map((arg, index) => {
    const [, name = "", value] = /^--?([^=]+)(=[\s\S]*)?$/.exec(arg) ?? [];
    if (isSecretName(name)) return value === undefined ? arg : `--${name}=${MASK}`;
    const before = argv[index - 1] ?? "";
    const isValueOfSecret = /^--?[^=]+$/.test(before) && isSecretName(before);
    return isValueOfSecret && !arg.startsWith("--") ? MASK : arg;
  });
}

/** Flags as they were read, without secrets; flags that have no value are left out. */
export function redactFlags(flags: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(flags)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, isSecretName(name) && !isEmpty(value) ? MASK : value]),
  );
}

/** Whether nothing was given: an empty text, or a password without one. */
function isEmpty(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value === "";
  return "text" in value && value.text === "";
}
