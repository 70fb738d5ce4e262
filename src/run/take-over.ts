import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type { OnEvent, RunEvent } from "../model/outcome.js";
import type { PrintCommand } from "../model/tool-command.js";
import { createGuard, type Guard } from "./guard.js";
import { type RunLock, takeLock } from "./lock.js";
import { type MarkerAccess, markerOf, readMarker } from "./marker.js";
import { type OpsZooKeeper, opsPath, ownerText, type RunOwner } from "./owner.js";

/** The parts of a run that changes the cluster. */
export interface RunParts {
  readonly cluster: Cluster;
  readonly zk: OpsZooKeeper;
  /** The cluster's root path in ZooKeeper. */
  readonly rootPath: string;
  readonly owner: RunOwner;
  /** The requested ZooKeeper session timeout, milliseconds. */
  readonly sessionTimeoutMs: number;
  /** Limit in milliseconds for waiting until another run has ended; 0: no wait. */
  readonly waitLockMs: number;
  /**
   * True if auto_failover is switched off again if another client switches it on during the run.
   */
  readonly keepsOff: boolean;
  /** Ends the run: a signal of the process, or its time limit. */
  readonly signal: AbortSignal;
  /** Aborted when the process receives a signal: it must exit within 5 s. */
  readonly stopSignal: AbortSignal;
  readonly onEvent: OnEvent;
  /** Makes the commands in warnings. */
  readonly print: PrintCommand;
}

/** The access to a cluster's marker of auto_failover. */
export function markerAccess({
  zk,
  cluster,
  rootPath,
}: Pick<RunParts, "zk" | "cluster" | "rootPath">): MarkerAccess {
  return { zk, clock: cluster.clock, path: opsPath(rootPath, "auto_failover") };
}

/**
 * Checks that the root path belongs to a cluster before anything is written or reported missing there.
 *
 * @throws OpsError `no-cluster`. A cluster without a nameserver passes.
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
 * Creates the guard of a run that holds the lock, and takes over an earlier run's marker: its original
 * value counts as the value before, and the marker is rewritten with this run's id. A value that was
 * left off on purpose stays off unless this run changes that.
 *
 * @param observed The observed value of auto_failover.
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

/** The result for a dead run's marker. */
export type Leftover =
  | { readonly kind: "none" }
  | { readonly kind: "restored"; readonly owner: RunOwner; readonly value: boolean }
  | { readonly kind: "unreadable"; readonly path: string }
  /** An earlier run left it off on purpose, and it stays off. */
  | { readonly kind: "left-off"; readonly owner: RunOwner; readonly since: string }
  /** Another run is active, named by `error`: the value stays off for it. */
  | { readonly kind: "busy"; readonly error: OpsError }
  | {
      readonly kind: "failed";
      readonly owner: RunOwner;
      readonly value: boolean;
      readonly why: string;
    };

/**
 * Restores the value that a dead run left of auto_failover, and names the run. Reads first: without a
 * marker nothing is written, not even the lock.
 *
 * @param which `all`: also a value that was left off on purpose.
 * @throws OpsError `no-cluster`, errors of ZooKeeper, and the signal's reason.
 */
export async function settleLeftover(
  parts: RunParts,
  which: "dead" | "all" = "dead",
): Promise<Leftover> {
  const found = await findLeftover(parts, which);
  if (found.kind === "none") await assertCluster(parts);
  if (found.kind !== "marker") return found;
  let lock: RunLock;
  try {
    // Restoring the value does not depend on observations from before a loss of the lock.
    lock = await lockCluster(parts, { onRetaken: () => {}, onLost: () => {} });
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "lock-held") throw thrown;
    return { kind: "busy", error: thrown };
  }
  try {
    return await restoreLeftover(parts, lock, which);
  } finally {
    await lock.release();
  }
}

/** The marker to restore; if there is none, why. An invalid marker is reported. */
async function findLeftover(parts: RunParts, which: "dead" | "all") {
  const access = markerAccess(parts);
  const found = await readMarker(access);
  if (found === undefined) return { kind: "none" as const };
  if (found.kind === "unreadable") {
    parts.onEvent(unreadable(parts, found.problem));
    return { kind: "unreadable" as const, path: access.path };
  }
  const { owner, leftOffSince: since } = found;
  const staysOff = which === "dead" && since !== undefined;
  return staysOff ? { kind: "left-off" as const, owner, since } : found;
}

/** The same for a run that already holds the lock. */
export async function restoreLeftover(
  parts: RunParts,
  lock: RunLock,
  which: "dead" | "all" = "dead",
): Promise<Leftover> {
  const found = await findLeftover(parts, which);
  if (found.kind !== "marker") return found;
  const { owner, original: value } = found;
  const guard = await guardUnderLock(parts, lock, value);
  guard.leaveOff(false);
  const why = await guard.restore();
  return why === undefined
    ? { kind: "restored", owner, value }
    : { kind: "failed", owner, value, why };
}

function unreadable(parts: RunParts, problem: string): RunEvent {
  const { path } = markerAccess(parts);
  const show = parts.print({ cmd: "confget", key: "auto_failover" });
  return {
    kind: "warning",
    text: `the marker in ZooKeeper (${path}) of a run that switched auto_failover off is invalid (${problem}); the value is left as it is, and setting it with confset removes the marker; show the value with: ${show}`,
  };
}

/**
 * The text for a value that an earlier run left off on purpose. It names no command that switches the
 * value on: decisions may be open.
 */
export function leftOffText(owner: RunOwner, since: string): string {
  return `auto_failover stays off on purpose since ${since}: partitions needed a decision (${ownerText(owner)}); recoverdata restores it when none needs one`;
}

function leftBehind(owner: RunOwner): RunEvent {
  return {
    kind: "warning",
    text: `${ownerText(owner)} ended without restoring auto_failover; it will be restored to true`,
  };
}
