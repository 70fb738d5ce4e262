import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError } from "../errors.js";
import type { OnEvent } from "../model/outcome.js";
import { within } from "../util/within.js";

const KEY = "auto_failover";

/** True if auto_failover is on by the answer of ConfGet. */
export function isOn(conf: ReadonlyMap<string, string>): boolean {
  return conf.get(KEY) === "true";
}

/** Limit in milliseconds for restoring the value; a failover of the nameserver takes 8 to 20 s. */
const PATIENCE_MS = 60_000;
/** The same after a signal: a stopped run must exit within 5 s and has further work to do. */
const STOPPED_PATIENCE_MS = 3_000;
const PAUSE_MS = 200;
/** Number of times that the value is switched off again after another client switched it on, if requested. */
const OFF_AGAIN_MAX = 3;

/** The persistent marker of the value to restore if this process dies. */
export interface GuardMarker {
  /**
   * Writes the marker; safe to repeat.
   *
   * @param isLeftOff Whether the value stays off on purpose after this run.
   */
  write(isLeftOff: boolean): Promise<void>;
  /** Removes it; does nothing if it does not exist. */
  remove(): Promise<void>;
}

/** The parts of a guard. */
export interface GuardOptions {
  readonly cluster: Cluster;
  /** The value to restore. */
  readonly before: boolean;
  readonly onEvent: OnEvent;
  /** Absent: only this process knows the value. */
  readonly marker?: GuardMarker;
  /**
   * True if this run has taken over the marker of an earlier run that died and may have left the value
   * off: the value is restored even if this run changes nothing.
   */
  readonly isTakenOver?: boolean;
  /** True if that earlier run ended normally and left the value off on purpose. */
  readonly wasLeftOff?: boolean;
  /**
   * Called before each change of the value. Throws OpsError `lock-lost` if another run holds the lock
   * and has taken the marker over: that run then restores the value.
   */
  readonly permit?: () => Promise<void>;
  /** True if a value that another client switches on is switched off again, at most three times. */
  readonly keepsOff?: boolean;
  /**
   * Aborted when the process receives a signal: the time for restoring the value is then shorter.
   */
  readonly stopSignal?: AbortSignal;
}

/** Keeps auto_failover off while the cluster is being changed. */
export interface Guard {
  /** The value that is restored at the end. */
  readonly before: boolean;
  /**
   * Switches the value off, once, if it was on; the marker is written first. Call before every change.
   *
   * @throws OpsError `interrupted` after {@link Guard.close}, and errors of the cluster.
   */
  engage(): Promise<void>;
  /** True if the value is, or may be, off because of this run or the one it took over from. */
  isEngaged(): boolean;
  /**
   * Called when the nameserver refused a change because the value is on (code 301).
   *
   * @returns `off`: it is off now, the change can be tried again. `theirs`: another client switched it
   *   on; this run leaves it on and must make no more changes.
   */
  contested(): Promise<"off" | "theirs">;
  /**
   * Determines whether {@link Guard.restore} leaves the value off, with a marker for later runs. Without a call, the
   * choice of the earlier run stays in force if its marker was taken over.
   */
  leaveOff(isLeftOff: boolean): void;
  /** True if the value is left off on purpose at the end. */
  isLeftOff(): boolean;
  /**
   * Refuses {@link Guard.engage} from now on, and waits for one in flight. Does not restore the value.
   */
  close(): Promise<void>;
  /**
   * Restores the value if this run changed it, reads it back and removes the marker. A value that is
   * to be left off stays off, and the marker records it; if that cannot be written, the value is
   * restored.
   *
   * @returns Undefined if the value is as before or another run is responsible for it; else why it
   *   could not be restored.
   */
  restore(): Promise<string | undefined>;
}

/**
 * Creates a guard. Nothing is changed before {@link Guard.engage}.
 *
 * The nameserver refuses UpdateTableAliveStatus and RecoverTable with code 301 while auto_failover is
 * on, and would interfere with the recovery. The value is set with ConfSet: the znode alone is read
 * only when a nameserver takes over.
 */
export function createGuard(options: GuardOptions): Guard {
  return new ValueGuard(options);
}

class ValueGuard implements Guard {
  readonly before: boolean;
  readonly #options: GuardOptions;
  #engaging: Promise<void> | undefined;
  #contesting: Promise<"off" | "theirs"> | undefined;
  #mayBeOff: boolean;
  #isTheirs = false;
  #isClosed = false;
  #isLeftOff: boolean;
  #offAgain = 0;

  constructor(options: GuardOptions) {
    this.before = options.before;
    this.#options = options;
    this.#mayBeOff = options.isTakenOver === true;
    this.#isLeftOff = options.wasLeftOff === true;
  }

  engage(): Promise<void> {
    if (this.#isClosed) {
      return Promise.reject(
        new OpsError({
          code: "interrupted",
          message: "the run is ending and makes no more changes",
        }),
      );
    }
    if (!this.before) return Promise.resolve();
    this.#engaging ??= this.#switchOff();
    return this.#engaging;
  }

  isEngaged(): boolean {
    return this.#mayBeOff && !this.#isTheirs;
  }

  contested(): Promise<"off" | "theirs"> {
    if (this.#isTheirs) return Promise.resolve("theirs");
    this.#contesting ??= this.#contest().finally(() => {
      this.#contesting = undefined;
    });
    return this.#contesting;
  }

  leaveOff(isLeftOff: boolean): void {
    this.#isLeftOff = isLeftOff;
  }

  isLeftOff(): boolean {
    return this.#isLeftOff && !this.#isTheirs;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    // The value is written again only after these calls have ended, successfully or not.
    await this.#engaging?.catch(() => undefined);
    await this.#contesting?.catch(() => undefined);
  }

  async restore(): Promise<string | undefined> {
    this.#isClosed = true;
    if (!this.#mayBeOff && this.#engaging === undefined) return undefined;
    const { onEvent } = this.#options;
    const patience = startPatience(this.#options);
    try {
      await patience.within("the call that switches it off", this.close());
      if (!this.#mayBeOff) return undefined;
      if (await this.#noteLeftOff(patience)) return undefined;
      const why = this.#isTheirs ? undefined : await this.#restoreValue(patience);
      if (why !== undefined) return why;
      await this.#removeMarker(patience);
      if (!this.#isTheirs)
        onEvent({ kind: "note", text: `auto_failover is ${this.#word()} again` });
      this.#mayBeOff = false;
      return undefined;
    } catch (thrown) {
      if (!isLockLost(thrown)) return messageOf(thrown);
      this.#mayBeOff = false;
      onEvent({
        kind: "warning",
        text: `auto_failover is left to the other run: ${messageOf(thrown)}`,
      });
      return undefined;
    } finally {
      patience.stop();
    }
  }

  async #switchOff(): Promise<void> {
    const { cluster, onEvent, permit, marker } = this.#options;
    await permit?.();
    // From here on the value may have to be restored.
    this.#mayBeOff = true;
    await marker?.write(this.#isLeftOff);
    onEvent({ kind: "note", text: "switching auto_failover off" });
    await cluster.confSet(KEY, "false");
  }

  async #contest(): Promise<"off" | "theirs"> {
    const { cluster, onEvent, permit, keepsOff = false } = this.#options;
    // Another run may have restored the value at its end: this run has then lost the lock.
    await permit?.();
    // Many changes are refused at once: after the first one the value may be off again already.
    if ((await cluster.confGet()).get(KEY) !== "true") return "off";
    if (!keepsOff || this.#offAgain >= OFF_AGAIN_MAX || this.#isClosed) {
      this.#isTheirs = true;
      const often = this.#offAgain > 0 ? ` for the ${this.#offAgain + 1}th time` : "";
      onEvent({
        kind: "warning",
        text: `another client switched auto_failover on${often}; it is left on, and this run makes no more changes`,
      });
      return "theirs";
    }
    this.#offAgain += 1;
    onEvent({
      kind: "warning",
      text: `another client switched auto_failover on; switching it off again (${this.#offAgain} of ${OFF_AGAIN_MAX} times)`,
    });
    await cluster.confSet(KEY, "false");
    return "off";
  }

  async #restoreValue(patience: Patience): Promise<string | undefined> {
    const { cluster, permit } = this.#options;
    const wanted = String(this.before);
    let why = "the time limit has passed";
    while (patience.left() > 0) {
      try {
        if (permit !== undefined) await patience.within("the lock", permit());
        await patience.within("the nameserver", cluster.confSet(KEY, wanted));
        const conf = await patience.within("the nameserver", cluster.confGet());
        if (conf.get(KEY) === wanted) return undefined;
        why = `the nameserver still says ${conf.get(KEY) ?? "nothing"}`;
      } catch (thrown) {
        if (isLockLost(thrown)) throw thrown;
        why = messageOf(thrown);
      }
      await cluster.clock.sleep(PAUSE_MS);
    }
    return why;
  }

  /** @returns True if the value is left off on purpose and the marker records it. */
  async #noteLeftOff(patience: Patience): Promise<boolean> {
    const { marker, permit, onEvent } = this.#options;
    if (!this.isLeftOff() || marker === undefined) return false;
    try {
      if (permit !== undefined) await patience.within("the lock", permit());
      await patience.within("ZooKeeper", marker.write(true));
      this.#mayBeOff = false;
      onEvent({ kind: "note", text: "auto_failover stays off while partitions need a decision" });
      return true;
    } catch (thrown) {
      if (isLockLost(thrown)) throw thrown;
      this.#isLeftOff = false;
      onEvent({
        kind: "warning",
        text: `auto_failover is restored: the marker that it stays off could not be written to ZooKeeper (${messageOf(thrown)})`,
      });
      return false;
    }
  }

  /** Removes the marker once the value is back. If this fails, the next command removes it. */
  async #removeMarker(patience: Patience): Promise<void> {
    const { marker, onEvent } = this.#options;
    if (marker === undefined) return;
    try {
      await patience.within("ZooKeeper", marker.remove());
    } catch (thrown) {
      onEvent({
        kind: "warning",
        text: `the marker of auto_failover could not be removed from ZooKeeper; the next command will do it (${messageOf(thrown)})`,
      });
    }
  }

  #word(): string {
    return this.before ? "on" : "off";
  }
}

function isLockLost(thrown: unknown): boolean {
  return thrown instanceof OpsError && thrown.code === "lock-lost";
}

/** The time that is left for restoring the value; shorter once the process receives a signal. */
interface Patience {
  left(): number;
  /** @throws OpsError `deadline` when the time is up. */
  within<T>(what: string, call: Promise<T>): Promise<T>;
  stop(): void;
}

function startPatience({ cluster, stopSignal }: GuardOptions): Patience {
  const { clock } = cluster;
  let deadline = clock.now() + (stopSignal?.aborted ? STOPPED_PATIENCE_MS : PATIENCE_MS);
  const timeIsUp = new AbortController();
  const ended = new AbortController();
  const onStop = () => {
    deadline = Math.min(deadline, clock.now() + STOPPED_PATIENCE_MS);
    clock.sleep(STOPPED_PATIENCE_MS, ended.signal).then(
      () => timeIsUp.abort(),
      () => undefined,
    );
  };
  if (stopSignal?.aborted === false) stopSignal.addEventListener("abort", onStop, { once: true });
  const left = () => deadline - clock.now();
  return {
    left,
    within: (what, call) => within(clock, left(), what, call, timeIsUp.signal),
    stop() {
      ended.abort();
      stopSignal?.removeEventListener("abort", onStop);
    },
  };
}
