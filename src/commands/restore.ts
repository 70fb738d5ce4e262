import type { RestoreFlags } from "../cli/tool-specs.js";
import { EXIT } from "../exit-codes.js";
import { readMarker } from "../run/marker.js";
import { ownerText } from "../run/owner.js";
import { type Leftover, markerAccess, settleLeftover } from "../run/take-over.js";
import { jsonText, safe } from "../util/text.js";
import { changingRun } from "./changing-run.js";
import type { CommandIo } from "./command.js";
import { withClusterAndProgress } from "./progress.js";
import { printNotRestored, runParts } from "./protect.js";

const SCHEMA_VERSION = 1;
const TYPED = { cmd: "restore" } as const;
const NOTHING_LEFT = "nothing to restore: no run left auto_failover changed";

/**
 * Restores auto_failover after a run that was killed, or that left it off on purpose. The journal records the user.
 *
 * @returns 0 if it is restored or nothing was left; 4 if the old value is not known; 9 if it cannot be restored.
 * @throws OpsError `lock-held` if another run holds the lock, and the errors of the cluster.
 */
export async function run(flags: RestoreFlags, io: CommandIo): Promise<number> {
  const { waitLockMs } = flags;
  if (flags.dryRun) return showOnly(flags, io);
  return changingRun({ ...flags, timeoutMs: 0 }, io, TYPED, async ({ opened, ...of }) => {
    const parts = runParts(opened, flags, { waitLockMs, stopSignal: io.signal, ...of });
    const left = await settleLeftover(parts, "all");
    if (left.kind === "busy") throw left.error;
    return printResult(left, flags, io);
  });
}

/** Prints which value would be restored. */
async function showOnly(flags: RestoreFlags, io: CommandIo): Promise<number> {
  const left = await withClusterAndProgress(
    flags,
    io,
    "restore",
    (opened) => readMarker(markerAccess(opened)),
    { endsCallsOnSignal: true },
  );
  const marker = left?.kind === "marker" ? left : undefined;
  const text =
    left === undefined
      ? NOTHING_LEFT
      : marker === undefined
        ? "the marker of an earlier run in ZooKeeper cannot be read, so the old value of auto_failover is not known"
        : `auto_failover would be restored to ${marker.original}: ${ownerText(marker.owner)} left it`;
  const head = { schemaVersion: SCHEMA_VERSION, command: "restore", dryRun: true };
  io.stdout.write(
    flags.output === "json"
      ? `${jsonText({ ...head, exitCode: EXIT.ok, wanted: marker?.original ?? null, leftBy: marker?.owner ?? null })}\n`
      : `${safe(text)}\n`,
  );
  return EXIT.ok;
}

type Settled = Exclude<Leftover, { kind: "busy" }>;

function printResult(left: Settled, flags: RestoreFlags, io: CommandIo): number {
  const { exitCode, text } = verdict(left);
  const owner = left.kind === "restored" || left.kind === "failed" ? left.owner : undefined;
  io.stdout.write(
    flags.output === "json"
      ? `${jsonText({ schemaVersion: SCHEMA_VERSION, command: "restore", exitCode, result: left.kind, leftBy: owner ?? null })}\n`
      : `${safe(text)}\n`,
  );
  if (left.kind === "failed") printNotRestored(left.why, flags, io);
  return exitCode;
}

function verdict(left: Settled): { exitCode: number; text: string } {
  switch (left.kind) {
    case "none":
      return { exitCode: EXIT.ok, text: NOTHING_LEFT };
    case "restored":
      return { exitCode: EXIT.ok, text: `auto_failover is ${left.value} again` };
    case "left-off":
      return { exitCode: EXIT.refused, text: "auto_failover is left off on purpose" };
    case "unreadable":
      return {
        exitCode: EXIT.refused,
        text: `auto_failover is left as it is: the marker in ZooKeeper (${left.path}) does not say what it was`,
      };
    case "failed":
      return { exitCode: EXIT.notRestored, text: "auto_failover could NOT be restored" };
  }
}
