import type { PartitionView } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import { servingLeader } from "../policy/what-it-holds.js";

/** Grades of unhealthy partitions, worst first. */
export const GRADES = ["down", "at-risk", "one-left", "degraded", "untidy"] as const;

/** One of {@link GRADES}. */
export type Grade = (typeof GRADES)[number];

/** The grade of each problem if a leader serves. Without a serving leader every partition is `down`. */
const GRADE_OF: Readonly<Record<ProblemCode, Exclude<Grade, "down" | "one-left">>> = {
  "no-leader-flagged": "at-risk",
  "record-is-old": "at-risk",
  "load-failed": "at-risk",
  diverged: "at-risk",
  ahead: "at-risk",
  surplus: "at-risk",
  "rows-missing": "at-risk",
  unread: "at-risk",
  "leader-unavailable": "degraded",
  "tablet-offline": "degraded",
  "tablet-silent": "degraded",
  "tablet-foreign": "degraded",
  "not-loaded": "degraded",
  loading: "degraded",
  "state-unknown": "degraded",
  "extra-leader": "degraded",
  "wrong-role": "degraded",
  "marked-dead": "degraded",
  "not-linked": "degraded",
  "link-unknown": "degraded",
  behind: "degraded",
  "snapshot-paused": "untidy",
  "not-as-planned": "degraded",
};

/** A grade, and its effect on reads and writes. */
export interface Graded {
  readonly grade: Grade;
  /** One sentence without final stop. */
  readonly effect: string;
}

/**
 * Grades an unhealthy partition.
 *
 * @param problems The problems that `diagnose` found, at least one.
 */
export function gradePartition(view: PartitionView, problems: readonly Problem[]): Graded {
  const leader = servingLeader(view);
  if (leader === undefined) return { grade: "down", effect: downEffect(problems) };
  const worst = problems.map((one) => GRADE_OF[one.code]);
  // A replica with an untidy problem still follows the leader.
  const unhealthy = new Set(
    problems.filter((one) => GRADE_OF[one.code] !== "untidy").map((one) => one.endpoint),
  );
  const following = view.replicas.filter(
    (one) => one !== leader && !unhealthy.has(one.endpoint),
  ).length;
  const total = view.replicas.length;
  if (worst.includes("at-risk")) {
    return {
      grade: "at-risk",
      effect:
        "reads and writes work, but rows that the leader lacks may be lost; recovery needs a decision",
    };
  }
  if (problems.every((one) => one.code === "link-unknown")) {
    return {
      grade: "degraded",
      effect: "reads and writes work; whether the leader replicates to the followers is not known",
    };
  }
  if (worst.includes("degraded")) {
    return following === 0 && total > 1
      ? {
          grade: "one-left",
          effect: `reads and writes work on the leader alone; if ${leader.endpoint} fails, the partition is down`,
        }
      : {
          grade: "degraded",
          effect: `reads and writes work; ${following} of ${total - 1} followers are in sync`,
        };
  }
  return {
    grade: "untidy",
    effect: "reads and writes work; no snapshots are made there, so its binlog grows",
  };
}

function downEffect(problems: readonly Problem[]): string {
  const isLoading = problems.some((one) => one.code === "loading");
  return isLoading
    ? "neither reads nor writes; a replica is being loaded"
    : "neither reads nor writes";
}
