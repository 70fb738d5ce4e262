import { mayBeGivenUp } from "../model/absence.js";
import { type Advice, changing } from "../model/advice.js";
import { type Endpoint, type Op, type PartitionId, replicaKey } from "../model/cluster-state.js";
import { groupBy } from "../model/groups.js";
import { partitionKey } from "../model/partition-name.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import type { PartitionResult } from "../model/report.js";
import { partitionFlags } from "../model/tool-command.js";
import { each, type Work } from "../model/work.js";
import { newestLeaders } from "../policy/flagged-leader.js";
import { unseenTail } from "../policy/what-is-given-up.js";
import type { InspectFacts } from "./facts.js";
import { GRADES, type Grade, gradePartition } from "./grade.js";

/** Number of failed ops that are shown for a partition, the newest ones. */
const FAILED_OPS_MAX = 3;

/** The facts about one replica in ZooKeeper. */
export interface ZooKeeperSide {
  /** True if the replica's tablet is registered. */
  readonly isRegistered: boolean;
  /** The flags in ZooKeeper's record; undefined if it lacks the replica, or was not read. */
  readonly flags: { readonly isLeader: boolean; readonly isAlive: boolean } | undefined;
}

/** A replica of an unhealthy partition. */
export interface ReplicaReportLine {
  readonly view: ReplicaView;
  readonly zooKeeper: ZooKeeperSide;
  /** True if ZooKeeper and the nameserver disagree on its flags or on its tablet's health. */
  readonly disagrees: boolean;
}

/** An unhealthy partition, with everything that an operator needs to act. */
export interface PartitionReport {
  readonly id: PartitionId;
  readonly grade: Grade;
  readonly leader: Endpoint | undefined;
  readonly problems: readonly Problem[];
  readonly effect: string;
  readonly replicas: readonly ReplicaReportLine[];
  /** The partition's last failed ops, then its active ops; each oldest first. */
  readonly ops: readonly Op[];
  /** What to do next. */
  readonly next: Advice;
}

/**
 * Reports every unhealthy partition, worst first; within a grade system databases first. Yields between
 * partitions.
 */
export function* reportPartitions(facts: InspectFacts): Work<PartitionReport[]> {
  const views = new Map<string, PartitionView>();
  yield* each(facts.views, (view) => views.set(replicaKey(view.id), view));
  const failed = groupBy(
    facts.state.ops.filter((op) => op.status === "failed"),
    partitionKey,
  );
  const reports: PartitionReport[] = [];
  yield* each(facts.unhealthy, (result) => {
    const view = views.get(replicaKey(result.id));
    if (view !== undefined) reports.push(reportOne(view, result, { facts, failed }));
  });
  return GRADES.flatMap((grade) => reports.filter((one) => one.grade === grade));
}

interface ReportContext {
  readonly facts: InspectFacts;
  /** The failed ops by `partitionKey`. */
  readonly failed: ReadonlyMap<string, readonly Op[]>;
}

function reportOne(
  view: PartitionView,
  result: PartitionResult,
  context: ReportContext,
): PartitionReport {
  const { facts } = context;
  const { id, problems, leader } = result;
  const failed = context.failed.get(partitionKey(id)) ?? [];
  return {
    id,
    ...gradePartition(view, problems),
    leader,
    problems,
    replicas: replicaLines(view, facts),
    ops: [...failed.slice(-FAILED_OPS_MAX), ...view.activeOps],
    next: nextOf(view, result, context),
  };
}

function replicaLines(view: PartitionView, facts: InspectFacts): ReplicaReportLine[] {
  const { tid, pid } = view.id;
  const isRead = facts.stored.has(tid);
  const partition = facts.stored.get(tid)?.partitions.find((one) => one.pid === pid);
  return view.replicas.map((replica) => {
    const { endpoint, claim } = replica;
    const tablet = facts.state.tablets.get(endpoint);
    const flags = partition?.replicas.find((one) => one.endpoint === endpoint);
    const isRegistered = tablet?.isRegistered === true;
    const isSame = flags?.isLeader === claim.isLeader && flags.isAlive === claim.isAlive;
    const isHealthy = tablet?.claim?.isHealthy === true;
    return {
      view: replica,
      zooKeeper: { isRegistered, flags },
      disagrees: (isRead && !isSame) || isRegistered !== isHealthy,
    };
  });
}

/** The advice of a recovery, with a smaller command or an additional leader change where that is enough. */
function nextOf(view: PartitionView, result: PartitionResult, { facts }: ReportContext): Advice {
  const { next } = result;
  if (next[0]?.needs === "nothing") {
    return facts.unhealthy.length > 1
      ? next
      : [changing("run", facts.print({ cmd: "recovertable", ...partitionFlags(view.id) }))];
  }
  const [leader] = newestLeaders(view);
  if (leader === undefined || !canChangeLeader(view, result, facts)) return next;
  // Without a candidate the nameserver refuses while it still counts the leader as alive (code 309).
  const command = facts.print({
    cmd: "changeleader",
    ...partitionFlags(view.id),
    candidate: "auto",
  });
  const words = `to recover without it, giving up ${unseenTail(leader.endpoint)}`;
  return [...next, changing(words, command, "thought")];
}

/** True if the leader's tablet is absent and `changeleader` would accept a follower as the new leader. */
function canChangeLeader(
  view: PartitionView,
  { leader }: PartitionResult,
  { checkLeaderChange }: InspectFacts,
): boolean {
  if (leader !== undefined) return false;
  const flagged = view.replicas.filter((one) => one.claim.isLeader);
  const isAway =
    flagged.length > 0 && flagged.every((one) => one.tablet !== "ok" && mayBeGivenUp(one.absence));
  return (
    isAway && !("refusal" in checkLeaderChange(view, { candidate: "auto", acceptsLoss: false }))
  );
}
