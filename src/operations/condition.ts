import { diagnose, problemsAt } from "../diagnosis/diagnose.js";
import type { Endpoint } from "../model/cluster-state.js";
import { type PartitionView, partitionName, type ReplicaView } from "../model/partition-view.js";
import type { ProblemCode } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { isServing, servingLeader } from "../policy/what-it-holds.js";

/**
 * Whether a partition's replicas can be moved: `well`; `half-done` if only the leftovers of an interrupted leader
 * change or move must be repaired first; else `unhealthy`, with the reason.
 */
export type Condition =
  | { readonly kind: "well"; readonly leader: Endpoint }
  | {
      readonly kind: "half-done";
      readonly leader: Endpoint;
      /** The steps that repair it, in order. */
      readonly heal: readonly Step[];
    }
  | { readonly kind: "unhealthy"; readonly why: string };

/** Problems that recovering a loaded follower solves without deleting unchecked entries. */
const HEALED_BY_REJOIN: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  "extra-leader",
  "marked-dead",
  "not-linked",
  "wrong-role",
  "behind",
]);

/**
 * Determines the condition of a partition, see {@link Condition}. A follower that is behind under
 * writes is well.
 */
export function conditionOf(view: PartitionView): Condition {
  const leader = servingLeader(view);
  if (leader === undefined) return withoutLeader(view);
  const problems = diagnose(view).filter((one) => one.code !== "behind");
  if (problems.length === 0) return { kind: "well", leader: leader.endpoint };
  const isHealable = problems.every(
    (one) =>
      HEALED_BY_REJOIN.has(one.code) &&
      one.endpoint !== leader.endpoint &&
      view.replicas.some((replica) => replica.endpoint === one.endpoint && isServing(replica)),
  );
  if (!isHealable) return unhealthy(view);
  const endpoints = [...new Set(problems.flatMap((one) => one.endpoint ?? []))];
  return {
    kind: "half-done",
    leader: leader.endpoint,
    heal: endpoints.map((endpoint) => recoverStep(view, endpoint, "left by an interrupted run")),
  };
}

/**
 * The condition of a partition without a leader. A change of leader starts by marking the leader not
 * alive, so that clients stop using it. If the change ended there, the leader still runs as one, and
 * marking it alive reverts it.
 */
function withoutLeader(view: PartitionView): Condition {
  const flagged = view.replicas.filter((one) => one.claim.isLeader);
  const [leader] = flagged;
  const isDrained =
    leader !== undefined &&
    flagged.length === 1 &&
    isServing(leader) &&
    leader.report?.role === "leader";
  const problems = diagnose(view);
  if (!isDrained || problems.some((one) => one.code !== "marked-dead")) return unhealthy(view);
  const others = problems.flatMap((one) =>
    one.endpoint === undefined || one.endpoint === leader.endpoint ? [] : [one.endpoint],
  );
  const { endpoint } = leader;
  const why = "it leads, and an interrupted change of leader left it marked not alive";
  return {
    kind: "half-done",
    leader: endpoint,
    heal: [
      { kind: "mark-alive", id: view.id, endpoint, role: "leader", checks: "health", why },
      ...others.map((one) => recoverStep(view, one, "left by an interrupted run")),
    ],
  };
}

function unhealthy(view: PartitionView): Condition {
  const why = diagnose(view).map((one) =>
    one.endpoint === undefined ? one.text : `${one.endpoint}: ${one.text}`,
  );
  return { kind: "unhealthy", why: why.length === 0 ? "no replica leads it" : why.join("; ") };
}

/**
 * The step that recovers a replica. For an ex-leader it names the term before the newest, so that rows
 * which only the ex-leader accepted during the change are not deleted unchecked.
 */
export function recoverStep(view: PartitionView, endpoint: Endpoint, why: string): Step {
  const isFlagged = view.replicas.some((one) => one.endpoint === endpoint && one.claim.isLeader);
  const since = view.terms.at(-2)?.term ?? 0n;
  return {
    kind: "rejoin",
    id: view.id,
    endpoint,
    ...(isFlagged && view.terms.length > 0 ? { since } : {}),
    why,
  };
}

/** `db.table:pid: why` of the unhealthy partitions, for refusals and notes. */
export function unhealthyLines(
  views: readonly { readonly view: PartitionView; readonly condition: Condition }[],
): string[] {
  return views.flatMap(({ view, condition }) =>
    condition.kind === "unhealthy" ? [`${partitionName(view.id)}: ${condition.why}`] : [],
  );
}

/** True if a follower could lead: alive, loaded, and without a problem other than being behind. */
export function isFit(view: PartitionView, replica: ReplicaView): boolean {
  return problemsAt(view, replica.endpoint).every((one) => one.code === "behind");
}
