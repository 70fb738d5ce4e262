import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import type { PlanFlags } from "../cli/common-specs.js";
import type { RecoverDataFlags } from "../cli/recovery-commands.js";
import type { Selection } from "../diagnosis/selection.js";
import { OpsError } from "../errors.js";
import { assertAsPlanned, look } from "../execution/look.js";
import type { RecoverOptions } from "../execution/recover.js";
import { EXIT } from "../exit-codes.js";
import type { RecoveryCommand } from "../model/report.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import { planText, questionText } from "../planning/plan-text.js";
import { type RecoveryPlan, sizeOf } from "../planning/recovery-plan.js";
import { parsePlan, planDocument, type SavedPlan, savedPlan } from "../planning/saved-plan.js";
import { jsonPieces, jsonText } from "../util/text.js";
import { confirmed } from "./ask.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";
import { tellLeftover } from "./leftover.js";
import { planExists, readPlanText, planUsage as usage, writeNewFile } from "./plan-store.js";
import { seenStore, tell } from "./protect.js";
import { ended, lined, print } from "./write.js";

const SCHEMA_VERSION = 1;

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
export type PlanOptions = Pick<RecoverOptions, "method" | "accept" | "planned" | "review">;

/**
 * Judges the plan flags together, and reads the plan to apply. Reaches nothing but files.
 *
 * @returns The plan of `--apply`; undefined without it.
 * @throws OpsError `usage`.
 */
export function readPlan(
  flags: PlanningFlags,
  { command, only }: { readonly command: RecoveryCommand; readonly only: Selection },
): SavedPlan | undefined {
  const { planOut, apply } = flags;
  if (flags.detailedExitcode && !isPlanOnly(flags)) {
    throw usage("--detailed_exitcode belongs to --dry_run", "give --dry_run too");
  }
  if (planOut !== undefined && apply !== undefined) {
    throw usage("--plan_out and --apply exclude each other", "give one of them");
  }
  if (planOut !== undefined && existsSync(planOut)) throw planExists(planOut);
  if (apply === undefined) return undefined;
  const saved = parseFile(apply, command);
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
  if (saved.rootPath !== flags.zkRootPath) {
    throw usage(
      `the plan in ${apply} was made for the cluster at ${saved.rootPath}, not for ${flags.zkRootPath}`,
    );
  }
  return saved;
}

function digest() {
  return createHash("sha256");
}

function parseFile(path: string, command: RecoveryCommand): SavedPlan {
  const text = readPlanText(path, command);
  try {
    return parsePlan(text, digest);
  } catch (error) {
    if (!(error instanceof OpsError) || error.hint === undefined) throw error;
    throw usage(`--apply=${path}: ${error.message}`, error.hint);
  }
}

/** Whether nothing but a plan is asked for, so that nothing may be changed. */
export function isPlanOnly(flags: PlanFlags): boolean {
  return flags.dryRun || flags.planOut !== undefined;
}

/**
 * Looks at the cluster, shows the plan, and saves it if asked to. Changes nothing in the cluster.
 *
 * @param given The plan of `--apply`: it is compared with the cluster and shown instead.
 * @returns 0; with `--detailed_exitcode` 10 if anything is not healthy.
 * @throws OpsError `plan-stale` if the cluster is not as `given` saw it, and as `look` does.
 */
export async function showPlan(
  flags: PlanningFlags,
  io: CommandIo,
  { command, only }: { readonly command: RecoveryCommand; readonly only: Selection },
  given: SavedPlan | undefined,
): Promise<number> {
  const { saved, size } = await withCluster(
    flags,
    io,
    async (cluster, opened) => {
      const { method } = flags;
      const accept = acceptOf(flags);
      const planned = given?.plan;
      const seen = await look(identifiedCluster(cluster), {
        only,
        method,
        accept,
        planned,
        seen: seenStore(opened, (event) => tell(event, io)),
        signal: io.signal,
      });
      if (planned !== undefined) assertAsPlanned(planned, seen);
      await tellLeftover(opened, flags, io);
      const size = await sizeOf(given?.plan ?? seen.plan);
      return { saved: given ?? (await savedPlan(seen.plan, flags.zkRootPath, digest)), size };
    },
    { endsCallsOnSignal: true },
  );
  const isSick = saved.plan.partitions.length > 0;
  const exitCode = flags.detailedExitcode && isSick ? EXIT.unhealthy : EXIT.ok;
  if (flags.planOut !== undefined) {
    await writeNewFile(flags.planOut, planDocument(saved));
    io.log.info(`the plan is in ${flags.planOut}`);
  }
  const head = { schemaVersion: SCHEMA_VERSION, command, dryRun: true, exitCode };
  await print(
    io,
    flags.output === "json"
      ? ended(jsonPieces({ ...head, size, plan: planDocument(saved) }, 2))
      : lined(planText(saved, size)),
  );
  return exitCode;
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
    planned: given?.plan,
    review: (plan, signal) => confirm(plan, { flags, io, signal }),
  };
}

/** Who shall lead where something may be given up; the command line pairs them in order. */
function acceptOf(flags: PlanningFlags): Map<string, string> {
  return new Map(
    flags.acceptDataLoss.map((partition, index) => [partition, flags.leader[index] ?? ""]),
  );
}

/** Asks whether to go on if something is about to be changed; see {@link confirmed}. */
async function confirm(
  plan: RecoveryPlan,
  { flags, io, signal }: { flags: PlanningFlags; io: CommandIo; signal: AbortSignal },
): Promise<boolean> {
  if (flags.yes || (!io.isInteractiveStdin && !flags.noInput)) return false;
  const size = await sizeOf(plan);
  if (size.changes === 0) return false;
  return confirmed(questionText(plan, size, flags.zkRootPath).join("\n"), { flags, io, signal });
}
