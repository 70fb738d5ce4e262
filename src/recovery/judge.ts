import type { ClusterState } from "../model/cluster-state.js";
import { replicaKey } from "../model/cluster-state.js";
import type { LaneFailure } from "../model/outcome.js";
import { type PartitionView, tabletHealth } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import type { PartitionResult, RunReport } from "../model/report.js";
import { diagnose, servingLeader } from "./diagnose.js";

/** What the judgement needs to know of the run beside the cluster as it is now. */
export interface JudgeInput {
  readonly state: ClusterState;
  /** `viewPartitions(state)`, narrowed to what the run is about. */
  readonly views: readonly PartitionView[];
  /** Keys of the partitions that were not healthy when the run began. */
  readonly sickBefore: ReadonlySet<string>;
  /** What was tried in vain, by `replicaKey`. */
  readonly failures: ReadonlyMap<string, LaneFailure>;
  /** The command that runs the recovery again, with the connection flags of this run. */
  readonly rerun: string;
}

/** Judges a cluster from one fresh observation. */
export function judge(
  input: JudgeInput,
): Pick<
  RunReport,
  "leader" | "sickTablets" | "tablets" | "tables" | "replicas" | "partitions" | "partitionCount"
> {
  const results = input.views.map((view) => judgePartition(view, input));
  return {
    leader: input.state.topology.leader,
    sickTablets: [...input.state.tablets.values()].flatMap((tablet) => {
      const { tablet: health, tabletDetail } = tabletHealth(tablet);
      return health === "ok" ? [] : [{ endpoint: tablet.endpoint, reason: tabletDetail }];
    }),
    tablets: input.state.tablets.size,
    tables: new Set(input.views.map((view) => view.id.tid)).size,
    replicas: input.views.reduce((sum, view) => sum + view.replicas.length, 0),
    partitions: results.filter((one) => one.status !== "healthy"),
    partitionCount: results.length,
  };
}

function judgePartition(view: PartitionView, input: JudgeInput): PartitionResult {
  const key = replicaKey(view.id);
  const problems = diagnose(view);
  const leader = servingLeader(view);
  const failure = input.failures.get(key);
  const healthy = input.sickBefore.has(key) ? "recovered" : "healthy";
  return {
    id: view.id,
    status: problems.length > 0 ? "unhealthy" : healthy,
    leader: leader?.endpoint,
    isServing: leader !== undefined,
    problems,
    failure: problems.length > 0 ? failure : undefined,
    next: problems.length === 0 ? "" : nextStep(problems, input.rerun),
  };
}

/** What heals each kind of problem that a recovery cannot heal by itself. */
function nextStep(problems: readonly Problem[], rerun: string): string {
  const has = (...codes: ProblemCode[]) => problems.find((one) => codes.includes(one.code));
  const tablet = has("tablet-offline", "tablet-silent");
  if (tablet !== undefined) return `start tablet ${tablet.endpoint}, then run: ${rerun}`;
  if (has("no-leader-flagged") !== undefined) {
    return "choose the replica to lead by its data and set the leader by hand (the tool does not guess)";
  }
  if (has("rows-missing") !== undefined) {
    return "compare the replicas' offsets (load the followers by hand) and decide which one is to lead; nothing was given up";
  }
  const unknown = has("state-unknown");
  if (unknown !== undefined) return `look at tablet ${unknown.endpoint}, then run: ${rerun}`;
  return `run: ${rerun}`;
}
