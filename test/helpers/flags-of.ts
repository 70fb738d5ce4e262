import type { Environment } from "../../src/cli/flag-parse.js";
import { readInvocation } from "../../src/cli/invocation.js";

/**
 * The flags of a command line, as its command gets them.
 *
 * @throws OpsError `usage` for a command line that is wrong.
 */
export function flagsOf(
  argv: readonly string[],
  environment: Environment = {},
): Readonly<Record<string, unknown>> {
  const invocation = readInvocation(argv);
  if (invocation.kind !== "command") throw new Error(`no command but ${invocation.kind}`);
  return { ...invocation.entry.prepare(invocation.line, environment).flags };
}
