import type { OperateFlags } from "../cli/common-specs.js";
import { commandPrinter, commandWords } from "../cli/printed-command.js";
import { messageOf } from "../errors.js";
import { type OperationReport, runOperation } from "../execution/run-operation.js";
import { EXIT } from "../exit-codes.js";
import { detailsOf, type Step, stepText, verbOf } from "../model/step.js";
import { observe } from "../observe/cluster.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import type { Operation, OperationPlan } from "../operations/operation.js";
import { assertSamePlan } from "../planning/check-saved-plan.js";
import { planOfOperation } from "../planning/operation-lanes.js";
import { planText } from "../planning/plan-text.js";
import { sizeOf } from "../planning/recovery-plan.js";
import { planDocument, type SavedPlan, savedPlan } from "../planning/saved-plan.js";
import { operationRows } from "../report/operation-rows.js";
import { counted } from "../report/recovery-report.js";
import type { Attempt } from "../run/with-run.js";
import type { Limits } from "../steps/step-context.js";
import { jsonPieces, jsonText, safe, table } from "../util/text.js";
import { inTurns } from "../util/yielding.js";
import { clusterText, confirmed } from "./ask.js";
import { type ChangingRun, changingRun, isStop, underLock } from "./changing-run.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";
import { tellLeftover } from "./leftover.js";
import { isPlanOnly, planDigest, planUsage, readGivenPlan, writeNewFile } from "./plan-store.js";
import { restoreCommand, seenStore, tell, tellNotRestored } from "./protect.js";
import { ended, lined, print } from "./write.js";

const SCHEMA_VERSION = 1;

/**
 * Runs an operation as every changing command is run: with `--dry_run` or `--plan_out` only its plan
 * is shown; else under the lock, with a journal, a question where a person can answer, auto_failover
 * put back, and a report.
 *
 * @returns 0 if all is as wanted, 3 if something is not, 9 if auto_failover could not be put back.
 * @throws OpsError if nothing was changed: refused, stale, another run at work; and by signals.
 */
export async function operate(
  flags: OperateFlags,
  io: CommandIo,
  operation: Operation,
): Promise<number> {
  const given = readGiven(flags, operation);
  if (isPlanOnly(flags)) return showOnly(flags, io, operation, given);
  return changingRun(flags, io, operation.typed, (run) =>
    runUnderLock(flags, io, { run, operation, given }),
  );
}

/** @throws OpsError `usage` if the plan of `--apply` is not one of this very command line. */
function readGiven(flags: OperateFlags, { command, typed }: Operation): SavedPlan | undefined {
  const saved = readGivenPlan(flags, command);
  const words = commandWords(typed);
  if (saved === undefined || saved.words.join("\0") === words.join("\0")) return saved;
  throw planUsage(
    `the plan is one of: ${safe(saved.words.join(" "))}`,
    "give the same command and arguments with --apply",
  );
}

async function showOnly(
  flags: OperateFlags,
  io: CommandIo,
  operation: Operation,
  given: SavedPlan | undefined,
): Promise<number> {
  const { made: plan, fresh } = await withCluster(
    flags,
    io,
    async (cluster, opened) => {
      await tellLeftover(opened, flags, io);
      const seen = seenStore(opened, (event) => tell(event, io));
      const state = await observe(identifiedCluster(cluster), { signal: io.signal, seen });
      const made = operation.plan(state);
      const now = new Date(cluster.clock.wallTime()).toISOString();
      return { made, fresh: planOfOperation(made, state, now) };
    },
    { endsCallsOnSignal: true },
  );
  if (given !== undefined) assertSamePlan(given.plan, fresh);
  const exitCode = flags.detailedExitcode && plan.steps.length > 0 ? EXIT.unhealthy : EXIT.ok;
  const { command, typed } = operation;
  const maker = { command, words: commandWords(typed), rootPath: flags.zkRootPath };
  const saved = given ?? (await inTurns(savedPlan(fresh, maker, planDigest)));
  const document = planDocument(saved);
  if (flags.planOut !== undefined) {
    await writeNewFile(flags.planOut, document);
    io.log.info(`the plan is in ${safe(flags.planOut)}`);
  }
  const head = { schemaVersion: SCHEMA_VERSION, command, dryRun: true, exitCode };
  const actions = plan.steps.map(stepData);
  const size = await inTurns(sizeOf(saved.plan));
  await print(
    io,
    flags.output === "json"
      ? ended(jsonPieces({ ...head, size, actions, plan: document }, 2))
      : lined(planText(saved, size)),
  );
  return exitCode;
}

interface Surroundings {
  readonly run: ChangingRun;
  readonly operation: Operation;
  readonly given: SavedPlan | undefined;
}

async function runUnderLock(
  flags: OperateFlags,
  io: CommandIo,
  { run, operation, given }: Surroundings,
): Promise<number> {
  let isAgreed = false;
  const work = (attempt: Attempt) =>
    runOperation(attempt.cluster, operation, {
      limits: limitsOf(flags, operation),
      signal: attempt.signal,
      tidying: attempt.tidying,
      onEvent: run.onEvent,
      seen: seenStore(run.opened, run.onEvent),
      // A later attempt goes on with what was agreed to: the first has made the cluster different.
      given: isAgreed ? undefined : given?.plan,
      createGuard: (observed) => attempt.createGuard(observed),
      async review(plan) {
        if (isAgreed) return false;
        const wasAsked = await confirmed(questionText(plan, flags), {
          flags,
          io,
          signal: attempt.signal,
        });
        isAgreed = true;
        return wasAsked;
      },
    });
  const report = await underLock(run, flags, io, { work });
  run.ended(resultRows(report, flags, operation));
  return finish(report, flags, io, operation);
}

/** The result for report, metrics and hook. */
function resultRows(report: OperationReport, flags: OperateFlags, operation: Operation) {
  const { plan, results, complaints, conclusions, notRestored } = report;
  return operationRows({
    results,
    planned: plan.steps.length,
    complaints,
    conclusions,
    isWell: isWell(report),
    notRestored,
    goOn: commandPrinter(flags)(operation.goOn?.(results) ?? operation.typed),
    restoreCommand: restoreCommand(flags),
  });
}

function isWell({ error, complaints, results }: OperationReport): boolean {
  const isDone = results.every(({ outcome }) => isGood(outcome.result));
  return error === undefined && complaints.length === 0 && isDone;
}

function limitsOf(flags: OperateFlags, operation: Operation): Limits {
  const { opRetries, opTimeoutMs, cancelStuck, stallTimeoutMs } = flags;
  return {
    concurrency: operation.concurrency,
    loadsPerTablet: 3,
    opRetries,
    opTimeoutMs,
    cancelStuck,
    stallTimeoutMs,
  };
}

function questionText(plan: OperationPlan, flags: OperateFlags): string {
  return [
    `On the cluster ${safe(clusterText(flags))}:`,
    ...plan.steps.map((step) => `  ${safe(stepText(step))}  (${safe(step.why)})`),
    ...plan.notes.map((note) => `note: ${safe(note)}`),
    "Go on? [y/N] ",
  ].join("\n");
}

function finish(
  report: OperationReport,
  flags: OperateFlags,
  io: CommandIo,
  operation: Operation,
): number {
  const { error, notRestored, plan } = report;
  if (error !== undefined && notRestored === undefined && (isStop(error) || !report.hasChanged)) {
    if (plan.steps.length > 0) io.log.info(stoppedText(report, flags, operation));
    throw error;
  }
  const isGoodEnd = isWell(report);
  const verdict = isGoodEnd ? EXIT.ok : EXIT.partly;
  const exitCode = notRestored === undefined ? verdict : EXIT.notRestored;
  io.stdout.write(
    flags.output === "json"
      ? `${jsonText(reportDocument(report, operation, exitCode), 2)}\n`
      : `${reportLines(report, flags, operation, isGoodEnd).join("\n")}\n`,
  );
  if (notRestored !== undefined) tellNotRestored(notRestored, flags, io);
  return exitCode;
}

/** What a run that was stopped in the middle has come to, and what to type. */
function stoppedText(
  { plan, results }: OperationReport,
  flags: OperateFlags,
  { typed, goOn }: Operation,
): string {
  const done = results.filter(({ outcome }) => isGood(outcome.result)).length;
  const print = commandPrinter(flags);
  return safe(
    `${done} of ${counted(plan.steps.length, "action")} done; to see what is left: ${print({ cmd: "inspect" })}; to go on: ${print(goOn?.(results) ?? typed)}`,
  );
}

function isGood(result: string): boolean {
  return result === "done" || result === "already-done";
}

function reportDocument(report: OperationReport, operation: Operation, exitCode: number): unknown {
  const { plan, results, complaints, conclusions, notRestored, error } = report;
  return {
    schemaVersion: SCHEMA_VERSION,
    command: operation.command,
    exitCode,
    actions: results.map(({ step, outcome }) => ({
      ...stepData(step),
      result: outcome.result,
      detail: "detail" in outcome ? outcome.detail : "",
    })),
    planned: plan.steps.length,
    notes: plan.notes,
    conclusions,
    complaints,
    autoFailoverNotRestored: notRestored ?? null,
    error: error === undefined ? null : messageOf(error),
  };
}

/** A step as JSON reports show it: numbers as decimal digits. */
function stepData(step: Step): Record<string, unknown> {
  const to = step.kind === "migrate" ? step.to : undefined;
  const { id, endpoint, why } = step;
  return { verb: verbOf(step), ...(id ?? {}), endpoint, to, ...detailsOf(step), why };
}

function reportLines(
  report: OperationReport,
  flags: OperateFlags,
  operation: Operation,
  isWell: boolean,
): string[] {
  const { plan, results, complaints, conclusions, error } = report;
  const rows = results.map(({ step, outcome }) => [
    stepText(step),
    outcome.result,
    "detail" in outcome ? outcome.detail : "",
  ]);
  const columns = [{ title: "action" }, { title: "result" }, { title: "detail" }];
  const done = results.filter(({ outcome }) => isGood(outcome.result)).length;
  const again = commandPrinter(flags)(operation.goOn?.(results) ?? operation.typed);
  return [
    ...(rows.length === 0 ? [] : [table(columns, rows).trimEnd()]),
    ...plan.notes.map((note) => `note: ${safe(note)}`),
    ...conclusions.map(safe),
    ...complaints.map((line) => `not well: ${safe(line)}`),
    ...(error === undefined ? [] : [`ended early: ${safe(messageOf(error))}`]),
    ...(isWell || rows.length === 0 ? [] : [`to go on: ${safe(again)}`]),
    plan.steps.length === 0
      ? "nothing to do"
      : `${done} of ${counted(plan.steps.length, "action")} done${isWell ? "" : "; NOT all is well"}`,
  ];
}
