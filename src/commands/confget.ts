import type { ConfGetFlags } from "../cli/tool-specs.js";
import { usageError } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import { table } from "../util/table.js";
import { jsonText, safe } from "../util/text.js";
import type { CommandIo } from "./command.js";
import { withClusterAndProgress } from "./progress.js";
import { settleFirst } from "./protect.js";

const SCHEMA_VERSION = 1;

/**
 * Shows the nameserver's configuration, or one key of it. First restores auto_failover if a run that was killed left
 * it off.
 *
 * @returns 0; 9 if auto_failover could not be restored.
 * @throws OpsError `usage` if the nameserver has no such key, and the errors of the cluster.
 */
export async function run(flags: ConfGetFlags, io: CommandIo): Promise<number> {
  const { all, end } = await withClusterAndProgress(
    flags,
    io,
    "confget",
    async (opened) => {
      const end = await settleFirst(opened, flags, io, "confget");
      return { all: await opened.cluster.confGet(), end };
    },
    { endsCallsOnSignal: true },
  );
  const conf = flags.key === undefined ? [...all].sort() : [entryOf(all, flags.key)];
  io.stdout.write(
    flags.output === "json"
      ? `${jsonText({ schemaVersion: SCHEMA_VERSION, conf: Object.fromEntries(conf) })}\n`
      : table([{ title: "key" }, { title: "value" }], conf, io.hasColor),
  );
  return end(EXIT.ok);
}

function entryOf(all: ReadonlyMap<string, string>, key: string): [string, string] {
  const value = all.get(key);
  if (value !== undefined) return [key, value];
  throw usageError(
    `the nameserver's configuration has no "${safe(key)}"`,
    `it has: ${[...all.keys()].sort().map(safe).join(", ")}`,
  );
}
