import { diagnose } from "../diagnosis/diagnose.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { type PartitionView, partitionName, replicaAt } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { partitionFlags } from "../model/tool-command.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { noLeader, type ReplicaOptions, replicaFlags } from "./add-replica.js";
import { addReplicaText, leaderObstacle } from "./change-leader.js";
import type { Operation, OperationPlan } from "./operation.js";
import {
  assertNone,
  assertUsable,
  findPartitions,
  isAbsentForGood,
  type Obstacle,
  obstacleToRemoval,
} from "./targets.js";

/** Limit of partitions that are processed concurrently; the nameserver has two queues of ops. */
const CONCURRENCY = 8;

/**
 * Deletes followers from a tablet (DelReplicaNS), or removes them from the record if the tablet is
 * absent. Refuses a leader, the last replica, and a replica that is known to hold entries that its
 * leader lacks.
 */
export function delReplicaOperation(options: ReplicaOptions): Operation {
  return {
    typed: { cmd: "delreplica", ...replicaFlags(options) },
    needsOff: false,
    concurrency: CONCURRENCY,
    plan: (state) => planDeleting(state, options),
    verify: (after) =>
      findPartitions(after, options).views.flatMap((view) =>
        remainingTraces(after, view, options.endpoint),
      ),
    conclude: (after) =>
      findPartitions(after, options).views.map(
        (view) =>
          `${partitionName(view.id)}: replicas at ${view.replicas.map((one) => one.endpoint).join(", ")}`,
      ),
  };
}

function planDeleting(state: ClusterState, options: ReplicaOptions): OperationPlan {
  const { endpoint } = options;
  const { table, views } = findPartitions(state, options);
  const held = views.filter((view) => replicaAt(view, endpoint) !== undefined);
  const gone = views.filter((view) => !held.includes(view));
  const isGone = isAbsentForGood(state, endpoint);
  if (!isGone) assertUsable(state, endpoint, "tablet");
  assertNone(
    held.flatMap((view) => obstacleTo(state, view, options, isGone) ?? []),
    `delreplica from ${endpoint}`,
  );
  return {
    steps: held.map((view): Step => {
      const rest = view.replicas.length - 1;
      const of = { id: view.id, endpoint, why: `${rest} replicas stay` };
      return isGone
        ? { kind: "remove-from-record", ...of, acceptsLoss: false }
        : { kind: "del-replica", ...of };
    }),
    notes: [
      ...(options.pids === "all" && held.length > 0 ? [] : gone).map(
        (view) => `${partitionName(view.id)}: ${endpoint} has no replica of it`,
      ),
      ...held.flatMap((view) => warnings(view, endpoint, table.replicaCount)),
    ],
    restsOn: views,
  };
}

/** Notes on a deletion that is allowed. */
function warnings(view: PartitionView, endpoint: Endpoint, wanted: number): string[] {
  const name = partitionName(view.id);
  const rest = view.replicas.filter((one) => one.endpoint !== endpoint);
  const unhealthy = new Set(diagnose(view).map((one) => one.endpoint));
  const well = rest.filter((one) => !unhealthy.has(one.endpoint));
  const few =
    rest.length < wanted
      ? [`${name}: ${rest.length} replicas stay, and the table specifies ${wanted}`]
      : [];
  return well.length > 1
    ? few
    : [...few, `${name}: no healthy follower stays: if its leader fails, no replica can take over`];
}

function obstacleTo(
  state: ClusterState,
  view: PartitionView,
  options: ReplicaOptions,
  isGone: boolean,
): Obstacle | undefined {
  const { endpoint, print } = options;
  const name = partitionName(view.id);
  if (view.replicas.length === 1) {
    return {
      text: `${name}: ${endpoint} has its only replica: deleting it would delete the data`,
      hint: `add another replica and make it the leader first, or drop the table in SQL; the replica is added with: ${addReplicaText(view, state, print)}`,
    };
  }
  if (isGone) return obstacleToRemoval(view, options.endpoint, options.print);
  const claim = replicaAt(view, endpoint)?.claim;
  if (claim?.isLeader === true)
    return leaderObstacle(state, view, endpoint, { print, refused: "deleted" });
  const ahead = diagnose(view).find(
    (one) => one.endpoint === endpoint && (one.code === "ahead" || one.code === "surplus"),
  );
  if (ahead !== undefined) {
    return {
      text: `${name}: ${endpoint} is ${ahead.text}`,
      hint: `no replica of it may be deleted before it is recovered: ${print({ cmd: "recovertable", ...partitionFlags(view.id) })}`,
    };
  }
  return noLeader(view, print);
}

/** The traces of a replica that should be deleted; empty if there are none. */
export function remainingTraces(
  after: ClusterState,
  view: PartitionView,
  endpoint: Endpoint,
): string[] {
  const name = partitionName(view.id);
  const loaded = after.tablets.get(endpoint)?.reports?.has(replicaKey(view.id)) === true;
  const leader = servingLeader(view);
  const isReplicatedTo = leader?.followers?.followers.has(endpoint) === true;
  if (replicaAt(view, endpoint) !== undefined) {
    return [`${name}: the nameserver's record still has a replica at ${endpoint}`];
  }
  return [
    ...(isReplicatedTo
      ? [`${name}: leader ${leader?.endpoint} still replicates to ${endpoint}`]
      : []),
    ...(loaded ? [`${name}: tablet ${endpoint} still has it loaded; a restart unloads it`] : []),
  ];
}
