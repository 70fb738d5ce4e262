import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type { Guard } from "./guard.js";
import { type MutatingMethod, watchMutations } from "./watch-mutations.js";

/** "auto_failover is enabled" (OpenMLDB 0.9, base::ReturnCode). */
const AUTO_FAILOVER_ON = 301;
/** Limit of attempts of one call: more than the guard switches the value off again. */
const TRIES_MAX = 6;

/** Changes that the nameserver accepts while auto_failover is on. */
type NeverContested =
  | "confSet"
  | "addReplicaNS"
  | "delReplicaNS"
  | "deleteOp"
  | "loadTable"
  | "changeRole"
  | "addReplica"
  | "delReplica"
  | "recoverSnapshot";

/** What protects the cluster from changes of a run. */
export interface Protection {
  /** Returns if the lock is confirmed; throws otherwise. */
  readonly checkLock: () => Promise<void>;
  /** Aborted when this attempt must make no more changes. */
  readonly signal: AbortSignal;
  /** The guard of auto_failover; undefined while there is none yet. */
  readonly guard: () => Guard | undefined;
  /** Called when another client switched auto_failover on: no more changes are allowed. */
  readonly onSwitchedOn: (error: OpsError) => void;
}

/**
 * A cluster that is changed only while the lock is held, and never after `signal`. Steps that are still
 * running when a run ends, or starts again, do no harm, and neither does a call that is repeated
 * because its answer was lost.
 *
 * A change that the nameserver refuses because auto_failover is on (code 301) is tried again if the
 * guard has switched it off once more; otherwise the run ends.
 */
export function protectCluster(cluster: Cluster, protection: Protection): Cluster {
  const { checkLock, signal } = protection;
  const permit = async () => {
    signal.throwIfAborted();
    await checkLock();
    signal.throwIfAborted();
  };
  const watched = watchMutations(cluster.repeatingWhile(permit), {
    before: permit,
    after: () => Promise.resolve(),
  });
  const contested = <A extends readonly unknown[]>(call: (...args: A) => Promise<void>) =>
    retryContested(call, protection);
  const atNameserver: Pick<Cluster, Exclude<MutatingMethod, NeverContested>> = {
    updateTableAlive: contested(watched.updateTableAlive),
    recoverTable: contested(watched.recoverTable),
    cancelOp: contested(watched.cancelOp),
    changeLeader: contested(watched.changeLeader),
    setPartitionFlags: contested(watched.setPartitionFlags),
    setReplicaEndpoint: contested(watched.setReplicaEndpoint),
    offlineEndpoint: contested(watched.offlineEndpoint),
    recoverEndpoint: contested(watched.recoverEndpoint),
    migrate: contested(watched.migrate),
  };
  return { ...watched, ...atNameserver };
}

function retryContested<A extends readonly unknown[]>(
  call: (...args: A) => Promise<void>,
  { guard, onSwitchedOn }: Protection,
): (...args: A) => Promise<void> {
  return async (...args) => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await call(...args);
      } catch (thrown) {
        const isRefused = thrown instanceof OpsError && thrown.responseCode === AUTO_FAILOVER_ON;
        if (!isRefused || tries >= TRIES_MAX) throw thrown;
        if ((await guard()?.contested()) === "off") continue;
        const error = new OpsError({
          code: "auto-failover-on",
          message: "another client switched auto_failover on during the run",
          hint: "find out which; then run the same command again, with --keep_off to switch it off again",
          cause: thrown,
        });
        onSwitchedOn(error);
        throw error;
      }
    }
  };
}
