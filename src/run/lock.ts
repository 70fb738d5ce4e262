import { messageOf, OpsError } from "../errors.js";
import type { Clock } from "../model/clock.js";
import { durationText } from "../model/duration.js";
import type { OnEvent } from "../model/outcome.js";
import { checkDocument, type Zod } from "../util/document.js";
import { within } from "../util/within.js";
import {
  encode,
  isGone,
  type OpsZooKeeper,
  OWNER_BOUNDS,
  ownerFields,
  ownerText,
  type RunOwner,
} from "./owner.js";

/** A change is made only if the lock was confirmed within this time. */
const FRESH_MS = 1_000;
/** Interval in milliseconds at which an active run confirms the lock. */
const HEARTBEAT_MS = 500;
const POLL_MS = 250;
const RELEASE_MS = 300;
/** The client's own limit for an operation is shorter. */
const ANSWER_MS = 30_000;
/**
 * ZooKeeper expires sessions in rounds of its tick (2 s by default), so they may last longer by that.
 */
const EXPIRY_SLACK_MS = 3_000;
/** The shortest and the longest session timeout of a ZooKeeper with default settings. */
const SESSION_MIN_MS = 4_000;
const SESSION_MAX_MS = 40_000;
/** The longest value of --zk_session_timeout. */
const SESSION_ASKED_MAX_MS = 3_600_000;

const LOCK = {
  ...OWNER_BOUNDS,
  schema: (z: Zod) => {
    const sessionTimeoutMs = z.number().min(1).max(SESSION_ASKED_MAX_MS).optional();
    return z.object({ ...ownerFields(z), sessionTimeoutMs });
  },
};

/** The options of {@link takeLock}. */
export interface LockOptions {
  readonly zk: OpsZooKeeper;
  readonly clock: Clock;
  readonly path: string;
  readonly owner: RunOwner;
  /** The requested session timeout, milliseconds: also the limit of {@link RunLock.check}. */
  readonly sessionTimeoutMs: number;
  /** Limit in milliseconds for waiting until another run releases the lock; 0: no wait. */
  readonly waitMs: number;
  /** Ends the wait with its own reason. */
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
  /** Returns true if the process of the owner has ended; default: as far as this machine can tell. */
  readonly isGone?: (owner: RunOwner) => boolean;
  /** Called after the session and the lock were lost and the lock is held again. */
  readonly onRetaken: () => void;
  /** Called once if another run holds the lock now. */
  readonly onLost: (error: OpsError) => void;
}

/** A lock that was taken. */
export interface RunLock {
  /**
   * Returns if ZooKeeper has recently confirmed that the lock is held. Otherwise sends a request, and waits for its
   * answer as long as the session lasts.
   *
   * @param lately Accepted age of the confirmation in milliseconds; 1000 by default; 0: a request is sent in any case.
   * @throws OpsError `lock-lost` if another run holds it, `zookeeper-failed` if no server answers.
   */
  check(lately?: number): Promise<void>;
  /** Releases the lock and ends the heartbeat. Never throws: the session's end releases it too. */
  release(): Promise<void>;
}

/**
 * Takes the lock of a cluster: an ephemeral znode with the owner's data.
 *
 * The lock of a killed process stays until its session ends. If that process ran on this machine and
 * has ended, the end of its session is waited for, even with `waitMs` 0.
 *
 * @throws OpsError `lock-held` with the owner's data; errors of ZooKeeper; the signal's reason.
 */
export async function takeLock(options: LockOptions): Promise<RunLock> {
  const { zk, clock, path, signal, owner } = options;
  const data = lockData(options);
  const patience = startPatience(options);
  for (;;) {
    signal.throwIfAborted();
    const requestedAt = clock.now();
    const created = await answered(options, zk.create(path, data, "ephemeral"));
    if (created !== undefined) return keep(options, requestedAt);
    const holder = await answered(options, readHolder(zk, path, options));
    if (holder === "none") continue;
    // The answer to an earlier request may have been lost.
    if (isOf(holder, owner)) return keep(options, requestedAt);
    const isEphemeral = await answered(options, zk.isEphemeral(path));
    if (isEphemeral === undefined) continue;
    const leftMs = patience(holder, isEphemeral);
    if (leftMs <= 0) throw heldBy(holder, path, isEphemeral);
    await clock.sleep(Math.min(POLL_MS, leftMs), signal);
  }
}

/** Waits for ZooKeeper until the run is to end. */
async function answered<T>({ clock, signal }: LockOptions, call: Promise<T>): Promise<T> {
  try {
    return await within(clock, ANSWER_MS, "ZooKeeper", call, signal);
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  }
}

/** Computes how long to wait for a holder, and reports it once for each holder. */
function startPatience(options: LockOptions): (holder: Holder, isEphemeral: boolean) => number {
  const { clock, waitMs, onEvent } = options;
  const waitUntil = clock.now() + waitMs;
  let deadline = waitUntil;
  let known: string | undefined;
  return (holder, isEphemeral) => {
    const { owner, sessionTimeoutMs } = holder;
    const runId = owner?.runId ?? "";
    if (runId === known) return deadline - clock.now();
    known = runId;
    const hasDied = isEphemeral && owner !== undefined && (options.isGone ?? isGone)(owner);
    const expiryMs = hasDied ? sessionTimeoutMs + EXPIRY_SLACK_MS : 0;
    // The extended deadline covers only the dead holder, not its successor.
    deadline = Math.max(waitUntil, clock.now() + expiryMs);
    const left = deadline - clock.now();
    const why = hasDied
      ? "its process is gone; waiting for ZooKeeper to end its session,"
      : "waiting for it to end,";
    if (left > 0) {
      const text = `the lock is held by ${holderText(holder)}: ${why} up to ${durationText(Math.ceil(left / 1000) * 1000)}`;
      onEvent({ kind: "warning", text });
    }
    return left;
  };
}

/** The holder of a lock, as far as its znode shows it. */
interface Holder {
  /** Undefined if the znode has no owner data that this version can read. */
  readonly owner: RunOwner | undefined;
  /** Limit in milliseconds for its session to end after the process has ended. */
  readonly sessionTimeoutMs: number;
}

function lockData({ owner, sessionTimeoutMs }: LockOptions): Buffer {
  return encode(owner, { sessionTimeoutMs });
}

async function readHolder(
  zk: OpsZooKeeper,
  path: string,
  own: { readonly sessionTimeoutMs: number },
): Promise<Holder | "none"> {
  const data = await zk.getData(path);
  return data === undefined ? "none" : holderIn(data, own);
}

/**
 * Reads a lock znode. Any client may have written it, so it never makes a run wait longer than sessions
 * of this ZooKeeper last: the default maximum, or this run's own timeout.
 */
function holderIn(data: Buffer, own: { readonly sessionTimeoutMs: number }): Holder {
  const checked = checkDocument(LOCK, data);
  if ("problem" in checked) return { owner: undefined, sessionTimeoutMs: 0 };
  const { version: _, sessionTimeoutMs: said = 0, ...owner } = checked.value;
  const longest = Math.max(SESSION_MAX_MS, own.sessionTimeoutMs);
  return { owner, sessionTimeoutMs: Math.min(longest, Math.max(SESSION_MIN_MS, said)) };
}

/** The owner of a lock by the data of its znode; `unknown` if the data is invalid. */
export function lockOwnerIn(data: Buffer): RunOwner | "unknown" {
  return holderIn(data, { sessionTimeoutMs: 0 }).owner ?? "unknown";
}

function isOf(holder: Holder | "none", { runId }: RunOwner): boolean {
  return holder !== "none" && holder.owner?.runId === runId;
}

function holderText({ owner }: Holder): string {
  return owner === undefined
    ? "another run (its lock node names no owner that this version can read)"
    : ownerText(owner);
}

function heldBy(holder: Holder, path: string, isEphemeral: boolean): OpsError {
  if (!isEphemeral) {
    return new OpsError({
      code: "lock-held",
      message: `the lock ${path} exists, but no ZooKeeper session owns it: no run of this tool creates such a znode (its data: ${holderText(holder)})`,
      hint: "nothing was changed; if no run is active, remove the znode with ZooKeeper's own client",
    });
  }
  return new OpsError({
    code: "lock-held",
    message: `another run is active on this cluster: ${holderText(holder)}; its lock is ${path}`,
    hint: "nothing was changed; wait for it with --wait_lock=SECONDS, or end it first",
  });
}

function released(): OpsError {
  return new OpsError({ code: "interrupted", message: "the run has ended, and its lock with it" });
}

/** Keeps a lock that was taken at `takenAt`. */
function keep(options: LockOptions, takenAt: number): RunLock {
  const kept = new KeptLock(options, takenAt);
  kept.start();
  return kept;
}

class KeptLock implements RunLock {
  readonly #options: LockOptions;
  readonly #ended = new AbortController();
  /** When the last request was sent whose answer confirmed the lock. */
  #confirmedAt: number;
  #confirming: Promise<void> | undefined;
  #lost: OpsError | undefined;
  #why = "";
  #isSilent = false;

  constructor(options: LockOptions, takenAt: number) {
    this.#options = options;
    this.#confirmedAt = takenAt;
  }

  start(): void {
    const { clock } = this.#options;
    const beat = async () => {
      while (!this.#ended.signal.aborted && this.#lost === undefined) {
        await clock.sleep(HEARTBEAT_MS, this.#ended.signal);
        void this.#request();
        this.#reportSilence();
      }
    };
    // The sleep is aborted when the lock is released.
    beat().catch(() => undefined);
  }

  async check(lately = FRESH_MS): Promise<void> {
    const { clock, sessionTimeoutMs } = this.#options;
    const began = clock.now();
    const deadline = began + sessionTimeoutMs;
    // Waiting makes a confirmation older: one that arrived after this call began is new enough.
    const isGood = () => this.#confirmedAt >= Math.max(began, clock.now() - FRESH_MS);
    const mayBeHeld = this.#lost === undefined && !this.#ended.signal.aborted;
    if (mayBeHeld && clock.now() - this.#confirmedAt < lately) return;
    for (;;) {
      const left = deadline - clock.now();
      await within(clock, left, "ZooKeeper", this.#request()).catch(() => undefined);
      if (this.#lost !== undefined) throw this.#lost;
      if (this.#ended.signal.aborted) throw released();
      if (isGood()) return;
      const rest = deadline - clock.now();
      if (rest <= 0) throw this.#unconfirmed();
      // A request from before this call does not count; the next one does.
      if (this.#why !== "") await clock.sleep(Math.min(POLL_MS, rest));
    }
  }

  async release(): Promise<void> {
    const { zk, clock, path } = this.#options;
    this.#ended.abort();
    if (this.#lost !== undefined) return;
    const remove = async () => {
      // A request in flight may be about to take the lock again.
      await this.#confirming;
      // Never removes the lock of another run, which may hold it since the last request.
      await zk.removeOwn(path);
    };
    await within(clock, RELEASE_MS, "ZooKeeper", remove()).catch(() => undefined);
  }

  #isFresh(): boolean {
    return this.#options.clock.now() - this.#confirmedAt <= FRESH_MS;
  }

  /** One request at a time for all callers. Never throws. */
  #request(): Promise<void> {
    this.#confirming ??= this.#confirm()
      .catch((thrown: unknown) => {
        this.#why = messageOf(thrown);
      })
      .finally(() => {
        this.#confirming = undefined;
      });
    return this.#confirming;
  }

  async #confirm(): Promise<void> {
    this.#why = "";
    const { zk, clock, path, owner, onRetaken, onLost, onEvent } = this.#options;
    const requestedAt = clock.now();
    const holder = await readHolder(zk, path, this.#options);
    if (this.#ended.signal.aborted) return;
    if (holder === "none") {
      const created = await zk.create(path, lockData(this.#options), "ephemeral");
      // Another run took the lock first: the next request shows which one.
      if (created === undefined) return;
      onEvent({
        kind: "warning",
        text: "the lock was lost with the ZooKeeper session, and is taken again",
      });
      // The loss is reported before the lock counts as held again, so no step acts on earlier observations.
      onRetaken();
      this.#confirmed(requestedAt);
      // The znode's owner session is decisive: any client may have written its data.
    } else if (isOf(holder, owner) || (await zk.isOwn(path))) {
      this.#confirmed(requestedAt);
    } else {
      this.#lost = new OpsError({
        code: "lock-lost",
        message: `the lock was lost with the ZooKeeper session, and is held by ${holderText(holder)} now`,
        hint: "operations in progress continue by themselves; run the same command again when the other run has ended",
      });
      onLost(this.#lost);
    }
  }

  #confirmed(requestedAt: number): void {
    this.#confirmedAt = Math.max(this.#confirmedAt, requestedAt);
    if (this.#isSilent && this.#isFresh()) {
      this.#isSilent = false;
      this.#options.onEvent({ kind: "note", text: "ZooKeeper answers again; continuing" });
    }
  }

  #reportSilence(): void {
    if (this.#isSilent || this.#isFresh()) return;
    this.#isSilent = true;
    this.#options.onEvent({
      kind: "warning",
      text: "ZooKeeper does not answer: no changes are made until the lock is confirmed",
    });
  }

  #unconfirmed(): OpsError {
    const detail = this.#why === "" ? "" : ` (${this.#why})`;
    return new OpsError({
      code: "zookeeper-failed",
      message: `no changes are made: ZooKeeper does not confirm that this run still holds its lock${detail}`,
    });
  }
}
