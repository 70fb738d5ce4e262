import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError } from "../errors.js";
import type { OnEvent } from "../model/outcome.js";

const KEY = "auto_failover";
/** A stopped run must be gone within 5 s, so putting the value back may take no longer than this. */
const RESTORE_PATIENCE_MS = 4_000;
const RESTORE_PAUSE_MS = 200;

/** Keeps auto_failover off while the cluster is being changed. */
export interface Guard {
  /** The value when the run began. */
  readonly before: boolean;
  /** Switches it off, once, if it is on. Call before every change. */
  engage(): Promise<void>;
  /** Whether the value is, or may be, off now because of this run. */
  isEngaged(): boolean;
  /**
   * Puts the value back if this run changed it, and reads it back.
   *
   * @returns Undefined if it is as it was, else why it could not be put back.
   */
  restore(): Promise<string | undefined>;
}

/**
 * Makes a guard. Nothing is changed before {@link Guard.engage}.
 *
 * The nameserver refuses UpdateTableAliveStatus and RecoverTable with code 301 while auto_failover
 * is on, and would fight the recovery. The value goes through ConfSet: the znode alone is read
 * only when a nameserver takes over.
 */
export function createGuard(cluster: Cluster, before: boolean, onEvent: OnEvent): Guard {
  let engaging: Promise<void> | undefined;
  return {
    before,
    engage() {
      if (!before) return Promise.resolve();
      engaging ??= (async () => {
        onEvent({ kind: "note", text: "switching auto_failover off" });
        await cluster.confSet(KEY, "false");
      })();
      return engaging;
    },
    isEngaged: () => engaging !== undefined,
    async restore() {
      if (engaging === undefined) return undefined;
      // Whatever became of it: the value is written again only after that call is through.
      await engaging.catch(() => undefined);
      const why = await putBack(cluster);
      if (why === undefined) {
        engaging = undefined;
        onEvent({ kind: "note", text: "auto_failover is on again" });
      }
      return why;
    },
  };
}

async function putBack(cluster: Cluster): Promise<string | undefined> {
  const { clock } = cluster;
  const deadline = clock.now() + RESTORE_PATIENCE_MS;
  let why = "no time was left";
  while (clock.now() < deadline) {
    try {
      await within(cluster, deadline, cluster.confSet(KEY, "true"));
      const conf = await within(cluster, deadline, cluster.confGet());
      if (conf.get(KEY) === "true") return undefined;
      why = `the nameserver still says ${conf.get(KEY) ?? "nothing"}`;
    } catch (thrown) {
      why = messageOf(thrown);
    }
    await clock.sleep(RESTORE_PAUSE_MS);
  }
  return why;
}

/** Bounds a call whose own retries may take longer than the guard has. */
async function within<T>(cluster: Cluster, deadline: number, call: Promise<T>): Promise<T> {
  const stop = new AbortController();
  const limit = cluster.clock
    .sleep(Math.max(0, deadline - cluster.clock.now()), stop.signal)
    .then((): never => {
      throw new OpsError({ code: "deadline", message: "the nameserver did not answer in time" });
    });
  try {
    return await Promise.race([call, limit]);
  } finally {
    stop.abort();
    limit.catch(() => undefined);
    call.catch(() => undefined);
  }
}
