import type { OperateFlags } from "../cli/common-specs.js";
import { commandPrinter, commandWords } from "../cli/printed-command.js";
import { usageError } from "../errors.js";
import { runOperation } from "../execution/run-operation.js";
import { EXIT } from "../exit-codes.js";
import type { OperationReport } from "../model/report.js";
import { observe } from "../observe/cluster.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import type { Operation } from "../operations/operation.js";
import { assertSamePlan } from "../planning/check-saved-plan.js";
import { planOfOperation } from "../planning/operation-lanes.js";
import type { SavedPlan } from "../planning/saved-plan.js";
import { isWell, operationRows } from "../report/operation-rows.js";
import {
  doneText,
  operationJson,
  operationQuestion,
  operationText,
  stepData,
} from "../report/operation-text.js";
import type { Limits } from "../steps/step-context.js";
import { jsonText, safe } from "../util/text.js";
import { clusterText, confirmed } from "./ask.js";
import { changeCluster, rethrowOwnEnd } from "./change-cluster.js";
import type { CommandIo } from "./command.js";
import { readGivenPlan } from "./plan-store.js";
import { knownOffsetsStore, printNotRestored, restoreCommand } from "./protect.js";
import { tableScreen } from "./write.js";

/**
 * Runs an operation, which is a change with a fixed list of planned steps; see {@link changeCluster}.
 *
 * @returns The exit code.
 * @throws OpsError as {@link changeCluster} does.
 */
export async function operate(
  flags: OperateFlags,
  io: CommandIo,
  operation: Operation,
): Promise<number> {
  const { typed } = operation;
  const given = readGiven(flags, operation);
  let isAgreed = false;
  let areNotesKnown = false;
  return changeCluster<OperationReport>(flags, io, given, {
    typed,
    async plan(opened, { signal, onEvent }) {
      const { cluster } = opened;
      onEvent({ kind: "phase", phase: "looking" });
      const state = await observe(identifiedCluster(cluster), {
        signal,
        onEvent,
        knownOffsetsStore: knownOffsetsStore(opened, onEvent),
      });
      const made = operation.plan(state);
      const now = new Date(cluster.clock.wallTime()).toISOString();
      const plan = planOfOperation(made, state, now);
      if (given !== undefined) assertSamePlan(given.plan, plan);
      return { plan, json: { actions: made.steps.map(stepData) } };
    },
    attempt: (attempt, { opened, onEvent }) =>
      runOperation(attempt.cluster, operation, {
        limits: limitsOf(flags, operation),
        signal: attempt.signal,
        rollbackCluster: attempt.rollbackCluster,
        onEvent,
        knownOffsetsStore: knownOffsetsStore(opened, onEvent),
        // A later attempt is not compared with the saved plan, because the first attempt has changed the cluster.
        given: isAgreed ? undefined : given?.plan,
        createGuard: (observed) => attempt.createGuard(observed),
        async review(plan) {
          if (isAgreed) return false;
          const question = operationQuestion(plan, clusterText(flags)).join("\n");
          const wasAsked = await confirmed(question, { flags, io, signal: attempt.signal });
          isAgreed = true;
          areNotesKnown = wasAsked;
          return wasAsked;
        },
      }),
    finish(report, run) {
      const goOn = commandPrinter(flags)(operation.goOn?.(report.results) ?? typed);
      run.ended(() => operationRows(report, { goOn, restore: restoreCommand(flags) }));
      run.stopProgress();
      return printEnd(report, { flags, io, command: typed.cmd, goOn, areNotesKnown });
    },
  });
}

/** @throws OpsError `usage` if the plan of `--apply` was made with another command line. */
function readGiven(flags: OperateFlags, { typed }: Operation): SavedPlan | undefined {
  const saved = readGivenPlan(flags, typed.cmd);
  const words = commandWords(typed);
  if (saved === undefined || saved.words.join("\0") === words.join("\0")) return saved;
  throw usageError(
    `the plan was made by another command line: ${safe(saved.words.join(" "))}`,
    "give the same command and arguments with --apply",
  );
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

function printEnd(
  report: OperationReport,
  {
    flags,
    io,
    command,
    goOn,
    areNotesKnown,
  }: {
    readonly flags: OperateFlags;
    readonly io: CommandIo;
    readonly command: string;
    readonly goOn: string;
    /** True if the question has shown the notes of the plan. */
    readonly areNotesKnown: boolean;
  },
): number {
  const { error, notRestored, hasChanged } = report;
  rethrowOwnEnd({ error, notRestored, hasChanged }, { done: doneText(report), goOn }, flags, io);
  const verdict = isWell(report) ? EXIT.ok : EXIT.partly;
  const exitCode = notRestored === undefined ? verdict : EXIT.notRestored;
  const { isVerbose } = flags;
  const options = { goOn, isVerbose, areNotesKnown, columns: tableScreen(flags, io).columns };
  io.stdout.write(
    flags.output === "json"
      ? `${jsonText(operationJson(report, command, exitCode), 2)}\n`
      : `${operationText(report, options).join("\n")}\n`,
  );
  if (notRestored !== undefined) printNotRestored(notRestored, flags, io);
  return exitCode;
}
