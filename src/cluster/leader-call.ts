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
import type { Caller } from "./caller.js";
import { failureKindOf, pause, reworded } from "./failure.js";
import { codes } from "./response-codes.js";

/** Options of {@link createLeaderCall}. */
export interface LeaderCallOptions {
  readonly caller: Caller;
  /** Reads the leading nameserver from ZooKeeper. */
  readonly readLeader: () => Promise<Leader>;
  /** True if no session owns a nameserver's znode, so that it stays until it is deleted. */
  readonly isLeftover: (znode: string) => Promise<boolean>;
  /** Receives the reason of each longer wait. */
  readonly onNote?: ((text: string) => void) | undefined;
  readonly clock: Clock;
  /** Milliseconds that a call looks for a leader that answers; the last attempt may begin just before the end. */
  readonly leaderTimeoutMs: number;
  /**
   * Limit of concurrent calls; the others are queued in order. The nameserver answers under one lock (OpenMLDB 0.9
   * nameserver: mu_), so a higher limit gains nothing.
   */
  readonly concurrency: number;
  readonly signal?: AbortSignal | undefined;
  /** Called before a call is repeated; an error that it throws ends the call. */
  readonly permit?: (() => Promise<void>) | undefined;
}

/** The leading nameserver according to ZooKeeper. */
interface Leader {
  readonly leader: Endpoint;
  /** The znode that makes it the leader. */
  readonly leaderZnode: string;
}

/** Milliseconds after which a wait for the leader is reported; most leader changes take less. */
const noteAfterMs = 1_000;
const pauseMinMs = 100;
const pauseMaxMs = 1000;

/**
 * After this number of dropped connections in a row, the nameserver is taken to refuse the authorization. A
 * nameserver that died would refuse the next connection instead.
 */
const dropsMax = 3;

/**
 * Whether a call may be repeated: `safe`, always; `unsafe`, only if it cannot have had an effect; `never`, because
 * what it was decided on may have changed meanwhile.
 */
type Repeat = "safe" | "unsafe" | "never";

/**
 * Calls the leading nameserver, also if the leader changes in between.
 *
 * @param reaches The tablet to which the call makes the nameserver send something; undefined if there is none.
 */
export type LeaderCall = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  repeat: Repeat,
  reaches?: Endpoint,
) => Promise<MessageShape<O>>;

/** Creates a {@link LeaderCall}. */
export function createLeaderCall({
  caller,
  readLeader,
  isLeftover,
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
  /** The znode of the last reported wait, so that concurrent calls report it once. */
  let noted: string | undefined;

  /** Reports the wait; ends the call if the leader's znode is a leftover, because waiting cannot help then. */
  async function beforePause(error: OpsError, elapsedMs: number): Promise<void> {
    if (last === undefined || error.code.startsWith("zookeeper-")) return;
    const { leaderZnode } = last;
    if (await isLeftover(leaderZnode)) throw leftoverZnode(error, last);
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
    const reading = leader;
    try {
      const found = await reading;
      last = found;
      return await places(() => caller.call(found.leader, method, request, [], before));
    } catch (error) {
      // Concurrent calls share one read of the leader; only the first that fails discards it.
      if (leader === reading) {
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
    const before = reaches === undefined ? undefined : () => caller.checkConnection(reaches);
    const start = clock.now();
    let drops = 0;
    const elapsedMs = () => clock.now() - start;
    // Pauses use the given clock; p-retry would use real timers.
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
          throw timedOut(error, elapsedMs(), last);
        }
        await beforePause(error, elapsedMs());
        await pause(clock, pauseMs, signal);
        await permit?.();
        return true;
      },
    });
  };
}

function mayRepeat(error: OpsError, repeat: Repeat, hasSeenLeader: boolean): boolean {
  if (repeat === "never") return false;
  if (error.responseCode === codes.notLeader) {
    return true;
  }
  if (error.code === "no-leader") {
    // During a change of leader there is none for a moment. A cluster that never had one is down.
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
 * The error if no session owns the leader's znode. It is ephemeral (OpenMLDB 0.9 nameserver: the lock is an ephemeral
 * sequential node), so such a znode is a leftover that keeps all other nameservers from leading.
 */
function leftoverZnode(error: OpsError, { leader, leaderZnode }: Leader): OpsError {
  // Not retryable, because the znode has to be deleted.
  return new OpsError({
    code: error.code,
    cause: error,
    message: `${error.message}; nameserver ${leader} leads by the znode ${leaderZnode}, which was left behind: it belongs to no session`,
    endpoint: error.endpoint,
    hint: `delete the znode ${leaderZnode}; then the next nameserver leads`,
  });
}

/**
 * The error after the time limit. A nameserver that died stays leader until its ZooKeeper session ends. One that is
 * still leader now hangs, or its znode is a leftover, and no other one can take over.
 */
function timedOut(error: OpsError, elapsedMs: number, last: Leader | undefined): OpsError {
  const message = `${error.message}; no nameserver took the call within ${durationText(elapsedMs)}`;
  const isSilent = error.code === "unreachable" || error.code === "deadline";
  return reworded(error, {
    message,
    endpoint: error.endpoint,
    ...(isSilent && last !== undefined
      ? {
          hint: `${last.leader} leads by the znode ${last.leaderZnode}: make it answer; if no nameserver runs there, delete that znode, and another takes over`,
        }
      : {}),
  });
}
