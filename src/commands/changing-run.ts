import { setMaxListeners } from "node:events";
import type { CommonFlags, OutputFlags, StateFlags } from "../cli/common-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import type { OpenedCluster } from "../cluster/open.js";
import { messageOf, OpsError } from "../errors.js";
import { exitCodeOf } from "../exit-codes.js";
import { type Journal, openJournal } from "../journal/journal.js";
import type { Endpoint } from "../model/cluster-state.js";
import { durationText } from "../model/duration.js";
import type { OnEvent } from "../model/outcome.js";
import type { ToolCommand } from "../model/tool-command.js";
import type { ResultRows } from "../report/document.js";
import type { Guard } from "../run/guard.js";
import { type RunOwner, thisProcess } from "../run/owner.js";
import { watchMutations } from "../run/watch-mutations.js";
import { type Attempt, withRun } from "../run/with-run.js";
import { defaultStateDir } from "../util/process-identity.js";
import { safe } from "../util/text.js";
import { within } from "../util/within.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";
import { startProgress } from "./progress.js";
import { restoreCommand, runParts } from "./protect.js";
import { type RunOutputs, withOutputs } from "./run-outputs.js";

/** Milliseconds that the journal may take to finish; its own limit is shorter. */
const JOURNAL_MS = 10_000;
/** The same after a signal. */
const STOPPED_JOURNAL_MS = 500;

/** The parts of a run of a command that changes the cluster. */
export interface ChangingRun {
  /** The cluster; its changes are recorded in the journal. */
  readonly opened: OpenedCluster;
  readonly owner: RunOwner;
  /** Aborted by a signal of the process or by the time limit. */
  readonly signal: AbortSignal;
  /** Passes events to the progress display, the journal and the report. */
  readonly onEvent: OnEvent;
  /** Sets the result for report, metrics and hook; the function is called only if one of them needs it. */
  readonly ended: (result: () => ResultRows) => void;
  /** Ends the progress display; to be called before the result is printed. */
  readonly stopProgress: () => void;
}

/**
 * Runs `work` with a connection, a journal, a progress display and a time limit. Takes no lock.
 *
 * @param about The command, for the lock and the journal.
 * @returns The exit code that `work` returned.
 * @throws The error of `work`, after the journal is finished.
 */
export function changingRun(
  flags: ChangingFlags,
  io: CommandIo,
  about: ToolCommand,
  work: (run: ChangingRun) => Promise<number>,
): Promise<number> {
  return withOutputs(flags, io, about.cmd, (outputs) =>
    connectedRun(flags, io, about, outputs, work),
  );
}

type ChangingFlags = CommonFlags &
  StateFlags &
  Partial<OutputFlags> & { readonly timeoutMs: number; readonly resume?: boolean };

async function connectedRun(
  flags: ChangingFlags,
  io: CommandIo,
  about: ToolCommand,
  outputs: RunOutputs,
  work: (run: ChangingRun) => Promise<number>,
): Promise<number> {
  const limit = timeLimit(flags.timeoutMs);
  const progress = startProgress(io, flags, about.cmd);
  let onEvent: OnEvent = progress.onEvent;
  const onLeader = leaderChanges((event) => onEvent(event));
  const use = async (opened: OpenedCluster) => {
    const { cluster, zk } = opened;
    const owner = thisProcess(commandPrinter(flags)(about));
    outputs.began(owner.runId, owner.command);
    const journal = await openJournal({
      stateDir: flags.stateDir ?? defaultStateDir(),
      command: about.cmd,
      argv: process.argv.slice(2),
      flags,
      cluster: { zkCluster: flags.zkCluster, zkRootPath: flags.zkRootPath },
      isResuming: flags.resume ?? false,
      zk,
      id: owner.runId,
      note: (text) => io.log.info(safe(text)),
      warn: (text) => io.log.warn(safe(text)),
    });
    const finish = async (end: Parameters<Journal["finish"]>[0]) => {
      // After a signal, do not wait long for a silent ZooKeeper.
      const limitMs = io.signal.aborted ? STOPPED_JOURNAL_MS : JOURNAL_MS;
      const finishing = journal.finish(end);
      await within(cluster.clock, limitMs, "the journal", finishing).catch(() => undefined);
    };
    onEvent = toAll([progress.onEvent, journal.onEvent, outputs.onEvent], io);
    const signal = AbortSignal.any([io.signal, limit.signal]);
    // Every partition listens to the signal of its run.
    setMaxListeners(0, signal);
    let exitCode: number;
    try {
      exitCode = await work({
        opened: { ...opened, cluster: watchMutations(cluster, journal.hooks) },
        owner,
        signal,
        onEvent,
        ended: outputs.ended,
        stopProgress: progress.stop,
      });
    } catch (thrown) {
      await finish({ exitCode: exitCodeOf(thrown), detail: messageOf(thrown) });
      throw thrown;
    }
    await finish({ exitCode });
    return exitCode;
  };
  try {
    return await withCluster(flags, io, use, { onLeader });
  } finally {
    progress.stop();
    limit.stop();
  }
}

/** Reports each change of the leading nameserver as a note. */
function leaderChanges(onEvent: OnEvent): (leader: Endpoint) => void {
  let last: Endpoint | undefined;
  return (leader) => {
    const from = last;
    last = leader;
    if (from === undefined || from === leader) return;
    const text = `nameserver ${leader} leads now, in place of ${from}`;
    onEvent({ kind: "note", text, nameserver: { from, to: leader } });
  };
}

/**
 * Passes an event to all listeners. An error of a listener is only logged: a display error must not end a run, which
 * has to restore auto_failover.
 */
function toAll(listeners: readonly OnEvent[], io: Pick<CommandIo, "log">): OnEvent {
  return (event) => {
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (error) {
        io.log.warn(`an event of the run could not be displayed or recorded: ${messageOf(error)}`);
      }
    }
  };
}

/**
 * Runs the attempts of a command under its lock, with a guard of auto_failover. After a second signal, the command
 * that restores auto_failover is printed.
 *
 * @param work One attempt; after the lock was lost, a later one continues.
 * @throws The errors of `withRun` and `work`.
 */
export function underLock<T>(
  { opened, owner, signal, onEvent }: ChangingRun,
  flags: CommonFlags & { readonly waitLockMs: number; readonly keepOff: boolean },
  io: CommandIo,
  work: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  let guard: Guard | undefined;
  io.onSecondSignal(() => {
    if (guard?.isEngaged() !== true) return false;
    io.stderr.write(`auto_failover may be off now; restore it with: ${restoreCommand(flags)}\n`);
    return true;
  });
  const { waitLockMs, keepOff: keepsOff } = flags;
  const own = { owner, signal, stopSignal: io.signal, onEvent, waitLockMs, keepsOff };
  const parts = runParts(opened, flags, own);
  return withRun(parts, (attempt) =>
    work({
      ...attempt,
      async createGuard(observed) {
        guard = await attempt.createGuard(observed);
        return guard;
      },
    }),
  );
}

/** A signal that is aborted after `timeoutMs` milliseconds; never if that is 0. */
function timeLimit(timeoutMs: number): { signal: AbortSignal; stop: () => void } {
  const controller = new AbortController();
  if (timeoutMs === 0) return { signal: controller.signal, stop: () => {} };
  const timer = setTimeout(() => {
    controller.abort(
      new OpsError({
        code: "time-limit",
        message: `the time limit of ${durationText(timeoutMs)} has passed; operations in progress continue by themselves`,
        hint: "run the same command again to continue, with a longer --timeout",
      }),
    );
  }, timeoutMs);
  return { signal: controller.signal, stop: () => clearTimeout(timer) };
}
