import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type { OnEvent, RunEvent } from "../model/outcome.js";
import type { PrintCommand } from "../model/tool-command.js";
import { createGuard, type Guard } from "./guard.js";
import { type RunLock, takeLock } from "./lock.js";
import { type MarkerAccess, markerOf, readMarker } from "./marker.js";
import { type OpsZooKeeper, opsPath, ownerText, type RunOwner } from "./owner.js";

/** What a run that changes the cluster needs for its protection. */
export interface RunParts {
  readonly cluster: Cluster;
  readonly zk: OpsZooKeeper;
  /** The cluster's root path in ZooKeeper. */
  readonly rootPath: string;
  readonly owner: RunOwner;
  /** The session timeout that ZooKeeper was asked for, milliseconds. */
  readonly sessionTimeoutMs: number;
  /** How long to wait for another run to end, milliseconds; 0: not at all. */
  readonly waitLockMs: number;
  /** Switches auto_failover off again if another client switches it on in the middle. */
  readonly keepsOff: boolean;
  /** Ends the run: a signal of the process, or its time limit. */
  readonly signal: AbortSignal;
  /** Aborted when the process has been told to leave: it must be gone within 5 s then. */
  readonly stopSignal: AbortSignal;
  readonly onEvent: OnEvent;
  /** Makes the commands that warnings show. */
  readonly print: PrintCommand;
}

/** Where a cluster's note about auto_failover is. */
export function markerAccess({ zk, cluster, rootPath }: RunParts): MarkerAccess {
  return { zk, clock: cluster.clock, path: opsPath(rootPath, "auto_failover") };
}

/**
 * Nothing is written, or found missing, under a path that is no cluster's.
 *
 * @throws OpsError `no-cluster`. A cluster without nameserver is one all the same.
 */
async function assertCluster({ cluster }: RunParts): Promise<void> {
  try {
    await cluster.topology();
  } catch (thrown) {
    if (thrown instanceof OpsError && thrown.code === "no-cluster") throw thrown;
  }
}

/**
 * Takes the cluster's lock; see {@link takeLock}.
 *
 * @throws OpsError `no-cluster`, `lock-held`, and what ZooKeeper throws.
 */
export async function lockCluster(
  parts: RunParts,
  on: { readonly onRetaken: () => void; readonly onLost: (error: OpsError) => void },
): Promise<RunLock> {
  const { zk, cluster, rootPath, owner, sessionTimeoutMs, waitLockMs, signal, onEvent } = parts;
  await assertCluster(parts);
  return takeLock({
    zk,
    clock: cluster.clock,
    path: opsPath(rootPath, "lock"),
    owner,
    sessionTimeoutMs,
    waitMs: waitLockMs,
    signal,
    onEvent,
    ...on,
  });
}

/**
 * Makes the guard of a run that holds the lock, and takes an earlier run's marker over: its original
 * value counts as the value before, and the marker carries this run's name from then on. A value that was left
 * off on purpose stays so, unless this run says otherwise.
 *
 * @param observed The value of auto_failover as the cluster has it.
 * @throws OpsError of ZooKeeper, and `lock-lost`.
 */
export async function guardUnderLock(
  parts: RunParts,
  lock: RunLock,
  observed: boolean,
): Promise<Guard> {
  const { cluster, owner, onEvent, keepsOff, stopSignal } = parts;
  const access = markerAccess(parts);
  const left = await readMarker(access);
  const isTakenOver = left?.kind === "marker";
  const before = isTakenOver ? left.original : observed;
  const leftOffSince = isTakenOver ? left.leftOffSince : undefined;
  const wasLeftOff = leftOffSince !== undefined;
  const marker = markerOf(access, owner, leftOffSince);
  if (left?.kind === "unreadable") onEvent(unreadable(parts, left.problem));
  if (isTakenOver && left.owner.runId !== owner.runId) {
    onEvent(
      wasLeftOff
        ? { kind: "note", text: leftOffText(left.owner, leftOffSince) }
        : leftBehind(left.owner),
    );
    await lock.check(0);
    await marker.write(wasLeftOff);
  }
  return createGuard({
    cluster,
    before,
    onEvent,
    marker,
    isTakenOver,
    wasLeftOff,
    permit: () => lock.check(0),
    keepsOff,
    stopSignal,
  });
}

/** What became of a dead run's marker. */
export type Leftover =
  | { readonly kind: "none" }
  | { readonly kind: "restored"; readonly owner: RunOwner; readonly value: boolean }
  | { readonly kind: "unreadable"; readonly path: string }
  /** An earlier run left it off on purpose, and it stays off. */
  | { readonly kind: "left-off"; readonly owner: RunOwner; readonly since: string }
  /** Another run is at work, named by `error`: what it needs switched off stays off. */
  | { readonly kind: "busy"; readonly error: OpsError }
  | {
      readonly kind: "failed";
      readonly owner: RunOwner;
      readonly value: boolean;
      readonly why: string;
    };

/**
 * Puts back what a run that died left of auto_failover, and names the run. Looks first: without
 * a marker nothing is written, not even the lock.
 *
 * @param which `all`: also what was left off on purpose.
 * @throws OpsError `no-cluster`, what ZooKeeper throws, and the signal's reason.
 */
export async function settleLeftover(
  parts: RunParts,
  which: "dead" | "all" = "dead",
): Promise<Leftover> {
  const found = await readMarker(markerAccess(parts));
  if (found === undefined) {
    await assertCluster(parts);
    return { kind: "none" };
  }
  if (found.kind === "unreadable") {
    const { path } = markerAccess(parts);
    parts.onEvent(unreadable(parts, found.problem));
    return { kind: "unreadable", path };
  }
  if (which === "dead" && found.leftOffSince !== undefined) {
    return { kind: "left-off", owner: found.owner, since: found.leftOffSince };
  }
  let lock: RunLock;
  try {
    // What is to be put back does not depend on anything that was seen before the lock was lost.
    lock = await lockCluster(parts, { onRetaken: () => {}, onLost: () => {} });
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "lock-held") throw thrown;
    return { kind: "busy", error: thrown };
  }
  try {
    return await putBackLeftover(parts, lock, which);
  } finally {
    await lock.release();
  }
}

/** The same for a run that holds the lock already. */
export async function putBackLeftover(
  parts: RunParts,
  lock: RunLock,
  which: "dead" | "all" = "dead",
): Promise<Leftover> {
  const left = await readMarker(markerAccess(parts));
  if (left === undefined) return { kind: "none" };
  if (left.kind === "unreadable") {
    const { path } = markerAccess(parts);
    parts.onEvent(unreadable(parts, left.problem));
    return { kind: "unreadable", path };
  }
  const { owner, original: value, leftOffSince: since } = left;
  if (which === "dead" && since !== undefined) return { kind: "left-off", owner, since };
  const guard = await guardUnderLock(parts, lock, value);
  guard.leaveOff(false);
  const why = await guard.restore();
  return why === undefined
    ? { kind: "restored", owner, value }
    : { kind: "failed", owner, value, why };
}

function unreadable(parts: RunParts, problem: string): RunEvent {
  const { path } = markerAccess(parts);
  const look = parts.print({ cmd: "confget", key: "auto_failover" });
  return {
    kind: "warning",
    text: `the marker in ZooKeeper (${path}) that names the run which switched auto_failover off is not one that this tool writes (${problem}); the value is left as it is, and setting it with confset removes the note; look at the value with: ${look}`,
  };
}

/** That an earlier run left auto_failover off on purpose. It names no command that switches it on: decisions may be open. */
export function leftOffText(owner: RunOwner, since: string): string {
  return `auto_failover stays off on purpose since ${since}: partitions needed a decision (${ownerText(owner)}); recoverdata puts it back when none needs one`;
}

function leftBehind(owner: RunOwner): RunEvent {
  return {
    kind: "warning",
    text: `${ownerText(owner)} ended without putting auto_failover back; it will be put back to true`,
  };
}
