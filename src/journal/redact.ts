import { isSecretName, MASK } from "../util/secret-name.js";

/** Masks the values of secret flags in command-line arguments, in both forms: `--zk_cert=X` and `--zk_cert X`. */
export function redactArgs(argv: readonly string[]): string[] {
  return argv.map((arg, index) => {
    const [, name = "", value] = /^--?([^=]+)(=[\s\S]*)?$/.exec(arg) ?? [];
    if (isSecretName(name)) return value === undefined ? arg : `--${name}=${MASK}`;
    const before = argv[index - 1] ?? "";
    const isValueOfSecret = /^--?[^=]+$/.test(before) && isSecretName(before);
    return isValueOfSecret && !arg.startsWith("--") ? MASK : arg;
  });
}

/** Masks the values of secret flags; flags without a value are left out. */
export function redactFlags(flags: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(flags)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, isSecretName(name) && !isEmpty(value) ? MASK : value]),
  );
}

/** True if no value was given: an empty text, or an empty password. */
function isEmpty(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value === "";
  return "text" in value && value.text === "";
}
