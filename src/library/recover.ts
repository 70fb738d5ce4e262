import { commandPrinter, commandWords } from "../cli/printed-command.js";
import { recoverDataSpecs } from "../cli/recovery-specs.js";
import { defaultOf } from "../cli/spec.js";
import type { Selection } from "../diagnosis/selection.js";
import { messageOf, OpsError } from "../errors.js";
import { type Progress, type RecoverResult, recoverData } from "../execution/recover.js";
import { EXIT, exitCodeOf } from "../exit-codes.js";
import { type Journal, openJournal } from "../journal/journal.js";
import type { Endpoint } from "../model/cluster-state.js";
import type { Loss } from "../model/loss.js";
import type { OnEvent, RunEvent } from "../model/outcome.js";
import type { Method } from "../model/plan.js";
import type { RunReport } from "../model/report.js";
import { type PrintCommand, type RecoverCommand, recoverAgain } from "../model/tool-command.js";
import { newIdentities } from "../observe/identified-cluster.js";
import type { RecoveryPlan } from "../planning/recovery-plan.js";
import { isAllHealthy } from "../report/recovery-report.js";
import { type RunOwner, thisProcess } from "../run/owner.js";
import type { RunParts } from "../run/take-over.js";
import { watchMutations } from "../run/watch-mutations.js";
import { withRun } from "../run/with-run.js";
import type { Limits } from "../steps/step-context.js";
import { defaultStateDir } from "../util/process-identity.js";
import { type Connection, knownOffsetsOf, partsOf } from "./connection.js";
import { withSignal } from "./signal.js";

/** What a recovery is about, and what may be given up. */
export interface PlanOptions {
  /** What to recover; everything if undefined, system databases first. */
  readonly only?: Selection | undefined;
  /** `direct` if undefined. */
  readonly method?: Method | undefined;
  /**
   * The replica that shall lead in a partition where rows have to be given up, by the partition's name
   * (`db1.t1:0`, see {@link partitionName}). Nothing is given up in a partition that is not named.
   */
  readonly accept?: ReadonlyMap<string, Endpoint> | undefined;
  /** What may be given up with the tablets in `lost` at most, in sum; nothing if undefined. */
  readonly acceptsLossOfLost?: Loss | undefined;
  /** Tablets that will not come back, as the operator says; none if undefined. */
  readonly lost?: ReadonlySet<Endpoint> | undefined;
  /** Ends the look, or the run. */
  readonly signal?: AbortSignal | undefined;
}

/** How a cluster is recovered. */
export interface RecoverOptions extends PlanOptions {
  /**
   * A plan to execute, and nothing else: what it is about, its method and its choices count. It is compared
   * with the cluster before anything is done.
   */
  readonly planned?: RecoveryPlan | undefined;
  /** Told what happens, as it happens. It must not throw. */
  readonly onEvent?: ((event: RunEvent) => void) | undefined;
  /** How long to wait until another run has ended, milliseconds; 0, not at all, if undefined. */
  readonly waitLockMs?: number | undefined;
  /** Whether `auto_failover` is switched off again if it is switched on from elsewhere; false if undefined. */
  readonly keepOff?: boolean | undefined;
  /** Folder of the journal; that of the command if undefined. */
  readonly stateDir?: string | undefined;
}

/** The command's limits when it is given none. */
const LIMITS: Limits = {
  concurrency: defaultOf(recoverDataSpecs.concurrency),
  loadsPerTablet: defaultOf(recoverDataSpecs.loadsPerTablet),
  opRetries: defaultOf(recoverDataSpecs.opRetries),
  opTimeoutMs: defaultOf(recoverDataSpecs.opTimeoutMs),
  cancelStuck: defaultOf(recoverDataSpecs.cancelStuck),
  stallTimeoutMs: defaultOf(recoverDataSpecs.stallTimeoutMs),
};

/**
 * Recovers what is not healthy, as `recoverdata` does, and as safely: under the lock of the cluster, with
 * a marker that brings `auto_failover` back after a crash, and a journal of every change. On a healthy
 * cluster nothing is changed. After an abort of `signal` it is back within 5 s, with `auto_failover` put
 * back.
 *
 * @returns What was found, done and left; {@link isAllHealthy} says whether anything is.
 * @throws OpsError `lock-held` if another run is at work, `plan-stale` if the cluster is not as `planned`
 *   saw it, `interrupted`, and as `observe` does. If `auto_failover` could not be put back, the message says
 *   so, and `hint` is the command that does it.
 */
export async function recover(
  connection: Connection,
  options: RecoverOptions = {},
): Promise<RunReport> {
  const { opened, flags } = partsOf(connection);
  const typed = commandOf((options.planned ?? options).only ?? {});
  const print = commandPrinter(flags);
  const owner = thisProcess(print(typed));
  const journal = await openJournal({
    stateDir: options.stateDir ?? defaultStateDir(),
    command: typed.cmd,
    argv: commandWords(typed),
    flags: {},
    cluster: { zkCluster: flags.zkCluster, zkRootPath: flags.zkRootPath },
    isResuming: false,
    zk: opened.zk,
    id: owner.runId,
    note: () => {},
    warn: (text) => options.onEvent?.({ kind: "warning", text }),
  });
  try {
    const ended = await withSignal(options.signal, (signal) =>
      lockedRecovery(connection, { options, typed, owner, journal, signal }),
    );
    const report = reportOf(ended, print);
    const verdict = isAllHealthy(report) ? EXIT.ok : EXIT.partly;
    const isRestored = report.autoFailover.notRestored === undefined;
    await journal.finish({ exitCode: isRestored ? verdict : EXIT.notRestored });
    return report;
  } catch (thrown) {
    await journal.finish({ exitCode: exitCodeOf(thrown), detail: messageOf(thrown) });
    throw thrown;
  }
}

interface Run {
  readonly options: RecoverOptions;
  readonly typed: RecoverCommand;
  readonly owner: RunOwner;
  readonly journal: Journal;
  readonly signal: AbortSignal;
}

async function lockedRecovery(
  connection: Connection,
  { options, typed, owner, journal, signal }: Run,
): Promise<RecoverResult> {
  const { opened, flags } = partsOf(connection);
  const print = commandPrinter(flags);
  const onEvent: OnEvent = (event) => {
    journal.onEvent(event);
    options.onEvent?.(event);
  };
  const seen = knownOffsetsOf(connection, onEvent);
  const identities = newIdentities();
  let earlier: Progress | undefined;
  const parts: RunParts = {
    cluster: watchMutations(opened.cluster, journal.hooks),
    zk: opened.zk,
    rootPath: opened.rootPath,
    owner,
    sessionTimeoutMs: flags.zkSessionTimeoutMs,
    waitLockMs: options.waitLockMs ?? 0,
    keepsOff: options.keepOff ?? false,
    signal,
    stopSignal: signal,
    onEvent,
    print,
  };
  return withRun(parts, async (attempt) => {
    const result = await recoverData(attempt.cluster, {
      ...options,
      command: typed.cmd,
      limits: LIMITS,
      signal: attempt.signal,
      onEvent,
      again: recoverAgain(typed, print),
      print,
      createGuard: attempt.createGuard,
      seen,
      identities,
      earlier,
    });
    if ("error" in result) earlier = result.progress;
    return result;
  });
}

/** @throws OpsError, or what ended the run early; see {@link recover}. */
function reportOf(ended: RecoverResult, print: PrintCommand): RunReport {
  if ("report" in ended) return ended.report;
  const { error, notRestored } = ended;
  if (notRestored === undefined) throw error;
  throw new OpsError({
    code: error instanceof OpsError ? error.code : "refused",
    message: `${messageOf(error)}; auto_failover could not be put back: ${notRestored}`,
    hint: print({ cmd: "restore" }),
    cause: error,
  });
}

/** The command that recovers the same, for the lock, the journal and the report. */
function commandOf({ db, table, pids, endpoint, isForced = false }: Selection): RecoverCommand {
  if (table === undefined) return { cmd: "recoverdata", db };
  return { cmd: "recovertable", db, table, pid: pids, endpoint, force: isForced };
}
