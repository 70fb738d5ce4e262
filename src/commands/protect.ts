import type { CommonFlags } from "../cli/common-specs.js";
import { commandPrinter, commandText } from "../cli/printed-command.js";
import type { OpenedCluster } from "../cluster/open.js";
import { messageOf, OpsError } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import type { OnEvent, RunEvent } from "../model/outcome.js";
import { createKnownOffsetsStore } from "../run/known-offsets-store.js";
import { readMarker } from "../run/marker.js";
import { isGone, opsPath, ownerText, type RunOwner, thisProcess } from "../run/owner.js";
import { type Leftover, leftOffText, type RunParts, settleLeftover } from "../run/take-over.js";
import { eventLine } from "../show/event-line.js";
import { safe } from "../util/text.js";
import type { CommandIo } from "./command.js";

/** Options of {@link runParts} that do not come from the common flags. */
export interface ProtectOptions {
  readonly waitLockMs?: number;
  readonly keepsOff?: boolean;
  /** Aborts the run; the signal of the process if left out. */
  readonly signal?: AbortSignal;
  /** Receives the events; they are printed on stderr if left out. */
  readonly onEvent?: OnEvent;
  /** The owner that lock and marker name. */
  readonly owner: RunOwner;
}

/** The parts that lock, marker and guard of a command need. */
export function runParts(
  { cluster, zk, rootPath }: OpenedCluster,
  flags: CommonFlags,
  io: CommandIo,
  options: ProtectOptions,
): RunParts {
  return {
    cluster,
    zk,
    rootPath,
    owner: options.owner,
    sessionTimeoutMs: flags.zkSessionTimeoutMs,
    waitLockMs: options.waitLockMs ?? 0,
    keepsOff: options.keepsOff ?? false,
    signal: options.signal ?? io.signal,
    stopSignal: io.signal,
    onEvent: options.onEvent ?? ((event) => printEvent(event, io)),
    print: commandPrinter(flags),
  };
}

/** Prints an event on stderr. */
export function printEvent(event: RunEvent, io: CommandIo): void {
  const line = eventLine(event);
  if (line !== undefined) io.log[line.level](line.text);
}

/** The store of lower bounds, in which runs keep evidence of missing rows for later runs. */
export function knownOffsetsStore(
  { cluster, zk, rootPath }: OpenedCluster,
  onEvent: OnEvent,
): KnownOffsetsStore {
  return createKnownOffsetsStore({ zk, clock: cluster.clock, rootPath, onEvent });
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
  const left = await settled(
    runParts(opened, flags, io, { owner: thisProcess(commandText([name])) }),
    io,
  );
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
