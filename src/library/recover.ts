import { commandPrinter, commandWords } from "../cli/printed-command.js";
import { recoverDataSpecs } from "../cli/recovery-specs.js";
import { defaultOf } from "../cli/spec.js";
import { knownOffsetsStore, runParts } from "../commands/protect.js";
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
import { watchMutations } from "../run/watch-mutations.js";
import { withRun } from "../run/with-run.js";
import type { Limits } from "../steps/step-context.js";
import { defaultStateDir } from "../util/process-identity.js";
import { type Connection, partsOf } from "./connection.js";
import { withSignal } from "./signal.js";

/** The scope of a recovery, and the accepted losses. */
export interface PlanOptions {
  /** The partitions to recover; all if undefined, system databases first. */
  readonly only?: Selection | undefined;
  /** `direct` if undefined. */
  readonly method?: Method | undefined;
  /**
   * The chosen leader of each partition in which rows may be discarded, by the partition's name (`db1.t1:0`, see
   * {@link partitionName}). No rows are discarded in other partitions.
   */
  readonly accept?: ReadonlyMap<string, Endpoint> | undefined;
  /** The largest accepted sum of losses on the tablets in `lost`; none if undefined. */
  readonly acceptsLossOfLost?: Loss | undefined;
  /** Tablets that the operator declares lost; none if undefined. */
  readonly lost?: ReadonlySet<Endpoint> | undefined;
  /** Aborts the observation or the run. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link recover}. */
export interface RecoverOptions extends PlanOptions {
  /**
   * A plan to execute; its scope, method and choices replace those above. It is compared with the cluster before
   * the first change.
   */
  readonly planned?: RecoveryPlan | undefined;
  /** Receives the events of the run. Must not throw. */
  readonly onEvent?: ((event: RunEvent) => void) | undefined;
  /** Milliseconds to wait for the end of another run; 0 (no wait) if undefined. */
  readonly waitLockMs?: number | undefined;
  /** True if `auto_failover` is switched off again when another client switches it on; false if undefined. */
  readonly keepOff?: boolean | undefined;
  /** Folder of the journal; that of the command if undefined. */
  readonly stateDir?: string | undefined;
}

/** The default limits of the command. */
const LIMITS: Limits = {
  concurrency: defaultOf(recoverDataSpecs.concurrency),
  loadsPerTablet: defaultOf(recoverDataSpecs.loadsPerTablet),
  opRetries: defaultOf(recoverDataSpecs.opRetries),
  opTimeoutMs: defaultOf(recoverDataSpecs.opTimeoutMs),
  cancelStuck: defaultOf(recoverDataSpecs.cancelStuck),
  stallTimeoutMs: defaultOf(recoverDataSpecs.stallTimeoutMs),
};

/**
 * Recovers the unhealthy partitions with the same safety as the command `recoverdata`: under the cluster's lock,
 * with a marker from which `auto_failover` is restored after a crash, and with a journal of every change. Changes
 * nothing on a healthy cluster. After an abort of `signal` it returns within 5 s, with `auto_failover` restored.
 *
 * @returns The result; {@link isAllHealthy} is true if no problem is left.
 * @throws OpsError `lock-held` if another run holds the lock, `plan-stale` if the cluster no longer matches
 *   `planned`, `interrupted`, and as `observe` does. If `auto_failover` could not be restored, the message says so
 *   and `hint` is the command that restores it.
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
  const identities = newIdentities();
  let earlier: Progress | undefined;
  const { waitLockMs = 0, keepOff: keepsOff = false } = options;
  const own = { owner, signal, stopSignal: signal, onEvent, waitLockMs, keepsOff };
  const watched = { ...opened, cluster: watchMutations(opened.cluster, journal.hooks) };
  return withRun(runParts(watched, flags, own), async (attempt) => {
    const result = await recoverData(attempt.cluster, {
      ...options,
      command: typed.cmd,
      limits: LIMITS,
      signal: attempt.signal,
      onEvent,
      again: recoverAgain(typed, print),
      print,
      createGuard: attempt.createGuard,
      knownOffsetsStore: knownOffsetsStore(opened, onEvent),
      identities,
      earlier,
    });
    if ("error" in result) earlier = result.progress;
    return result;
  });
}

/** @throws The error that ended the run early; see {@link recover}. */
function reportOf(ended: RecoverResult, print: PrintCommand): RunReport {
  if ("report" in ended) return ended.report;
  const { error, notRestored } = ended;
  if (notRestored === undefined) throw error;
  throw new OpsError({
    code: error instanceof OpsError ? error.code : "refused",
    message: `${messageOf(error)}; auto_failover could not be restored: ${notRestored}`,
    hint: print({ cmd: "restore" }),
    cause: error,
  });
}

/** The equivalent command, for the lock, the journal and the report. */
function commandOf({ db, table, pids, endpoint, isForced = false }: Selection): RecoverCommand {
  if (table === undefined) return { cmd: "recoverdata", db };
  return { cmd: "recovertable", db, table, pid: pids, endpoint, force: isForced };
}
