import type { RecoverDataFlags } from "../cli/recovery-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import type { OpenedCluster } from "../cluster/open.js";
import type { Selection } from "../diagnosis/selection.js";
import { usageError } from "../errors.js";
import { assertAsPlanned, observeAndPlan } from "../execution/observe-and-plan.js";
import type { RecoverOptions } from "../execution/recover.js";
import { counted } from "../model/counted.js";
import { isLoss } from "../model/loss.js";
import type { OnEvent } from "../model/outcome.js";
import { partitionName } from "../model/partition-view.js";
import type { RecoverCommand } from "../model/tool-command.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import { acceptedIn, type LeaderDecision } from "../planning/decisions.js";
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
import { waitForTablets } from "./wait-tablets.js";

/** The requested recovery. */
export interface Recovery {
  /** The command with its scope; repeating it continues the recovery. */
  readonly typed: RecoverCommand;
  readonly only: Selection;
}

/** The flags for planning. */
type PlanningFlags = Omit<
  RecoverDataFlags,
  | "db"
  | "concurrency"
  | "loadsPerTablet"
  | "opRetries"
  | "opTimeoutMs"
  | "stallTimeoutMs"
  | "timeoutMs"
>;

/** The options of a recovery that come from the plan flags. */
export type PlanOptions = Pick<
  RecoverOptions,
  "method" | "accept" | "decisions" | "lost" | "acceptsLossOfLost" | "planned" | "review"
>;

/**
 * Checks the combination of plan flags, and reads the plan to apply. Accesses files only.
 *
 * @returns The plan of `--apply`; undefined without it.
 * @throws OpsError `usage`.
 */
export function readPlan(flags: PlanningFlags, { typed, only }: Recovery): SavedPlan | undefined {
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
  // Read the file first, so that errors in it are reported before connecting.
  decisionsOf(flags);
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
 * Observes the cluster and plans a recovery. Changes nothing in the cluster.
 *
 * @throws OpsError `plan-stale` if the cluster no longer matches the plan of `--apply`, and as `observeAndPlan` does.
 */
export async function planRecovery(
  cluster: Cluster,
  opened: OpenedCluster,
  {
    flags,
    signal,
    onEvent,
    recovery,
    given,
  }: {
    readonly flags: PlanningFlags;
    readonly signal: AbortSignal;
    /** Receives the progress. */
    readonly onEvent: OnEvent;
    readonly recovery: Recovery;
    /** The plan of `--apply`; undefined without it. */
    readonly given: SavedPlan | undefined;
  },
): Promise<{ readonly plan: RecoveryPlan }> {
  await waitForTablets(cluster, { flags, lost: flags.lost, onEvent, signal });
  const planned = recoveryPlanOf(given);
  const found = await observeAndPlan(identifiedCluster(cluster), {
    only: recovery.only,
    method: flags.method,
    accept: acceptOf(flags),
    decisions: decisionsOf(flags),
    ...lostOptions(flags),
    planned,
    knownOffsetsStore: knownOffsetsStore(opened, onEvent),
    signal,
    onEvent,
  });
  if (planned !== undefined) assertAsPlanned(planned, found);
  return found;
}

/** The recovery plan in a saved plan. Plans of other commands were refused before. */
function recoveryPlanOf(given: SavedPlan | undefined): RecoveryPlan | undefined {
  const plan = given?.plan;
  return plan?.method === undefined ? undefined : { ...plan, method: plan.method };
}

/** Converts the plan flags to options of a recovery. */
export function planOptions(
  flags: PlanningFlags,
  io: CommandIo,
  given: SavedPlan | undefined,
): PlanOptions {
  const decisions = decisionsOf(flags);
  const empty = decisions?.filter((one) => one.choice === undefined).length ?? 0;
  if (empty > 0) {
    io.log.warn(`${counted(empty, "decision")} of --decisions without a choice: left open`);
  }
  return {
    method: flags.method,
    accept: acceptOf(flags),
    decisions,
    ...lostOptions(flags),
    planned: recoveryPlanOf(given),
    review: (plan, signal) => confirm(plan, { flags, io, signal }),
  };
}

/** The chosen leaders by partition, from `--decisions` and from `--accept_data_loss` paired with `--leader`. */
function acceptOf(flags: PlanningFlags): Map<string, string> {
  const partitions = flags.acceptDataLoss.flatMap((one) => (isLoss(one) ? [] : one));
  const named = partitions.map(
    (partition, index) => [partitionName(partition), flags.leader[index] ?? ""] as const,
  );
  return new Map([...acceptedIn(decisionsOf(flags) ?? []), ...named]);
}

/** The decisions of `--decisions`; undefined without it. */
function decisionsOf({ decisions, zkRootPath }: PlanningFlags): LeaderDecision[] | undefined {
  return decisions === undefined ? undefined : readDecisions(decisions, zkRootPath);
}

/** The lost tablets and the accepted loss. */
function lostOptions(flags: PlanningFlags): Pick<PlanOptions, "lost" | "acceptsLossOfLost"> {
  return { lost: new Set(flags.lost), acceptsLossOfLost: flags.acceptDataLoss.find(isLoss) };
}

/** Asks for confirmation if the plan changes the cluster; see {@link confirmed}. */
async function confirm(
  plan: RecoveryPlan,
  { flags, io, signal }: { flags: PlanningFlags; io: CommandIo; signal: AbortSignal },
): Promise<boolean> {
  if (flags.yes || (!io.isInteractiveStdin && !flags.noInput)) return false;
  const size = await inTurns(sizeOf(plan));
  if (size.changes === 0) return false;
  return confirmed(questionText(plan, size, clusterText(flags)).join("\n"), { flags, io, signal });
}
