import type { RecoverDataFlags } from "../cli/recovery-specs.js";
import type { OpenedCluster } from "../cluster/open.js";
import type { Selection } from "../diagnosis/selection.js";
import { usageError } from "../errors.js";
import {
  assertAsPlanned,
  observeAndPlan,
  type RecoverScope,
} from "../execution/observe-and-plan.js";
import type { RecoverOptions } from "../execution/recover.js";
import { counted } from "../model/counted.js";
import { isLoss } from "../model/loss.js";
import type { OnEvent } from "../model/outcome.js";
import { partitionName } from "../model/partition-view.js";
import type { RecoverCommand } from "../model/tool-command.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import { acceptedIn } from "../planning/decisions.js";
import { questionText } from "../planning/plan-text.js";
import { type RecoveryPlan, sizeOf } from "../planning/recovery-plan.js";
import type { SavedPlan } from "../planning/saved-plan.js";
import { jsonText } from "../util/text.js";
import { inTurns } from "../util/yielding.js";
import { clusterText, confirmed } from "./ask.js";
import type { CommandIo } from "./command.js";
import { readDecisions } from "./decisions-file.js";
import { isPlanOnly, readGivenPlan } from "./plan-store.js";
import { knownOffsetsStore } from "./protect.js";

/** The requested recovery. */
export interface Recovery {
  /** The command with its scope; repeating it continues the recovery. */
  readonly typed: RecoverCommand;
  readonly only: Selection;
}

/** The flags that both recovery commands have. */
export type RecoveryFlags = Omit<RecoverDataFlags, "db">;

/** The scope of a recovery and the operator's choices, from the flags and the files that they name. */
export type Choices = RecoverScope & Pick<RecoverOptions, "planned">;

/**
 * Checks the combination of plan flags, and reads the plan to apply. Accesses files only.
 *
 * @returns The plan of `--apply`; undefined without it.
 * @throws OpsError `usage`.
 */
export function readPlan(flags: RecoveryFlags, { typed, only }: Recovery): SavedPlan | undefined {
  if (flags.decisionsOut !== undefined && isPlanOnly(flags)) {
    throw usageError(
      "--decisions_out cannot be combined with --dry_run or --plan_out",
      "leave out --dry_run and --plan_out",
    );
  }
  if (flags.decisions !== undefined && flags.apply !== undefined) {
    throw usageError(
      "--decisions cannot be combined with --apply",
      "make the plan with --decisions",
    );
  }
  const saved = readGivenPlan(flags, typed.cmd);
  if (saved === undefined) return undefined;
  const { apply } = flags;
  const given = { ...only, method: flags.method };
  const made: Readonly<Record<string, unknown>> = { ...saved.plan.only, method: saved.plan.method };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || jsonText(value) === jsonText(made[name] ?? null)) continue;
    throw usageError(
      `${name} ${jsonText(value)} is not the value that the plan in ${apply} was made with`,
      "leave it out, or give the value of the plan",
    );
  }
  if (flags.acceptDataLoss.length > 0) {
    throw usageError(
      "--accept_data_loss cannot be combined with --apply",
      "leave it out: the plan contains it",
    );
  }
  return saved;
}

/**
 * Reads the choices of a recovery. Accesses files only.
 *
 * @param given The plan of `--apply`; undefined without it. Plans of other commands were refused before.
 * @throws OpsError `usage` if the file of `--decisions` is invalid.
 */
export function readChoices(
  flags: RecoveryFlags,
  { only }: Recovery,
  given: SavedPlan | undefined,
): Choices {
  const { method, acceptDataLoss, leader, zkRootPath } = flags;
  const decisions =
    flags.decisions === undefined ? undefined : readDecisions(flags.decisions, zkRootPath);
  const named = acceptDataLoss
    .flatMap((one) => (isLoss(one) ? [] : one))
    .map((partition, index) => [partitionName(partition), leader[index] ?? ""] as const);
  const plan = given?.plan;
  return {
    only,
    method,
    accept: new Map([...acceptedIn(decisions ?? []), ...named]),
    decisions,
    lost: new Set(flags.lost),
    acceptsLossOfLost: acceptDataLoss.find(isLoss),
    planned: plan?.method === undefined ? undefined : { ...plan, method: plan.method },
  };
}

/** Warns if decisions of `--decisions` have no choice. */
export function warnOfEmptyDecisions({ decisions = [] }: Choices, io: CommandIo): void {
  const empty = decisions.filter((one) => one.choice === undefined).length;
  if (empty === 0) return;
  io.log.warn(`${counted(empty, "decision")} of --decisions without a choice: left open`);
}

/**
 * Observes the cluster and plans a recovery. Changes nothing in the cluster.
 *
 * @throws OpsError `plan-stale` if the cluster no longer matches the plan of `--apply`, and as `observeAndPlan` does.
 */
export async function planRecovery(
  opened: OpenedCluster,
  choices: Choices,
  { signal, onEvent }: { readonly signal: AbortSignal; readonly onEvent: OnEvent },
): Promise<{ readonly plan: RecoveryPlan }> {
  const found = await observeAndPlan(identifiedCluster(opened.cluster), {
    ...choices,
    knownOffsetsStore: knownOffsetsStore(opened, onEvent),
    signal,
    onEvent,
  });
  if (choices.planned !== undefined) assertAsPlanned(choices.planned, found);
  return found;
}

/** Asks for confirmation if the plan changes the cluster; see {@link confirmed}. */
export async function confirmPlan(
  plan: RecoveryPlan,
  { flags, io, signal }: { flags: RecoveryFlags; io: CommandIo; signal: AbortSignal },
): Promise<boolean> {
  if (flags.yes || (!io.isInteractiveStdin && !flags.noInput)) return false;
  const size = await inTurns(sizeOf(plan));
  if (size.changes === 0) return false;
  return confirmed(questionText(plan, size, clusterText(flags)).join("\n"), { flags, io, signal });
}
