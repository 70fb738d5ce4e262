import { commandPrinter } from "../cli/printed-command.js";
import type { RecoverDataFlags, RecoverTableFlags } from "../cli/recovery-specs.js";
import { isStop, messageOf } from "../errors.js";
import { type Progress, type RecoverResult, recoverData } from "../execution/recover.js";
import { EXIT } from "../exit-codes.js";
import { counted } from "../model/counted.js";
import type { RunReport } from "../model/report.js";
import { type RecoverCommand, recoverAgain } from "../model/tool-command.js";
import type { Lines } from "../model/work.js";
import { newIdentities } from "../observe/identified-cluster.js";
import { addMissingOperation } from "../operations/add-missing.js";
import { openDecisions } from "../planning/decisions.js";
import { earlyEndJson, isAllHealthy, reportJson, reportText } from "../report/recovery-report.js";
import { recoveryRows } from "../report/recovery-rows.js";
import { rowsJson, rowsText, withRows } from "../report/rows-report.js";
import { replaceFileBy } from "../util/replace-file.js";
import { safe } from "../util/text.js";
import { ask } from "./ask.js";
import { changeCluster, rethrowOwnEnd } from "./change-cluster.js";
import type { Command, CommandIo } from "./command.js";
import { writeDecisions } from "./decisions-file.js";
import { type DeepEnd, deepAfterRecovery, withDeepExit } from "./deep-verify.js";
import { operate } from "./operate.js";
import { isPlanOnly } from "./plan-store.js";
import { knownOffsetsStore, printNotRestored, restoreCommand } from "./protect.js";
import {
  confirmPlan,
  planRecovery,
  type Recovery,
  type RecoveryFlags,
  readChoices,
  readPlan,
  warnOfEmptyDecisions,
} from "./recovery-options.js";
import { waitForTablets } from "./wait-tablets.js";
import { ended, lined, print, writeToDisk } from "./write.js";

/** Recovers every partition, of one database or of all; see {@link recover}. */
export const recoverDataCommand: Command<RecoverDataFlags> = {
  run(flags, io) {
    const { db, lost, replaces: replace } = flags;
    return recover(flags, io, { typed: { cmd: "recoverdata", db, lost, replace }, only: { db } });
  },
};

/**
 * Recovers one table, some of its partitions, or its replicas on one tablet; see {@link recover}.
 * Healthy replicas are left alone, unless `--force` marks them not alive and recovers them too.
 */
export const recoverTableCommand: Command<RecoverTableFlags> = {
  run(flags, io) {
    const { db, table, endpoint, isForced, lost, replaces: replace } = flags;
    const pids = flags.pids === "all" ? undefined : flags.pids;
    return recover(flags, io, {
      typed: {
        cmd: "recovertable",
        db,
        table,
        pid: pids,
        endpoint,
        force: isForced,
        lost,
        replace,
      },
      only: { db, table, pids, endpoint, isForced },
    });
  },
};

type Recovered = Extract<RecoverResult, { report: unknown }>;

/**
 * Recovers the selected partitions in rounds (observe, plan, run), and prints one screen with the result; see
 * {@link changeCluster}.
 *
 * @returns The exit code.
 * @throws OpsError as {@link changeCluster} does, after auto_failover was restored.
 */
async function recover(flags: RecoveryFlags, io: CommandIo, recovery: Recovery): Promise<number> {
  const given = readPlan(flags, recovery);
  const choices = readChoices(flags, recovery, given);
  const { typed } = recovery;
  const print = commandPrinter(flags);
  const identities = newIdentities();
  let earlier: Progress | undefined;
  const exitCode = await changeCluster<RecoverResult>(flags, io, given, {
    typed,
    before: (cluster, on) => waitForTablets(cluster, { flags, lost: flags.lost, ...on }),
    plan: (opened, on) => planRecovery(opened, choices, on),
    async attempt({ cluster, signal, createGuard }, { opened, onEvent }) {
      warnOfEmptyDecisions(choices, io);
      const ended = await recoverData(cluster, {
        ...choices,
        review: (plan, ending) => confirmPlan(plan, { flags, io, signal: ending }),
        command: typed.cmd,
        limits: flags,
        signal,
        onEvent,
        again: recoverAgain(typed, print),
        print,
        createGuard,
        keepsOff: (undecided) => keepsOff(undecided, flags, io, signal),
        earlier,
        identities,
        knownOffsetsStore: knownOffsetsStore(opened, onEvent),
      });
      if ("error" in ended) earlier = ended.progress;
      return ended;
    },
    async finish(end, run) {
      if ("error" in end) {
        run.stopProgress();
        return endEarly(end, flags, io, typed);
      }
      const { report } = end;
      const deep = flags.isDeep ? await deepAfterRecovery(report, run, flags, io) : undefined;
      run.ended(() => withRows(recoveryRows(report, restoreCommand(flags)), deep?.rows));
      run.stopProgress();
      return finish({ report, deep }, flags, io, typed);
    },
  });
  if (!flags.replaces || isPlanOnly(flags)) return exitCode;
  // A partition that is not healthy, such as one whose only replica was lost, does not keep the others from theirs.
  if (exitCode !== EXIT.ok && exitCode !== EXIT.partly) return exitCode;
  // Report, hook and confirmation belong to the recovery and are not repeated.
  const own = { ...flags, report: undefined, textfile: undefined, postHook: undefined, yes: true };
  const added = await operate(
    { ...own, apply: undefined },
    io,
    addMissingOperation(REPLACED_AT_ONCE),
  );
  return exitCode === EXIT.ok ? added : exitCode;
}

/** Limit of partitions to which replicas are added concurrently; the nameserver executes one op after another. */
const REPLACED_AT_ONCE = 4;

/** True if auto_failover stays off while decisions are open: by the flag, or by the user's answer. */
async function keepsOff(
  undecided: number,
  { keepsOffUndecided, yes, noInput }: RecoveryFlags,
  io: CommandIo,
  signal: AbortSignal,
): Promise<boolean> {
  if (keepsOffUndecided) return true;
  if (yes || noInput || !io.isInteractiveStdin) return false;
  const answer = await ask(
    [
      `${counted(undecided, "partition")} left for you to decide. With auto_failover on, the nameserver decides by itself when an`,
      "absent tablet returns: it can discard rows that only that tablet holds.",
      "Leave auto_failover off until no decision is open? [Y/n] ",
    ].join("\n"),
    io,
    signal,
  );
  return !/^\s*n(o)?\s*$/i.test(answer);
}

async function finish(
  { report, deep }: Pick<Recovered, "report"> & { readonly deep: DeepEnd | undefined },
  flags: RecoveryFlags,
  io: CommandIo,
  typed: RecoverCommand,
): Promise<number> {
  const { notRestored } = report.autoFailover;
  const verdict = isAllHealthy(report) ? EXIT.ok : EXIT.partly;
  const rows = deep?.rows;
  const exitCode = withDeepExit(notRestored === undefined ? verdict : EXIT.notRestored, deep);
  const json = () => ended(reportJson(report, exitCode, rows && rowsJson(rows)));
  const isAtTerminal = io.isInteractiveStdout && io.isInteractiveStderr;
  const isLogSeen = isAtTerminal && (flags.logLevel === "info" || flags.logLevel === "debug");
  const text = function* (): Lines {
    yield* reportText(report, { isVerbose: flags.isVerbose, isLogSeen });
    if (rows !== undefined) yield* rowsText(rows);
  };
  if (flags.decisionsOut !== undefined) await saveDecisions(flags.decisionsOut, report, flags, io);
  if (flags.reportFile !== undefined) await saveReport(flags.reportFile, json(), io);
  await print(io, flags.output === "json" ? json() : lined(text()));
  if (notRestored !== undefined) printNotRestored(notRestored, flags, io);
  else warnOfOpenDecisions(report, flags, io, typed);
  // Signals and time limits have their own exit codes.
  if (isStop(deep?.error)) throw deep.error;
  return exitCode;
}

/**
 * Warns if decisions are open and auto_failover is on. When a tablet returns, the nameserver then elects other leaders
 * for the partitions that the tablet led and rebuilds its replicas, whatever they hold. With auto_failover off it does
 * neither (OpenMLDB 0.9 nameserver: OnTabletOnline).
 */
function warnOfOpenDecisions(
  { partitions, autoFailover }: Recovered["report"],
  flags: RecoveryFlags,
  io: CommandIo,
  typed: RecoverCommand,
): void {
  const open = partitions.filter((one) => one.status === "needs-decision").length;
  if (open === 0 || !autoFailover.after) return;
  const again = recoverAgain(typed, commandPrinter(flags));
  io.log.warn(
    `auto_failover is on, and decisions are open in ${counted(open, "partition")}; when a tablet that holds more rows returns, the nameserver may discard them without asking; before such a tablet is started, run: ${again({ keep_off_while_undecided: true })}`,
  );
}

/** Saves open decisions. An error is only logged, so that the result of the recovery is still printed. */
async function saveDecisions(
  path: string,
  report: RunReport,
  { zkRootPath }: RecoveryFlags,
  io: CommandIo,
): Promise<void> {
  const open = openDecisions(report.partitions);
  try {
    if (open.length > 0) await writeDecisions(path, zkRootPath, open);
    io.log.info(
      open.length > 0 ? `the open decisions are in ${safe(path)}` : "no decision is open",
    );
  } catch (error) {
    io.log.error(messageOf(error));
  }
}

/** Saves the report. An error is only logged and does not change the exit code. */
async function saveReport(path: string, json: Iterable<string>, io: CommandIo): Promise<void> {
  try {
    await replaceFileBy(path, (file) => writeToDisk(file, json));
    io.log.info(`the whole report is in ${safe(path)}`);
  } catch (error) {
    io.log.error(`the report could not be saved in ${safe(path)}: ${messageOf(error)}`);
  }
}

/** The progress of a run that ended early, in words. */
function stoppedText({ changes, unhealthy, finished }: Progress): string {
  const done = [...unhealthy].filter((key) => finished.has(key)).length;
  return `${counted(changes, "change")} made; ${done} of ${counted(unhealthy.size, "partition")} that were unhealthy are finished, ${unhealthy.size - done} left`;
}

/** Ends a run early. Rethrows signals, time limits and errors before the first change, for their own exit codes. */
function endEarly(
  result: Extract<RecoverResult, { error: unknown }>,
  flags: RecoveryFlags,
  io: CommandIo,
  typed: RecoverCommand,
): number {
  const { error, notRestored, progress } = result;
  const goOn = recoverAgain(typed, commandPrinter(flags))();
  const done = progress.unhealthy.size > 0 ? stoppedText(progress) : undefined;
  rethrowOwnEnd(result, { done, goOn }, flags, io);
  const exitCode = notRestored === undefined ? EXIT.partly : EXIT.notRestored;
  if (flags.output === "json") {
    io.stdout.write(
      `${earlyEndJson({ command: typed.cmd, error, notRestored, restoreCommand: restoreCommand(flags), exitCode })}\n`,
    );
  }
  io.stderr.write(
    `openmldb-ops: the run ended early: ${safe(messageOf(error))}\n  ${stoppedText(progress)}\n  to continue: ${safe(goOn)}\n`,
  );
  if (notRestored !== undefined) printNotRestored(notRestored, flags, io);
  return exitCode;
}
