import { messageOf, OpsError } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import type { RecoverDataFlags } from "../flags.js";
import type { Guard } from "../recovery/guard.js";
import { type RecoverResult, recoverData } from "../recovery/recover-data.js";
import { earlyEndJson, isAllHealthy, reportJson, reportText } from "../recovery/report.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";
import { startProgress } from "./progress.js";
import { commandLine } from "./rerun.js";

/**
 * Brings every partition back and prints one screen: what was done and what is left.
 *
 * @returns 0, 3 or 9.
 * @throws OpsError if the run ended before any change, by a signal or by the time limit; with
 *   auto_failover put back.
 */
export async function run(flags: RecoverDataFlags, io: CommandIo): Promise<number> {
  const restoreCommand = commandLine(["confset", "auto_failover", "true"], flags);
  let guard: Guard | undefined;
  io.onSecondSignal(() => {
    if (guard?.isEngaged() !== true) return;
    io.stderr.write(`auto_failover may be off now; put it back with: ${restoreCommand}\n`);
  });
  const limit = timeLimit(flags.timeoutMs);
  const progress = startProgress(io);
  try {
    const result = await withCluster(flags, io, (cluster) =>
      recoverData(cluster, {
        db: flags.db,
        limits: flags,
        signal: AbortSignal.any([io.signal, limit.signal]),
        onEvent: progress.onEvent,
        rerun: commandLine(["--cmd=recoverdata"], flags),
        onGuard: (one) => {
          guard = one;
        },
      }),
    );
    return "error" in result
      ? endEarly(result, flags, io, restoreCommand)
      : finish(result, flags, io, restoreCommand);
  } finally {
    progress.stop();
    limit.stop();
  }
}

function finish(
  { report }: Extract<RecoverResult, { report: unknown }>,
  flags: RecoverDataFlags,
  io: CommandIo,
  restoreCommand: string,
): number {
  const { notRestored } = report.autoFailover;
  const verdict = isAllHealthy(report) ? EXIT.ok : EXIT.partly;
  const exitCode = notRestored === undefined ? verdict : EXIT.notRestored;
  io.stdout.write(
    flags.output === "json"
      ? `${reportJson(report, exitCode)}\n`
      : `${reportText(report).join("\n")}\n`,
  );
  if (notRestored !== undefined) tellNotRestored(notRestored, io, restoreCommand);
  return exitCode;
}

/** Signals, time limits and errors before the first change are told by the shell, which knows their codes. */
function endEarly(
  result: Extract<RecoverResult, { error: unknown }>,
  flags: RecoverDataFlags,
  io: CommandIo,
  restoreCommand: string,
): number {
  const { error, notRestored } = result;
  const isStopped =
    error instanceof OpsError && (error.code === "interrupted" || error.code === "time-limit");
  if (notRestored === undefined && (isStopped || !result.hasChanged)) throw error;
  const exitCode = notRestored === undefined ? EXIT.partly : EXIT.notRestored;
  if (flags.output === "json") {
    io.stdout.write(`${earlyEndJson({ error, notRestored, restoreCommand, exitCode })}\n`);
  }
  io.stderr.write(
    `openmldb-ops: the run ended early: ${messageOf(error)}\n  -> run the same command again to go on\n`,
  );
  if (notRestored !== undefined) tellNotRestored(notRestored, io, restoreCommand);
  return exitCode;
}

function tellNotRestored(why: string, io: CommandIo, restoreCommand: string): void {
  io.stderr.write(
    `openmldb-ops: auto_failover could not be put back (${why}); do it by hand: ${restoreCommand}\n`,
  );
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
