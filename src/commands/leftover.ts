import type { CommonFlags } from "../cli/common-specs.js";
import type { OpenedCluster } from "../cluster/open.js";
import { messageOf } from "../errors.js";
import { readMarker } from "../run/marker.js";
import { isGone, opsPath, ownerText } from "../run/owner.js";
import { leftOffText } from "../run/take-over.js";
import { safe } from "../util/text.js";
import type { CommandIo } from "./command.js";
import { restoreCommand } from "./protect.js";

/**
 * For a dry run: reports the run that left auto_failover off, and the command that restores it. Says so too if a run
 * in progress has switched it off. Changes nothing. Throws the signal's reason only.
 */
export async function tellLeftover(
  { zk, cluster, rootPath }: OpenedCluster,
  flags: CommonFlags,
  io: CommandIo,
): Promise<void> {
  const path = opsPath(rootPath, "auto_failover");
  try {
    const left = await readMarker({ zk, clock: cluster.clock, path });
    if (left === undefined) return;
    if (left.kind === "unreadable") {
      io.log.warn(
        `an earlier run may have left auto_failover switched off: its marker in ZooKeeper (${safe(path)}) cannot be read`,
      );
      return;
    }
    if (left.leftOffSince !== undefined) {
      io.log.info(safe(leftOffText(left.owner, left.leftOffSince)));
      return;
    }
    const run = safe(ownerText(left.owner));
    const isLocked = (await zk.getData(opsPath(rootPath, "lock"))) !== undefined;
    if (isLocked && !isGone(left.owner)) {
      io.log.info(`auto_failover is switched off by ${run}, which is in progress`);
      return;
    }
    io.log.warn(
      `${run} ended without restoring auto_failover to ${left.original}; a dry run changes nothing: the command itself restores it at its end, and this does at once: ${restoreCommand(flags)}`,
    );
  } catch (thrown) {
    io.signal.throwIfAborted();
    io.log.warn(`the marker of an earlier run could not be read: ${messageOf(thrown)}`);
  }
}
