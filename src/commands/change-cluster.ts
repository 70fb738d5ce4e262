import type { CommonFlags, OperateFlags } from "../cli/common-specs.js";
import { commandPrinter, commandWords } from "../cli/printed-command.js";
import type { Cluster } from "../cluster/cluster.js";
import type { OpenedCluster } from "../cluster/open.js";
import { isStop } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import type { ToolCommand } from "../model/tool-command.js";
import { planText } from "../planning/plan-text.js";
import { type Plan, sizeOf } from "../planning/recovery-plan.js";
import { planDocument, type SavedPlan, savedPlan } from "../planning/saved-plan.js";
import type { Attempt } from "../run/with-run.js";
import { jsonPieces, safe } from "../util/text.js";
import { inTurns } from "../util/yielding.js";
import { type ChangingRun, changingRun, underLock } from "./changing-run.js";
import type { CommandIo } from "./command.js";
import { isPlanOnly, planDigest, savePlan } from "./plan-store.js";
import { withClusterAndProgress } from "./progress.js";
import { reportLeftover } from "./protect.js";
import { ended, lined, print, tableScreen } from "./write.js";

const SCHEMA_VERSION = 1;

/**
 * The specific parts of a command that changes the cluster by a plan. {@link changeCluster} has the common ones.
 *
 * @typeParam End The result of one attempt.
 */
export interface PlannedChange<End> {
  /** The command as it was typed. */
  readonly typed: ToolCommand;
  /** Runs before the plan is made or the lock is taken; optional. Changes nothing. */
  readonly before?: (cluster: Cluster, on: Observing) => Promise<void>;
  /**
   * Plans, and changes nothing. With `--apply` it checks that the cluster still matches that plan.
   *
   * @returns The plan, and fields that the JSON document has in addition to the saved plan.
   * @throws OpsError `plan-stale`, `refused`, or as an observation does.
   */
  plan(
    opened: OpenedCluster,
    on: Observing,
  ): Promise<{ readonly plan: Plan; readonly json?: object }>;
  /** One attempt under the lock; after the lock was lost, a later one continues. */
  attempt(attempt: Attempt, run: ChangingRun): Promise<End>;
  /**
   * Runs after the lock was released: sets the result for report, metrics and hook, ends the progress display, and
   * prints the result.
   *
   * @returns The exit code.
   * @throws The error that ended the run before any change, and signals and time limits.
   */
  finish(end: End, run: ChangingRun): number | Promise<number>;
}

/** The signal that ends an observation, and the receiver of its progress. */
type Observing = Pick<ChangingRun, "signal" | "onEvent">;

/**
 * Runs a command that changes the cluster. With `--dry_run` or `--plan_out` it only shows the plan. Otherwise it
 * runs under the lock, with journal, progress, time limit, guard of auto_failover, and report.
 *
 * @param given The plan of `--apply`; undefined without it.
 * @returns 0 on success, 3 if something is left, 9 if auto_failover could not be restored; 10 with
 *   `--detailed_exitcode` if the plan has work to do.
 * @throws OpsError if nothing was changed (refused, stale, lock held), and after signals and time limits.
 */
export function changeCluster<End>(
  flags: ChangeFlags,
  io: CommandIo,
  given: SavedPlan | undefined,
  change: PlannedChange<End>,
): Promise<number> {
  if (isPlanOnly(flags)) return showPlan(flags, io, given, change);
  return changingRun(flags, io, change.typed, async (run) => {
    await change.before?.(run.opened.cluster, run);
    const end = await underLock(run, flags, io, (attempt) => change.attempt(attempt, run));
    return change.finish(end, run);
  });
}

/** A run that an error ended early. */
interface EndedEarly {
  readonly error: unknown;
  /** Why auto_failover could not be restored; undefined if it is as it was. */
  readonly notRestored: string | undefined;
  readonly hasChanged: boolean;
}

/**
 * Rethrows the error that ended a run if it has an exit code of its own: a signal, a time limit, or an error before the
 * first change. Logs first what is done, and the commands to use next.
 *
 * @param done What is done and left; undefined if there was nothing to do.
 * @param goOn The command that continues the run.
 */
export function rethrowOwnEnd(
  { error, notRestored, hasChanged }: EndedEarly,
  { done, goOn }: { readonly done: string | undefined; readonly goOn: string },
  flags: CommonFlags,
  io: CommandIo,
): void {
  if (error === undefined || notRestored !== undefined) return;
  if (hasChanged && !isStop(error)) return;
  if (done !== undefined) {
    io.log.info(done);
    io.log.info(`to see what is left: ${commandPrinter(flags)({ cmd: "inspect" })}`);
    io.log.info(`to continue: ${goOn}`);
  }
  throw error;
}

type ChangeFlags = Omit<OperateFlags, "method">;

async function showPlan<End>(
  flags: ChangeFlags,
  io: CommandIo,
  given: SavedPlan | undefined,
  { typed, before, plan }: PlannedChange<End>,
): Promise<number> {
  const { signal } = io;
  const { plan: fresh, json } = await withClusterAndProgress(
    flags,
    io,
    typed.cmd,
    async (opened, { onEvent }) => {
      await reportLeftover(opened, flags, io);
      await before?.(opened.cluster, { signal, onEvent });
      return await plan(opened, { signal, onEvent });
    },
    { endsCallsOnSignal: true },
  );
  const maker = { command: typed.cmd, words: commandWords(typed), rootPath: flags.zkRootPath };
  const saved = given ?? (await inTurns(savedPlan(fresh, maker, planDigest)));
  const size = await inTurns(sizeOf(saved.plan));
  const exitCode = flags.detailedExitcode && hasWork(saved.plan) ? EXIT.unhealthy : EXIT.ok;
  if (flags.planOut !== undefined) {
    await savePlan(flags.planOut, planDocument(saved));
    io.log.info(`the plan is in ${safe(flags.planOut)}`);
  }
  const head = { schemaVersion: SCHEMA_VERSION, command: typed.cmd, dryRun: true, exitCode };
  const { columns } = tableScreen(flags, io);
  await print(
    io,
    flags.output === "json"
      ? ended(jsonPieces({ ...head, size, ...json, plan: planDocument(saved) }, 2))
      : lined(planText(saved, size, { isVerbose: flags.isVerbose, columns })),
  );
  return exitCode;
}

/** True if the plan has steps, or partitions with problems that are left alone. */
function hasWork({ partitions, others }: Plan): boolean {
  const isOpen = partitions.some((one) => one.problems.length > 0 || one.first.steps.length > 0);
  return isOpen || others.length > 0;
}
