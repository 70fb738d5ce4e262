import type { Problem } from "../../src/model/problem.js";
import type { PartitionResult } from "../../src/model/report.js";
import { type Checks, partitionComplaints } from "./checkers.js";
import {
  acceptsWrites,
  complaintName,
  loadedAt,
  type Part,
  partsOf,
  seemsStrange,
} from "./partitions.js";
import type { Stats } from "./stats.js";
import { looksLikeOurs } from "./strangers.js";
import type { RunResult } from "./tool-run.js";
import { fencedFollowers, isTrueProblem, trueCauses } from "./truth.js";
import type { World } from "./world.js";

/**
 * Compares the last run's report with the model: nothing that the report calls healthy may be wrong.
 */
export function judgeEnd(
  world: World,
  checks: Checks,
  result: RunResult,
  stats: Stats | undefined,
): void {
  if (result === undefined || "thrown" in result || "error" in result) {
    checks.complain("converges", "the last run ended without a report");
    return;
  }
  judgePartitions(world, checks, result.report.partitions, stats);
}

/** Does the same for the partitions of a report that are not plainly healthy. */
export function judgePartitions(
  world: World,
  checks: Checks,
  report: readonly Told[],
  stats: Stats | undefined,
): void {
  const complaints = partitionComplaints(world);
  for (const of of partsOf(world.model)) {
    const name = complaintName(of);
    const wrong = complaints
      .filter((line) => line.startsWith(`${name}: `))
      .map((line) => line.slice(name.length + 2));
    const told = report.find(({ id }) => id.tid === of.id.tid && id.pid === of.id.pid);
    const end = judgePartition(world, checks, { of, name, wrong, told }, stats);
    stats?.add("ends", end);
  }
}

/** The report of one partition. */
export type Told = Pick<PartitionResult, "status" | "problems" | "failure"> & {
  readonly id: { readonly tid: number; readonly pid: number };
};

/** The model's state and the tool's report of one partition. */
interface Verdict {
  readonly of: Part;
  /** The partition's name as in the model's complaints. */
  readonly name: string;
  readonly wrong: readonly string[];
  readonly told: Told | undefined;
}

/** @returns The end of the partition, in words for counting. */
function judgePartition(
  world: World,
  checks: Checks,
  { of, name, wrong, told }: Verdict,
  stats: Stats | undefined,
): string {
  const isSaidWell = told === undefined || told.status === "healthy" || told.status === "recovered";
  if (wrong.length === 0) {
    if (isSaidWell) return "healthy";
    // All replicas agree, and none has the known offset: the operator has to learn of it.
    const isShort =
      told.problems.length > 0 && told.problems.every((one) => isShortOf(world, of, one));
    if (isShort) return "agrees on fewer rows than were known";
    const metas = of.part.partitionMeta;
    if (metas.some((meta) => seemsStrange(world.model, meta.endpoint))) {
      return "well, on a tablet that nobody could tell from a stranger";
    }
    checks.complain("true-verdict", `${of.name} is well, but called ${told.status}`);
    return "healthy";
  }
  if (checks.unknowable.has(of.name)) return "led by a replica that lacks rows without evidence";
  const invisible = isSaidWell ? whyInvisible(world, checks, { of, name, wrong }) : undefined;
  if (invisible !== undefined) return invisible;
  if (told !== undefined) judgeRest(world, checks, { of, wrong, told }, stats);
  return endOf(world, of, told);
}

/**
 * Returns why a partition is reported healthy although it is not: the fault that no call shows.
 * Complains about any other fault.
 */
function whyInvisible(
  world: World,
  checks: Checks,
  { of, name, wrong }: Omit<Verdict, "told">,
): string | undefined {
  if (isOnlyCopied(world, wrong)) return "well, on a tablet of another cluster that got our copy";
  if (checks.spoiled.has(name)) return "spoiled by others, invisible to every offset";
  if (checks.isDocumented && !isVisible(world, of)) return "diverged by RecoverTable, invisible";
  const isOfRows = wrong.some((one) => one.includes("other entries") || one.includes("twice"));
  const what = `${of.name} is called well: ${wrong.join("; ")}`;
  checks.complain(isOfRows ? "same-entries" : "true-verdict", what);
  return undefined;
}

/**
 * True if a tablet of another cluster came while an accepted op of the nameserver copied our replica
 * there, and nothing else is wrong.
 */
function isOnlyCopied({ model }: World, wrong: readonly string[]): boolean {
  return wrong.every(
    (line) =>
      line.endsWith(" is a tablet of another cluster") &&
      looksLikeOurs(model, line.split(" ")[0] ?? ""),
  );
}

/** True if the problem is `rows-missing`, and acknowledged rows are indeed on no replica. */
function isShortOf(world: World, of: Part, { code }: Problem): boolean {
  if (code !== "rows-missing") return false;
  const { db, name: table } = of.table;
  const rows = world.model.rows({ db, table }).find((one) => one.pid === of.part.pid);
  return rows !== undefined && rows.lost > 0;
}

/**
 * Checks that a partition that is not healthy has a true reason, and that no other work on it is left
 * undone.
 */
function judgeRest(
  world: World,
  checks: Checks,
  rest: { readonly of: Part; readonly wrong: readonly string[]; readonly told: Told },
  stats: Stats | undefined,
): void {
  const { of, wrong, told } = rest;
  const fenced = checks.isDocumented ? fencedFollowers(world, of) : [];
  const causes = [...trueCauses(world, of), ...fenced.map((endpoint) => `fenced ${endpoint}`)];
  if (fenced.length > 0) stats?.add("fenced followers", `of ${of.name}`);
  const isServing = of.part.partitionMeta.some((meta) => acceptsWrites(world.model, of, meta));
  const away = causes
    .filter((one) => /^(tablet-away|ahead|disk-empty|fenced|hole) /.test(one))
    .join();
  // An ex-leader keeps its flag until it follows again.
  const exLeaders = of.part.partitionMeta.filter((meta) => meta.isLeader && !meta.isAlive);
  // Damage by other clients shows in no offset, whatever else is wrong.
  const isSpoiled = (line: string) =>
    line.includes("other entries") && checks.spoiled.has(complaintName(of));
  const isExLeaders = (line: string) =>
    line.endsWith("replicas are flagged leader") &&
    exLeaders.every((meta) => away.includes(meta.endpoint));
  // A leader that lacks known rows is left alone with all its followers, for a decision.
  const isForPeople =
    !isServing ||
    told.problems.some((one) => one.code === "rows-missing") ||
    causes.some((one) => one === "op-blocked" || one.startsWith("unknown-term "));
  const unexplained = isForPeople
    ? []
    : wrong.filter(
        (line) =>
          !away.includes(line.split(" ")[0] ?? "?") && !isExLeaders(line) && !isSpoiled(line),
      );
  const summary = `${told.problems.map((one) => one.text).join("; ")} / ${told.failure?.detail ?? ""}`;
  if (causes.length === 0 || unexplained.length > 0) {
    checks.complain("converges", `${of.name}: ${wrong.join("; ")}; the tool says: ${summary}`);
  }
  if (told.problems.length === 0 && told.failure === undefined) {
    checks.complain("true-reason", `${of.name} is left without a reason`);
  }
  for (const problem of told.problems) {
    const truth = isTrueProblem(world, of, problem);
    if (truth === false)
      checks.complain("true-reason", `${of.name}: ${problem.code} ${problem.text}`);
    if (truth === undefined) stats?.add("problems that only the tool can judge", problem.code);
  }
}

/** True if some follower's offset is not its leader's, which any client can see. */
function isVisible(world: World, of: Part): boolean {
  const leader = of.part.partitionMeta.find((meta) => acceptsWrites(world.model, of, meta));
  const own = leader && loadedAt(world.model, of, leader.endpoint)?.offset;
  return of.part.partitionMeta.some(
    ({ endpoint }) => loadedAt(world.model, of, endpoint)?.offset !== own,
  );
}

function endOf(world: World, of: Part, told: Told | undefined): string {
  const causes = trueCauses(world, of).map((one) => one.split(" ")[0]);
  const codes = new Set(told?.problems.map((one) => one.code));
  return `${[...new Set(causes)].sort().join("+")}: ${[...codes].sort().join("+")}`;
}
