import { isDeepStrictEqual } from "node:util";
import { errorText } from "../cli/show-error.js";
import type { ConfSetFlags } from "../cli/tool-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import { EXIT } from "../exit-codes.js";
import { readMarker, removeMarker } from "../run/marker.js";
import { ownerText } from "../run/owner.js";
import { lockCluster, markerAccess, type RunParts } from "../run/take-over.js";
import { table } from "../util/table.js";
import { jsonText } from "../util/text.js";
import { changingRun } from "./changing-run.js";
import type { CommandIo } from "./command.js";
import { withClusterAndProgress } from "./progress.js";
import { reportLeftover, runParts } from "./protect.js";

const SCHEMA_VERSION = 1;

/** The value of a key before and after the command; undefined if the nameserver has none, or if it is not known. */
interface Change {
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/**
 * Sets one key of the nameserver's configuration, and reads it back. A key that has the value already is left alone.
 * Setting auto_failover also removes the marker of a run that was killed, because the operator has now chosen the
 * value. The journal records the user.
 *
 * @returns 0 if the key has the value now; 1 if it has not, or if that is not known.
 * @throws OpsError if another run holds the lock or the cluster cannot be read; nothing was changed then.
 */
export async function run(flags: ConfSetFlags, io: CommandIo): Promise<number> {
  const { key, value, waitLockMs } = flags;
  const typed = { cmd: "confset", key, value } as const;
  if (flags.dryRun) return showOnly(flags, io);
  return changingRun({ ...flags, timeoutMs: 0 }, io, typed, async ({ opened, ...of }) => {
    const parts = runParts(opened, flags, { waitLockMs, stopSignal: io.signal, ...of });
    const { before, after } = await changeUnderLock(parts, flags, io);
    const exitCode = after === value ? EXIT.ok : EXIT.failed;
    io.stdout.write(
      flags.output === "json"
        ? `${jsonText({ schemaVersion: SCHEMA_VERSION, key, before, after, changed: before !== after, exitCode })}\n`
        : table(
            [{ title: "key" }, { title: "before" }, { title: "now" }],
            [[key, before ?? "-", after ?? "unknown"]],
            io.hasColor,
          ),
    );
    return exitCode;
  });
}

async function showOnly(flags: ConfSetFlags, io: CommandIo): Promise<number> {
  const { key, value } = flags;
  const options = { endsCallsOnSignal: true };
  const before = await withClusterAndProgress(
    flags,
    io,
    "confset",
    async (opened) => {
      await reportLeftover(opened, flags, io);
      return (await opened.cluster.confGet()).get(key);
    },
    options,
  );
  io.stdout.write(
    flags.output === "json"
      ? `${jsonText({ schemaVersion: SCHEMA_VERSION, dryRun: true, key, before, wanted: value, exitCode: EXIT.ok })}\n`
      : table(
          [{ title: "key" }, { title: "now" }, { title: "would be" }],
          [[key, before ?? "-", value]],
          io.hasColor,
        ),
  );
  return EXIT.ok;
}

async function changeUnderLock(
  parts: RunParts,
  flags: ConfSetFlags,
  io: CommandIo,
): Promise<Change> {
  const lock = await lockCluster(parts, { onRetaken: () => {}, onLost: () => {} });
  try {
    const changed = await change(parts.cluster, flags, io, () => lock.check());
    if (flags.key === "auto_failover" && changed.after === flags.value)
      await removeOldMarker(parts, io);
    return changed;
  } finally {
    await lock.release();
  }
}

/** Removes the marker of an earlier run, because the operator has chosen the value. */
async function removeOldMarker(parts: RunParts, io: CommandIo): Promise<void> {
  const access = markerAccess(parts);
  try {
    const marker = await readMarker(access);
    if (marker === undefined) return;
    const run = marker.kind === "marker" ? ownerText(marker.owner) : "an earlier run";
    await removeMarker(access, (now) => isDeepStrictEqual(now, marker));
    io.log.info(`this value replaces the one that was to be restored after ${run}`);
  } catch (error) {
    io.log.error(
      `the marker of an earlier run in ZooKeeper could not be removed: ${errorText(error)}`,
    );
  }
}

async function change(
  cluster: Cluster,
  flags: ConfSetFlags,
  io: CommandIo,
  checkLock: () => Promise<void>,
): Promise<Change> {
  const { key, value } = flags;
  const before = (await cluster.confGet()).get(key);
  if (before === value) {
    io.log.info(`${key} is ${value} already`);
    return { before, after: before };
  }
  io.signal.throwIfAborted();
  await checkLock();
  try {
    await cluster.confSet(key, value);
  } catch (error) {
    // The call may have taken effect although its answer was lost: the value that is read back decides.
    io.log.error(`setting ${key} failed: ${errorText(error)}`);
  }
  return { before, after: await readBack(cluster, key, io) };
}

async function readBack(cluster: Cluster, key: string, io: CommandIo): Promise<string | undefined> {
  try {
    return (await cluster.confGet()).get(key);
  } catch (error) {
    io.log.error(`cannot read ${key} back: ${errorText(error)}`);
    return undefined;
  }
}
