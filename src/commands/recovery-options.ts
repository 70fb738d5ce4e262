import type { RecoverDataFlags } from "../cli/recovery-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import type { OpenedCluster } from "../cluster/open.js";
import type { Selection } from "../diagnosis/selection.js";
import { assertAsPlanned, look } from "../execution/look.js";
import type { RecoverOptions } from "../execution/recover.js";
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
import { isPlanOnly, readGivenPlan, planUsage as usage } from "./plan-store.js";
import { knownOffsetsStore } from "./protect.js";
import { waitForTablets } from "./wait-tablets.js";

/** Which recovery is asked for. */
export interface Recovery {
  /** The command with what it is about, as it is typed to go on. */
  readonly typed: RecoverCommand;
  readonly only: Selection;
}

/** The flags that planning needs. */
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

/** What of a recovery's options comes from the plan flags. */
export type PlanOptions = Pick<
  RecoverOptions,
  "method" | "accept" | "decisions" | "lost" | "acceptsLossOfLost" | "planned" | "review"
>;

/**
 * Judges the plan flags together, and reads the plan to apply. Reaches nothing but files.
 *
 * @returns The plan of `--apply`; undefined without it.
 * @throws OpsError `usage`.
 */
export function readPlan(flags: PlanningFlags, { typed, only }: Recovery): SavedPlan | undefined {
  if (flags.decisionsOut !== undefined && isPlanOnly(flags)) {
    throw usage("--decisions_out belongs to a run", "leave out --dry_run and --plan_out");
  }
  if (flags.decisions !== undefined && flags.apply !== undefined) {
    throw usage("--decisions does not go with --apply", "make the plan with --decisions");
  }
  // Read before anything is reached, so that a bad file is told at once.
  decisionsOf(flags);
  const saved = readGivenPlan(flags, typed.cmd);
  if (saved === undefined) return undefined;
  const { apply } = flags;
  const given = { ...only, method: flags.method };
  const made: Readonly<Record<string, unknown>> = { ...saved.plan.only, method: saved.plan.method };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || jsonText(value) === jsonText(made[name] ?? null)) continue;
    throw usage(
      `${name} ${jsonText(value)} is not what the plan in ${apply} was made with`,
      "leave it out, or give what the plan says",
    );
  }
  if (flags.acceptDataLoss.length > 0) {
    throw usage("--accept_data_loss does not go with --apply", "leave it out: the plan says it");
  }
  return saved;
}

/**
 * Looks at the cluster and plans a recovery. Changes nothing in the cluster.
 *
 * @throws OpsError `plan-stale` if the cluster is not as the plan of `--apply` saw it, and as `look` does.
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
    /** Told how far the look is. */
    readonly onEvent: OnEvent;
    readonly recovery: Recovery;
    /** The plan of `--apply`; undefined without it. */
    readonly given: SavedPlan | undefined;
  },
): Promise<{ readonly plan: RecoveryPlan }> {
  await waitForTablets(cluster, { flags, lost: flags.lost, onEvent, signal });
  const planned = recoveryPlanOf(given);
  const seen = await look(identifiedCluster(cluster), {
    only: recovery.only,
    method: flags.method,
    accept: acceptOf(flags),
    decisions: decisionsOf(flags),
    ...lostOptions(flags),
    planned,
    seen: knownOffsetsStore(opened, onEvent),
    signal,
    onEvent,
  });
  if (planned !== undefined) assertAsPlanned(planned, seen);
  return seen;
}

/** The plan of a recovery; one of another command was refused before. */
function recoveryPlanOf(given: SavedPlan | undefined): RecoveryPlan | undefined {
  const plan = given?.plan;
  return plan?.method === undefined ? undefined : { ...plan, method: plan.method };
}

/** What the plan flags mean for a recovery. */
export function planOptions(
  flags: PlanningFlags,
  io: CommandIo,
  given: SavedPlan | undefined,
): PlanOptions {
  return {
    method: flags.method,
    accept: acceptOf(flags),
    decisions: decisionsOf(flags),
    ...lostOptions(flags),
    planned: recoveryPlanOf(given),
    review: (plan, signal) => confirm(plan, { flags, io, signal }),
  };
}

/** The replicas that are to lead where something may be given up; the command line pairs them in order. */
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

/** Which tablets are lost, and what may be given up with them. */
function lostOptions(flags: PlanningFlags): Pick<PlanOptions, "lost" | "acceptsLossOfLost"> {
  return { lost: new Set(flags.lost), acceptsLossOfLost: flags.acceptDataLoss.find(isLoss) };
}

/** Asks whether to go on if something is about to be changed; see {@link confirmed}. */
async function confirm(
  plan: RecoveryPlan,
  { flags, io, signal }: { flags: PlanningFlags; io: CommandIo; signal: AbortSignal },
): Promise<boolean> {
  if (flags.yes || (!io.isInteractiveStdin && !flags.noInput)) return false;
  const size = await inTurns(sizeOf(plan));
  if (size.changes === 0) return false;
  return confirmed(questionText(plan, size, clusterText(flags)).join("\n"), { flags, io, signal });
}
