import { setMaxListeners } from "node:events";
import type { OpenedCluster } from "../cluster/open.js";
import { type ErrorCode, messageOf, OpsError } from "../errors.js";
import { EXIT, exitCodeOf } from "../exit-codes.js";
import type { RecoverDataFlags } from "../flags.js";
import type { OnEvent } from "../model/outcome.js";
import { type RunOwner, thisProcess } from "../protection/owner.js";
import { withRun } from "../protection/with-run.js";
import type { Guard } from "../recovery/guard.js";
import type { SavedPlan } from "../recovery/plan-file.js";
import { type Progress, type RecoverResult, recoverData } from "../recovery/recover-data.js";
import { earlyEndJson, isAllHealthy, reportJson, reportText } from "../recovery/report.js";
import { watchMutations } from "../recovery/watch-mutations.js";
import { within } from "../recovery/within.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";
import { keepJournal } from "./keep-journal.js";
import { isPlanOnly, planOptions, readPlan, showPlan } from "./plan-io.js";
import { startProgress } from "./progress.js";
import { restoreCommand, runParts, tellNotRestored } from "./protect.js";
import { commandLine } from "./rerun.js";

const NAME = "recoverdata";
/** How long the journal may take at the end; its own bound is shorter. */
const JOURNAL_MS = 10_000;
const STOPPED_JOURNAL_MS = 500;
/** Errors that say all about why a run ended; their exit codes hold even after changes. */
const STOPS: readonly ErrorCode[] = [
  "interrupted",
  "time-limit",
  "lock-lost",
  "lock-retaken",
  "auto-failover-on",
];

/**
 * Brings every partition back and prints one screen: what was done and what is left.
 *
 * @returns 0, 3 or 9.
 * @throws OpsError if the run ended before any change, because another run is at work, by a signal
 *   or by the time limit; with auto_failover put back.
 */
export async function run(flags: RecoverDataFlags, io: CommandIo): Promise<number> {
  const given = readPlan(flags);
  if (isPlanOnly(flags)) return showPlan(flags, io, given);
  const limit = timeLimit(flags.timeoutMs);
  const progress = startProgress(io);
  try {
    return await withCluster(flags, io, async (cluster, opened) => {
      const owner = thisProcess(commandLine(["--cmd=recoverdata"], flags));
      const { zk } = opened;
      const journal = await keepJournal(flags, io, { command: NAME, id: owner.runId, zk });
      const ended = await settled(
        recover(flags, io, {
          opened: { ...opened, cluster: watchMutations(opened.cluster, journal.hooks) },
          owner,
          given,
          signal: manyListeners(AbortSignal.any([io.signal, limit.signal])),
          onEvent(event) {
            progress.onEvent(event);
            journal.onEvent(event);
          },
        }),
      );
      const finishing = journal.finish({
        exitCode: "thrown" in ended ? exitCodeOf(ended.thrown) : ended.exitCode,
      });
      // A process that was told to leave does not wait long for a ZooKeeper that is silent.
      const patienceMs = io.signal.aborted ? STOPPED_JOURNAL_MS : JOURNAL_MS;
      await within(cluster.clock, patienceMs, "the journal", finishing).catch(() => undefined);
      if ("thrown" in ended) throw ended.thrown;
      return ended.exitCode;
    });
  } finally {
    progress.stop();
    limit.stop();
  }
}

async function settled(
  work: Promise<number>,
): Promise<{ readonly exitCode: number } | { readonly thrown: unknown }> {
  try {
    return { exitCode: await work };
  } catch (thrown) {
    return { thrown };
  }
}

/** What a recovery works with, beside its flags. */
interface Surroundings {
  readonly opened: OpenedCluster;
  readonly owner: RunOwner;
  /** The plan of `--apply`; undefined without it. */
  readonly given: SavedPlan | undefined;
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
}

async function recover(
  flags: RecoverDataFlags,
  io: CommandIo,
  { opened, owner, given, signal, onEvent }: Surroundings,
): Promise<number> {
  let guard: Guard | undefined;
  io.onSecondSignal(() => {
    if (guard?.isEngaged() !== true) return;
    io.stderr.write(`auto_failover may be off now; put it back with: ${restoreCommand(flags)}\n`);
  });
  const parts = runParts(opened, flags, io, {
    words: ["--cmd=recoverdata"],
    waitLockMs: flags.waitLockMs,
    keepsOff: flags.keepOff,
    signal,
    onEvent,
    owner,
  });
  let earlier: Progress | undefined;
  const result = await withRun(parts, async (attempt) => {
    const ended = await recoverData(attempt.cluster, {
      ...planOptions(flags, io, given),
      limits: flags,
      signal: attempt.signal,
      onEvent,
      rerun: commandLine(["--cmd=recoverdata"], flags),
      async createGuard(observed) {
        guard = await attempt.createGuard(observed);
        return guard;
      },
      earlier,
    });
    if ("error" in ended) earlier = ended.progress;
    return ended;
  });
  return "error" in result ? endEarly(result, flags, io) : finish(result, flags, io);
}

function finish(
  { report }: Extract<RecoverResult, { report: unknown }>,
  flags: RecoverDataFlags,
  io: CommandIo,
): number {
  const { notRestored } = report.autoFailover;
  const verdict = isAllHealthy(report) ? EXIT.ok : EXIT.partly;
  const exitCode = notRestored === undefined ? verdict : EXIT.notRestored;
  io.stdout.write(
    flags.output === "json"
      ? `${reportJson(report, exitCode)}\n`
      : `${reportText(report).join("\n")}\n`,
  );
  if (notRestored !== undefined) tellNotRestored(notRestored, flags, io);
  return exitCode;
}

/** Signals, time limits and errors before the first change are told by the shell, which knows their codes. */
function endEarly(
  result: Extract<RecoverResult, { error: unknown }>,
  flags: RecoverDataFlags,
  io: CommandIo,
): number {
  const { error, notRestored } = result;
  const isStopped = error instanceof OpsError && STOPS.includes(error.code);
  if (notRestored === undefined && (isStopped || !result.hasChanged)) throw error;
  const exitCode = notRestored === undefined ? EXIT.partly : EXIT.notRestored;
  if (flags.output === "json") {
    io.stdout.write(
      `${earlyEndJson({ error, notRestored, restoreCommand: restoreCommand(flags), exitCode })}\n`,
    );
  }
  io.stderr.write(
    `openmldb-ops: the run ended early: ${messageOf(error)}\n  -> run the same command again to go on\n`,
  );
  if (notRestored !== undefined) tellNotRestored(notRestored, flags, io);
  return exitCode;
}

/** Every partition listens to the signal of its run. */
function manyListeners(signal: AbortSignal): AbortSignal {
  setMaxListeners(0, signal);
  return signal;
}

/** A signal that comes after `timeoutMs`; never with 0. */
function timeLimit(timeoutMs: number): { signal: AbortSignal; stop: () => void } {
  const controller = new AbortController();
  if (timeoutMs === 0) return { signal: controller.signal, stop: () => {} };
  const timer = setTimeout(() => {
    controller.abort(
      new OpsError({
        code: "time-limit",
        message: `the time limit of ${timeoutMs / 1000} s has passed; what was begun goes on by itself`,
        hint: "run the same command again to go on, with a longer --timeout",
      }),
    );
  }, timeoutMs);
  return { signal: controller.signal, stop: () => clearTimeout(timer) };
}
