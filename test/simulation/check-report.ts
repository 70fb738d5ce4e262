import type { Problem } from "../../src/model/problem.js";
import type { PartitionResult } from "../../src/model/report.js";
import { type Checks, partitionFaults } from "./checkers.js";
import { looksLikeOurs } from "./foreign-tablets.js";
import {
  acceptsWrites,
  loadedAt,
  nameInFaults,
  type Part,
  partsOf,
  seemsForeign,
} from "./partitions.js";
import type { Stats } from "./stats.js";
import type { RunResult } from "./tool-run.js";
import { fencedFollowers, isTrueProblem, trueCauses } from "./truth.js";
import type { World } from "./world.js";

/** Compares the last run's report with the model: every partition that the report calls healthy is healthy. */
export function checkReport(
  world: World,
  checks: Checks,
  result: RunResult,
  stats: Stats | undefined,
): void {
  if (result === undefined || "thrown" in result || "error" in result) {
    checks.addViolation("converges", "the last run ended without a report");
    return;
  }
  checkPartitions(world, checks, result.report.partitions, stats);
}

/** Does the same for the partitions that a report lists; one that it does not list counts as healthy. */
export function checkPartitions(
  world: World,
  checks: Checks,
  report: readonly ReportedPartition[],
  stats: Stats | undefined,
): void {
  const faults = partitionFaults(world);
  for (const of of partsOf(world.model)) {
    const name = nameInFaults(of);
    const wrong = faults
      .filter((line) => line.startsWith(`${name}: `))
      .map((line) => line.slice(name.length + 2));
    const reported = report.find(({ id }) => id.tid === of.id.tid && id.pid === of.id.pid);
    const end = checkPartition(world, checks, { of, name, wrong, reported }, stats);
    stats?.add("ends", end);
  }
}

/** One partition of a report. */
export type ReportedPartition = Pick<PartitionResult, "status" | "problems" | "failure"> & {
  readonly id: { readonly tid: number; readonly pid: number };
};

/** The model's state and the tool's report of one partition. */
interface PartitionToCheck {
  readonly of: Part;
  /** Its name in the faults that the model reports. */
  readonly name: string;
  readonly wrong: readonly string[];
  readonly reported: ReportedPartition | undefined;
}

/** @returns The end of the partition, in words for the statistics. */
function checkPartition(
  world: World,
  checks: Checks,
  { of, name, wrong, reported }: PartitionToCheck,
  stats: Stats | undefined,
): string {
  const isReportedHealthy =
    reported === undefined || reported.status === "healthy" || reported.status === "recovered";
  if (wrong.length === 0) {
    if (isReportedHealthy) return "healthy";
    // All replicas agree, and none has the known offset: the report must show it to the operator.
    const isShort =
      reported.problems.length > 0 && reported.problems.every((one) => isShortOf(world, of, one));
    if (isShort) return "agrees on fewer rows than were known";
    const metas = of.part.partitionMeta;
    if (metas.some((meta) => seemsForeign(world.model, meta.endpoint))) {
      return "healthy, on a tablet that no call distinguishes from a foreign one";
    }
    checks.addViolation("true-verdict", `${of.name} is healthy, but called ${reported.status}`);
    return "healthy";
  }
  if (checks.unknowable.has(of.name)) return "led by a replica that lacks rows without evidence";
  const invisible = isReportedHealthy
    ? whyInvisible(world, checks, { of, name, wrong })
    : undefined;
  if (invisible !== undefined) return invisible;
  if (reported !== undefined) checkUnhealthy(world, checks, { of, wrong, reported }, stats);
  return endOf(world, of, reported);
}

/**
 * The reason for which a partition is reported healthy although it is not: a fault that no call shows. Any other fault is a
 * violation.
 */
function whyInvisible(
  world: World,
  checks: Checks,
  { of, name, wrong }: Omit<PartitionToCheck, "reported">,
): string | undefined {
  if (isOnlyCopied(world, wrong)) return "healthy, on a foreign tablet that got our copy";
  if (checks.diverged.has(name)) return "diverged by others, invisible to every call";
  if (checks.isDocumented && !isVisible(world, of)) return "diverged by RecoverTable, invisible";
  const isOfRows = wrong.some((one) => one.includes("other entries") || one.includes("twice"));
  const what = `${of.name} is called healthy: ${wrong.join("; ")}`;
  checks.addViolation(isOfRows ? "same-entries" : "true-verdict", what);
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

/** True if the problem is `rows-missing`, and the model confirms that acknowledged rows are on no replica. */
function isShortOf(world: World, of: Part, { code }: Problem): boolean {
  if (code !== "rows-missing") return false;
  const { db, name: table } = of.table;
  const rows = world.model.rows({ db, table }).find((one) => one.pid === of.part.pid);
  return rows !== undefined && rows.lost > 0;
}

/** Checks that an unhealthy partition has a true reason, and that everything else about it is recovered. */
function checkUnhealthy(
  world: World,
  checks: Checks,
  rest: {
    readonly of: Part;
    readonly wrong: readonly string[];
    readonly reported: ReportedPartition;
  },
  stats: Stats | undefined,
): void {
  const { of, wrong, reported } = rest;
  const fenced = checks.isDocumented ? fencedFollowers(world, of) : [];
  const causes = [...trueCauses(world, of), ...fenced.map((endpoint) => `fenced ${endpoint}`)];
  if (fenced.length > 0) stats?.add("fenced followers", `of ${of.name}`);
  const isServing = of.part.partitionMeta.some((meta) => acceptsWrites(world.model, of, meta));
  const away = causes
    .filter((one) => /^(tablet-away|ahead|disk-empty|fenced|hole) /.test(one))
    .join();
  // An ex-leader keeps its leader flag until it is a follower again.
  const exLeaders = of.part.partitionMeta.filter((meta) => meta.isLeader && !meta.isAlive);
  // Offsets do not show divergence by other clients, whatever else is wrong.
  const isDiverged = (line: string) =>
    line.includes("other entries") && checks.diverged.has(nameInFaults(of));
  const isExLeaders = (line: string) =>
    line.endsWith("replicas are flagged leader") &&
    exLeaders.every((meta) => away.includes(meta.endpoint));
  // A leader that lacks known rows is left with all its followers until the operator decides.
  const needsDecision =
    !isServing ||
    reported.problems.some((one) => one.code === "rows-missing") ||
    causes.some((one) => one === "op-blocked" || one.startsWith("unknown-term "));
  const unexplained = needsDecision
    ? []
    : wrong.filter(
        (line) =>
          !away.includes(line.split(" ")[0] ?? "?") && !isExLeaders(line) && !isDiverged(line),
      );
  const summary = `${reported.problems.map((one) => one.text).join("; ")} / ${reported.failure?.detail ?? ""}`;
  if (causes.length === 0 || unexplained.length > 0) {
    checks.addViolation("converges", `${of.name}: ${wrong.join("; ")}; the tool says: ${summary}`);
  }
  if (reported.problems.length === 0 && reported.failure === undefined) {
    checks.addViolation("true-reason", `${of.name} is left without a reason`);
  }
  for (const problem of reported.problems) {
    const truth = isTrueProblem(world, of, problem);
    if (truth === false)
      checks.addViolation("true-reason", `${of.name}: ${problem.code} ${problem.text}`);
    if (truth === undefined) stats?.add("problems that the model cannot check", problem.code);
  }
}

/** True if a follower's offset differs from its leader's, which every client can observe. */
function isVisible(world: World, of: Part): boolean {
  const leader = of.part.partitionMeta.find((meta) => acceptsWrites(world.model, of, meta));
  const own = leader && loadedAt(world.model, of, leader.endpoint)?.offset;
  return of.part.partitionMeta.some(
    ({ endpoint }) => loadedAt(world.model, of, endpoint)?.offset !== own,
  );
}

function endOf(world: World, of: Part, reported: ReportedPartition | undefined): string {
  const causes = trueCauses(world, of).map((one) => one.split(" ")[0]);
  const codes = new Set(reported?.problems.map((one) => one.code));
  return `${[...new Set(causes)].sort().join("+")}: ${[...codes].sort().join("+")}`;
}
