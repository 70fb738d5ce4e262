import { EXIT } from "../exit-codes.js";
import type { RestoreFlags } from "../flags.js";
import { type Leftover, settleLeftover } from "../protection/take-over.js";
import { jsonText, safe } from "../text.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";
import { runParts, tellNotRestored } from "./protect.js";

const SCHEMA_VERSION = 1;

/**
 * Puts auto_failover back after a run that was killed, and does nothing else.
 *
 * @returns 0 if it is back or nothing was left; 4 if nobody can tell what it was; 9 if it cannot
 *   be put back.
 * @throws OpsError `lock-held` while another run is at work, and what the cluster throws.
 */
export async function run(flags: RestoreFlags, io: CommandIo): Promise<number> {
  const left = await withCluster(flags, io, (_cluster, opened) =>
    settleLeftover(
      runParts(opened, flags, io, { words: ["restore"], waitLockMs: flags.waitLockMs }),
    ),
  );
  if (left.kind === "busy") throw left.error;
  const { exitCode, text } = verdict(left);
  const owner = left.kind === "restored" || left.kind === "failed" ? left.owner : undefined;
  io.stdout.write(
    flags.output === "json"
      ? `${jsonText({ schemaVersion: SCHEMA_VERSION, command: "restore", exitCode, result: left.kind, leftBy: owner ?? null })}\n`
      : `${safe(text)}\n`,
  );
  if (left.kind === "failed") tellNotRestored(left.why, flags, io);
  return exitCode;
}

function verdict(left: Exclude<Leftover, { kind: "busy" }>): { exitCode: number; text: string } {
  switch (left.kind) {
    case "none":
      return { exitCode: EXIT.ok, text: "nothing to put back: no run left auto_failover changed" };
    case "restored":
      return { exitCode: EXIT.ok, text: `auto_failover is ${left.value} again` };
    case "unreadable":
      return {
        exitCode: EXIT.refused,
        text: `auto_failover is left as it is: the note in ZooKeeper (${left.path}) does not say what it was`,
      };
    case "failed":
      return { exitCode: EXIT.notRestored, text: "auto_failover could NOT be put back" };
  }
}
