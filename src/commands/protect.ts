import type { CommonFlags } from "../cli/common-specs.js";
import { commandPrinter, commandText } from "../cli/printed-command.js";
import type { OpenedCluster } from "../cluster/open.js";
import { messageOf, OpsError } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import type { OnEvent } from "../model/outcome.js";
import { createKnownOffsetsStore } from "../run/known-offsets-store.js";
import { readMarker } from "../run/marker.js";
import { isGone, opsPath, ownerText, thisProcess } from "../run/owner.js";
import {
  type Leftover,
  leftOffText,
  markerAccess,
  type RunParts,
  settleLeftover,
} from "../run/take-over.js";
import { eventLine } from "../show/event-line.js";
import { safe } from "../util/text.js";
import type { CommandIo } from "./command.js";

/** The parts of a run that do not come from the connection and its flags. */
type OwnParts = Pick<RunParts, "owner" | "signal" | "stopSignal" | "onEvent"> &
  Partial<Pick<RunParts, "waitLockMs" | "keepsOff">>;

/** The parts that lock, marker and guard of a run need. */
export function runParts(opened: OpenedCluster, flags: CommonFlags, own: OwnParts): RunParts {
  return {
    waitLockMs: 0,
    keepsOff: false,
    ...opened,
    ...own,
    sessionTimeoutMs: flags.zkSessionTimeoutMs,
    print: commandPrinter(flags),
  };
}

/** The store of lower bounds, in which runs keep evidence of missing rows for later runs. */
export function knownOffsetsStore(opened: OpenedCluster, onEvent: OnEvent): KnownOffsetsStore {
  return createKnownOffsetsStore({ ...opened, clock: opened.cluster.clock, onEvent });
}

/** The command that restores auto_failover, for the shell. */
export function restoreCommand(flags: CommonFlags): string {
  return commandPrinter(flags)({ cmd: "restore" });
}

/** Prints, as the last line of a run, that auto_failover could not be restored. */
export function printNotRestored(why: string, flags: CommonFlags, io: CommandIo): void {
  io.stderr.write(
    `openmldb-ops: auto_failover could not be restored (${safe(why)}); do it by hand: ${restoreCommand(flags)}\n`,
  );
}

/**
 * For read-only commands: restores auto_failover after a run that died. If ZooKeeper refuses the write, or another
 * run holds the lock, that is logged and the command continues.
 *
 * @returns A function that maps the command's exit code to the final one: 9 if auto_failover could not be restored.
 */
export async function settleFirst(
  opened: OpenedCluster,
  flags: CommonFlags,
  io: CommandIo,
  name: string,
): Promise<(exitCode: number) => number> {
  const { signal } = io;
  const own = { owner: thisProcess(commandText([name])), signal, stopSignal: signal };
  const onEvent: OnEvent = (event) => {
    const line = eventLine(event);
    if (line !== undefined) io.log[line.level](line.text);
  };
  const left = await settled(runParts(opened, flags, { ...own, onEvent }), io);
  if (left?.kind === "busy") {
    io.log.info(`auto_failover is left as it is: ${messageOf(left.error)}`);
  }
  if (left?.kind === "left-off") io.log.info(safe(leftOffText(left.owner, left.since)));
  return (exitCode) => {
    if (left?.kind !== "failed") return exitCode;
    printNotRestored(left.why, flags, io);
    return EXIT.notRestored;
  };
}

async function settled(parts: RunParts, io: CommandIo): Promise<Leftover | undefined> {
  try {
    return await settleLeftover(parts);
  } catch (thrown) {
    io.signal.throwIfAborted();
    if (!(thrown instanceof OpsError) || thrown.code === "no-cluster") throw thrown;
    io.log.warn(`auto_failover is not restored after an earlier run: ${messageOf(thrown)}`);
    return undefined;
  }
}

/**
 * For a dry run: reports the run that left auto_failover off, and the command that restores it. Says so too if a run
 * in progress has switched it off. Changes nothing. Throws the signal's reason only.
 */
export async function reportLeftover(
  opened: OpenedCluster,
  flags: CommonFlags,
  io: CommandIo,
): Promise<void> {
  const access = markerAccess(opened);
  try {
    const left = await readMarker(access);
    if (left === undefined) return;
    if (left.kind === "unreadable") {
      io.log.warn(
        `an earlier run may have left auto_failover switched off: its marker in ZooKeeper (${safe(access.path)}) cannot be read`,
      );
      return;
    }
    if (left.leftOffSince !== undefined) {
      io.log.info(safe(leftOffText(left.owner, left.leftOffSince)));
      return;
    }
    const run = safe(ownerText(left.owner));
    const lock = await opened.zk.getData(opsPath(opened.rootPath, "lock"));
    if (lock !== undefined && !isGone(left.owner)) {
      io.log.info(`auto_failover is switched off by ${run}, which is in progress`);
      return;
    }
    io.log.warn(
      `${run} ended without restoring auto_failover to ${left.original}; a dry run changes nothing; the command restores it at its end; to restore it at once: ${restoreCommand(flags)}`,
    );
  } catch (thrown) {
    io.signal.throwIfAborted();
    io.log.warn(`the marker of an earlier run could not be read: ${messageOf(thrown)}`);
  }
}
