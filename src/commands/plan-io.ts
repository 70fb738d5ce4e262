import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createInterface } from "node:readline/promises";
import { messageOf, OpsError } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import type { PlanFlags, RecoverDataFlags } from "../flags.js";
import { assertAsPlanned, look } from "../recovery/look.js";
import { parsePlan, planDocument, type SavedPlan, savedPlan } from "../recovery/plan-file.js";
import { type RecoveryPlan, sizeOf } from "../recovery/plan-recovery.js";
import { planText, questionText } from "../recovery/plan-text.js";
import type { RecoverOptions } from "../recovery/recover-data.js";
import { jsonText } from "../text.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";

const SCHEMA_VERSION = 1;

/** The flags that planning needs. */
type PlanningFlags = Omit<
  RecoverDataFlags,
  "concurrency" | "loadsPerTablet" | "opRetries" | "opTimeoutMs" | "stallTimeoutMs" | "timeoutMs"
>;

/** What of a recovery's options comes from the plan flags. */
export type PlanOptions = Pick<RecoverOptions, "db" | "method" | "accept" | "planned" | "review">;

/**
 * Judges the plan flags together, and reads the plan to apply. Reaches nothing but files.
 *
 * @returns The plan of `--apply`; undefined without it.
 * @throws OpsError `usage`.
 */
export function readPlan(flags: PlanningFlags): SavedPlan | undefined {
  const { planOut, apply } = flags;
  if (flags.detailedExitcode && !isPlanOnly(flags)) {
    throw usage("--detailed_exitcode belongs to --dry_run", "give --dry_run too");
  }
  if (planOut !== undefined && apply !== undefined) {
    throw usage("--plan_out and --apply exclude each other", "give one of them");
  }
  if (planOut !== undefined && existsSync(planOut)) throw planExists(planOut);
  if (apply === undefined) return undefined;
  const saved = parseFile(apply);
  const given = { db: flags.db, method: flags.method };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === saved.plan[name as "db" | "method"]) continue;
    throw usage(
      `--${name}=${value} is not what the plan in ${apply} was made with`,
      `leave --${name} out: the plan says it`,
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

/** Sixteen digits of SHA-256: enough to notice a change, short enough to be named. */
function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

function parseFile(path: string): SavedPlan {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw usage(`cannot read the plan in ${path}: ${messageOf(error)}`);
  }
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
  given: SavedPlan | undefined,
): Promise<number> {
  const saved = await withCluster(
    flags,
    io,
    async (cluster) => {
      const { db, method } = flags;
      const accept = acceptOf(flags);
      const planned = given?.plan;
      const seen = await look(cluster, { db, method, accept, planned, signal: io.signal });
      if (planned !== undefined) assertAsPlanned(planned, seen);
      return given ?? savedPlan(seen.plan, flags.zkRootPath, digest);
    },
    { endsCallsOnSignal: true },
  );
  const isSick = saved.plan.partitions.length > 0;
  const exitCode = flags.detailedExitcode && isSick ? EXIT.unhealthy : EXIT.ok;
  if (flags.planOut !== undefined) {
    writePlan(flags.planOut, saved);
    io.log.info(`the plan is in ${flags.planOut}`);
  }
  const head = { schemaVersion: SCHEMA_VERSION, command: "recoverdata", dryRun: true, exitCode };
  io.stdout.write(
    flags.output === "json"
      ? `${jsonText({ ...head, size: sizeOf(saved.plan), plan: planDocument(saved) }, 2)}\n`
      : `${planText(saved).join("\n")}\n`,
  );
  return exitCode;
}

/** Saves a plan in a file that did not exist, completely or not at all. */
function writePlan(path: string, saved: SavedPlan): void {
  let file: number;
  try {
    file = openSync(path, "wx", 0o640);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw planExists(path);
    throw usage(`cannot save the plan in ${path}: ${messageOf(error)}`);
  }
  try {
    writeFileSync(file, `${jsonText(planDocument(saved), 2)}\n`);
    fsyncSync(file);
  } catch (error) {
    unlinkSync(path);
    throw usage(`cannot save the plan in ${path}: ${messageOf(error)}`);
  } finally {
    closeSync(file);
  }
}

function planExists(path: string): OpsError {
  return usage(
    `--plan_out=${path}: the file exists, and a plan never overwrites anything`,
    "name a new file",
  );
}

/** What the plan flags mean for a recovery. */
export function planOptions(
  flags: PlanningFlags,
  io: CommandIo,
  given: SavedPlan | undefined,
): PlanOptions {
  return {
    db: flags.db,
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

/**
 * Asks whether to go on, if something is about to be changed and somebody sits there.
 *
 * @returns Whether somebody was asked.
 * @throws OpsError `refused` if the answer was not yes, or if nobody may be asked.
 */
async function confirm(
  plan: RecoveryPlan,
  { flags, io, signal }: { flags: PlanningFlags; io: CommandIo; signal: AbortSignal },
): Promise<boolean> {
  if (sizeOf(plan).changes === 0 || flags.yes || !io.isInteractiveStdin) return false;
  const lines = questionText(plan, flags.zkRootPath);
  if (flags.noInput) {
    throw refused("--no_input forbids to ask before the first change; nothing was changed");
  }
  const answer = await ask(lines.join("\n"), io, signal);
  if (/^\s*y(es)?\s*$/i.test(answer)) return true;
  throw refused("the answer was not yes; nothing was changed");
}

/** @returns The line that was typed; empty at the end of the input. */
async function ask(question: string, io: CommandIo, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  io.stderr.write(question);
  const lines = createInterface({ input: io.stdin, terminal: false });
  const leave = () => lines.close();
  signal.addEventListener("abort", leave, { once: true });
  try {
    for await (const line of lines) return line;
    io.stderr.write("\n");
    signal.throwIfAborted();
    return "";
  } finally {
    signal.removeEventListener("abort", leave);
    lines.close();
    io.stdin.destroy();
  }
}

function refused(message: string): OpsError {
  return new OpsError({ code: "refused", message, hint: "--yes goes on without asking" });
}

function usage(message: string, hint?: string): OpsError {
  return new OpsError({ code: "usage", message, ...(hint === undefined ? {} : { hint }) });
}
