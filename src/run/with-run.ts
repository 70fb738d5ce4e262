import { setMaxListeners } from "node:events";
import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError } from "../errors.js";
import { within } from "../util/within.js";
import type { Guard } from "./guard.js";
import type { RunLock } from "./lock.js";
import { protectCluster } from "./protected-cluster.js";
import { guardUnderLock, lockCluster, type RunParts, restoreLeftover } from "./take-over.js";

/** Limit of the attempts of a run that loses its lock. */
const ATTEMPTS_MAX = 5;

/** Limits calls that have limits of their own; a stopped process does not wait for them. */
const SETTLE_MS = 120_000;

/** The resources of one attempt of a run. */
export interface Attempt {
  /** Refuses every change after `signal`, and without the lock. */
  readonly cluster: Cluster;
  /** The same, usable after a stop of the run to revert incomplete changes. */
  readonly rollbackCluster: Cluster;
  /** Aborted when the attempt ends, which includes the run's own signal. */
  readonly signal: AbortSignal;
  /** Creates the guard of auto_failover; called once, see {@link guardUnderLock}. */
  createGuard(observed: boolean): Promise<Guard>;
}

/**
 * Takes the lock, calls `use` with an attempt, and always releases the lock.
 *
 * If the lock is lost and can be acquired again, `use` is called again with a new attempt: earlier
 * observations are outdated. auto_failover stays off in between, and calls in flight of the old attempt
 * cannot change anything more.
 *
 * If `use` ends before it created a guard, the value that a dead run left of auto_failover is restored
 * here.
 *
 * @returns The result of the last call of `use`.
 * @throws OpsError `lock-held`, and what `use` throws.
 */
export async function withRun<T>(
  parts: RunParts,
  use: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  let current = new AbortController();
  let number = 0;
  let hasGuard = false;
  // A wrong root path must be detected before anything is written there.
  await unlessStopped(parts, parts.cluster.topology());
  const lock = await lockCluster(parts, {
    onRetaken: () => current.abort(retaken(number >= ATTEMPTS_MAX)),
    onLost: (error) => current.abort(error),
  });
  try {
    for (;;) {
      number += 1;
      // A superseded attempt has not restored the value.
      hasGuard = false;
      current = new AbortController();
      const attempt = makeAttempt(parts, lock, current, (isKept) => {
        hasGuard = isKept;
      });
      const ended = await settled(use(attempt));
      const isSuperseded = attempt.isSuperseded();
      // Calls still in flight must not change anything more.
      current.abort(new OpsError({ code: "interrupted", message: "the run has ended" }));
      if (!isSuperseded) {
        if ("error" in ended) throw ended.error;
        return ended.value;
      }
      parts.onEvent({ kind: "note", text: "observing the cluster again" });
    }
  } finally {
    if (!hasGuard) await restoreQuietly(parts, lock);
    await lock.release();
  }
}

function retaken(isLast: boolean): OpsError {
  return new OpsError({
    code: isLast ? "lock-lost" : "lock-retaken",
    message: isLast
      ? `the ZooKeeper session, and with it the lock, was lost ${ATTEMPTS_MAX} times`
      : "the lock was lost for a while",
    hint: "run the same command again to continue",
  });
}

async function settled<T>(
  work: Promise<T>,
): Promise<{ readonly value: T } | { readonly error: unknown }> {
  try {
    return { value: await work };
  } catch (error) {
    return { error };
  }
}

function makeAttempt(
  parts: RunParts,
  lock: RunLock,
  own: AbortController,
  /** Called when the guard is created (true), and when it leaves its value to the next attempt (false). */
  onGuard: (isKept: boolean) => void,
): Attempt & { isSuperseded(): boolean } {
  const signal = AbortSignal.any([parts.signal, own.signal]);
  // Every partition adds a listener.
  setMaxListeners(0, signal);
  let guard: Guard | undefined;
  // A final end of the run has priority over starting again, whichever came first.
  const isSuperseded = () => {
    const reason: unknown = own.signal.reason;
    const isRetaken = reason instanceof OpsError && reason.code === "lock-retaken";
    return isRetaken && !parts.signal.aborted;
  };
  const protectedUntil = (end: AbortSignal) =>
    protectCluster(parts.cluster, {
      checkLock: () => lock.check(),
      signal: end,
      guard: () => guard,
      onSwitchedOn: (error) => own.abort(error),
    });
  return {
    signal,
    isSuperseded,
    cluster: protectedUntil(signal),
    rollbackCluster: protectedUntil(own.signal),
    async createGuard(observed) {
      const made = await unlessStopped(parts, guardUnderLock(parts, lock, observed));
      onGuard(true);
      guard = made;
      return {
        before: made.before,
        engage: () => made.engage(),
        isEngaged: () => made.isEngaged(),
        contested: () => made.contested(),
        leaveOff: (isLeftOff) => made.leaveOff(isLeftOff),
        isLeftOff: () => made.isLeftOff(),
        close: () => made.close(),
        async restore() {
          if (!isSuperseded()) return made.restore();
          // The next attempt takes the marker over. If there is none, since the run is stopped meanwhile,
          // the value is restored at the end.
          onGuard(false);
          await unlessStopped(parts, made.close()).catch(() => undefined);
          return undefined;
        },
      };
    },
  };
}

function unlessStopped<T>({ cluster, stopSignal }: RunParts, work: Promise<T>): Promise<T> {
  return within(cluster.clock, SETTLE_MS, "ZooKeeper", work, stopSignal);
}

async function restoreQuietly(parts: RunParts, lock: RunLock): Promise<void> {
  try {
    const left = await unlessStopped(parts, restoreLeftover(parts, lock));
    if (left.kind !== "failed") return;
    parts.onEvent({
      kind: "warning",
      text: `auto_failover could not be restored (${left.why}); the next command will do it`,
    });
  } catch (thrown) {
    parts.onEvent({
      kind: "warning",
      text: `the marker of an earlier run could not be read: ${messageOf(thrown)}`,
    });
  }
}
