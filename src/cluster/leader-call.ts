import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import pLimit from "p-limit";
import pRetry from "p-retry";
import { OpsError } from "../errors.js";
import type { Clock } from "../model/clock.js";
import type { Endpoint } from "../model/cluster-state.js";
import { durationText } from "../model/duration.js";
import type { Admissions } from "./admissions.js";
import type { Caller } from "./caller.js";
import { failureKindOf, interruption, reworded } from "./failure.js";
import { codes } from "./response-codes.js";

/** What the calls to the nameserver need. */
export interface LeaderCallOptions {
  readonly caller: Caller;
  readonly admissions: Admissions;
  /** Reads from ZooKeeper which nameserver leads. */
  readonly readLeader: () => Promise<Leader>;
  /** Asks ZooKeeper whether a nameserver's znode belongs to no session: it stays until it is deleted. */
  readonly isLeftBehind: (znode: string) => Promise<boolean>;
  /** Told what a longer wait is for; undefined: nothing is told. */
  readonly onNote?: ((text: string) => void) | undefined;
  readonly clock: Clock;
  /** How long a call looks for a leader that answers; the last attempt may begin just before the end. */
  readonly leaderTimeoutMs: number;
  /**
   * Calls in flight at once; the others wait for their turn, in order. The nameserver answers under
   * one lock (OpenMLDB 0.9 nameserver: mu_), so more at once gain nothing and keep others waiting.
   */
  readonly concurrency: number;
  readonly signal?: AbortSignal | undefined;
  /** Asked before a call is made again; what it throws ends the call. */
  readonly permit?: (() => Promise<void>) | undefined;
}

/** A nameserver that leads, as ZooKeeper tells. */
interface Leader {
  readonly leader: Endpoint;
  /** The znode that makes it the leader. */
  readonly leaderZnode: string;
}

/** A change of leader that is over by then is not worth a line. */
const noteAfterMs = 1_000;
const pauseMinMs = 100;
const pauseMaxMs = 1000;

/**
 * A nameserver that drops so many connections in a row does so on purpose: it refuses the
 * authorization. One that died would refuse the next connection instead.
 */
const dropsMax = 3;

/** Whether the call may be repeated after it may have had an effect. */
type Repeat = "safe" | "unsafe";

/**
 * One call to the nameserver that leads, wherever it is by then.
 *
 * @param repeat Whether the call may be made again after it may have had an effect.
 * @param reaches The tablet to which the call makes the nameserver send something, if there is one.
 */
export type LeaderCall = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  repeat: Repeat,
  reaches?: Endpoint,
) => Promise<MessageShape<O>>;

/** A filter counts as soon as its field is present, so "no database" is the field left out. */
export function inDb(db: string): { readonly db?: string } {
  return db === "" ? {} : { db };
}

/** Makes a {@link LeaderCall}. */
export function createLeaderCall({
  caller,
  admissions,
  readLeader,
  isLeftBehind,
  onNote,
  clock,
  leaderTimeoutMs,
  concurrency,
  signal,
  permit,
}: LeaderCallOptions): LeaderCall {
  const places = pLimit(concurrency);
  let leader: Promise<Leader> | undefined;
  let last: Leader | undefined;
  /** The znode of the nameserver that was waited for last, so that many calls tell it once. */
  let noted: string | undefined;

  /** Says what a call waits for; ends the call where waiting is in vain. */
  async function beforePause(error: OpsError, elapsedMs: number): Promise<void> {
    if (last === undefined || error.code.startsWith("zookeeper-")) return;
    const { leaderZnode } = last;
    if (await isLeftBehind(leaderZnode)) throw inVain(error, last);
    if (elapsedMs < noteAfterMs || noted === leaderZnode || error.code === "no-leader") return;
    noted = leaderZnode;
    onNote?.(
      `nameserver ${last.leader} leads by the znode ${leaderZnode} and takes no calls (${error.message}); waiting up to ${Math.round(leaderTimeoutMs / 1000)} s for it, or for another to take over when its session has ended`,
    );
  }

  async function attempt<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    before: (() => void) | undefined,
  ): Promise<MessageShape<O>> {
    leader ??= readLeader();
    const asked = leader;
    try {
      const found = await asked;
      last = found;
      return await places(() => caller.call(found.leader, method, request, [], before));
    } catch (error) {
      // Calls side by side share one reading; only the first that fails starts the next one.
      if (leader === asked) {
        leader = undefined;
      }
      throw error;
    }
  }

  return async function atLeader<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    repeat: Repeat,
    reaches?: Endpoint,
  ): Promise<MessageShape<O>> {
    const before = reaches === undefined ? undefined : () => admissions.checkAbout(reaches);
    const start = clock.now();
    let drops = 0;
    const elapsedMs = () => clock.now() - start;
    // The pauses are made on the clock given, not by p-retry, whose timers are always real.
    return pRetry(() => attempt(method, request, before), {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: 0,
      shouldRetry: async ({ error, attemptNumber }) => {
        if (!(error instanceof OpsError) || !mayRepeat(error, repeat, last !== undefined)) {
          return false;
        }
        drops = failureKindOf(error) === "dropped" ? drops + 1 : 0;
        if (drops >= dropsMax) {
          return false;
        }
        const pauseMs = Math.min(pauseMaxMs, pauseMinMs * 2 ** Math.min(attemptNumber - 1, 10));
        if (elapsedMs() + pauseMs >= leaderTimeoutMs) {
          throw gaveUp(error, elapsedMs(), last);
        }
        await beforePause(error, elapsedMs());
        await pause(clock, pauseMs, signal);
        await permit?.();
        return true;
      },
    });
  };
}

async function pause(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await clock.sleep(ms, signal);
  } catch (error) {
    throw signal?.aborted === true ? interruption(signal) : error;
  }
}

function mayRepeat(error: OpsError, repeat: Repeat, hasSeenLeader: boolean): boolean {
  if (error.responseCode === codes.notLeader) {
    return true;
  }
  if (error.code === "no-leader") {
    // Between two leaders there may be none for a moment; a cluster found without one is down.
    return hasSeenLeader;
  }
  if (error.code.startsWith("zookeeper-")) {
    return error.retryable;
  }
  const isConnectionFailure = error.code === "unreachable" || error.code === "deadline";
  return (
    isConnectionFailure &&
    error.retryable &&
    (repeat === "safe" || failureKindOf(error) === "unsent")
  );
}

/**
 * The znode of a nameserver goes away with its session (OpenMLDB 0.9 nameserver: the lock is an ephemeral
 * sequential node). One that belongs to no session keeps every other nameserver from leading, for ever.
 */
function inVain(error: OpsError, { leader, leaderZnode }: Leader): OpsError {
  // Nothing of it passes by itself, so it is not retryable.
  return new OpsError({
    code: error.code,
    cause: error,
    message: `${error.message}; nameserver ${leader} leads by the znode ${leaderZnode}, which was left behind: it belongs to no session`,
    ...(error.endpoint === undefined ? {} : { endpoint: error.endpoint }),
    hint: `delete the znode ${leaderZnode}; then the next nameserver leads`,
  });
}

/**
 * A nameserver that has died leads until its ZooKeeper session ends. One that still leads after all this
 * time has hung, or its znode was left behind: no other can take over then.
 */
function gaveUp(error: OpsError, elapsedMs: number, last: Leader | undefined): OpsError {
  const message = `${error.message}; no nameserver took the call within ${durationText(elapsedMs)}`;
  const isSilent = error.code === "unreachable" || error.code === "deadline";
  return reworded(error, {
    message,
    ...(error.endpoint === undefined ? {} : { endpoint: error.endpoint }),
    ...(isSilent && last !== undefined
      ? {
          hint: `${last.leader} leads by the znode ${last.leaderZnode}: make it answer; if no nameserver runs there, delete that znode, and another takes over`,
        }
      : {}),
  });
}
