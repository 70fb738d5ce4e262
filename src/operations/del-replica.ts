import { diagnose } from "../diagnosis/diagnose.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { type PartitionView, partitionName } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { noLeader, type ReplicaWish, replicaWords } from "./add-replica.js";
import { leadElsewhere, partitionWords } from "./lead-elsewhere.js";
import type { Operation, OperationPlan } from "./operation.js";
import { assertNone, assertUsable, findPartitions, type Obstacle, replicaAt } from "./targets.js";

/** Partitions that are worked on side by side; the nameserver has two queues of ops. */
const CONCURRENCY = 8;

/**
 * Deletes followers from a tablet (DelReplicaNS). Never a leader, never the last replica, and never
 * one that is known to hold entries that its leader lacks.
 */
export function delReplicaOperation(wish: ReplicaWish): Operation {
  return {
    command: "delreplica",
    words: replicaWords("delreplica", wish),
    needsOff: false,
    concurrency: CONCURRENCY,
    plan: (state) => planDeleting(state, wish),
    verify: (after) =>
      findPartitions(after, wish).views.flatMap((view) => traces(after, view, wish.endpoint)),
    conclude: (after) =>
      findPartitions(after, wish).views.map(
        (view) =>
          `${partitionName(view.id)}: replicas at ${view.replicas.map((one) => one.endpoint).join(", ")}`,
      ),
  };
}

function planDeleting(state: ClusterState, wish: ReplicaWish): OperationPlan {
  const { endpoint } = wish;
  const { table, views } = findPartitions(state, wish);
  const held = views.filter((view) => replicaAt(view, endpoint) !== undefined);
  const gone = views.filter((view) => !held.includes(view));
  assertUsable(state, endpoint, "tablet");
  assertNone(
    held.flatMap((view) => obstacleTo(view, wish) ?? []),
    `delreplica from ${endpoint}`,
  );
  return {
    steps: held.map((view): Step => {
      const rest = view.replicas.length - 1;
      return { kind: "del-replica", id: view.id, endpoint, why: `${rest} replicas stay` };
    }),
    notes: [
      ...(wish.pids === "all" && held.length > 0 ? [] : gone).map(
        (view) => `${partitionName(view.id)}: ${endpoint} has no replica of it`,
      ),
      ...held.flatMap((view) => warnings(view, endpoint, table.replicaCount)),
    ],
    restsOn: views,
  };
}

/** What the operator should know of a deletion that is allowed. */
function warnings(view: PartitionView, endpoint: Endpoint, wanted: number): string[] {
  const name = partitionName(view.id);
  const rest = view.replicas.filter((one) => one.endpoint !== endpoint);
  const sick = new Set(diagnose(view).map((one) => one.endpoint));
  const well = rest.filter((one) => !sick.has(one.endpoint));
  const few =
    rest.length < wanted
      ? [`${name}: ${rest.length} replicas stay, and the table asks for ${wanted}`]
      : [];
  return well.length > 1
    ? few
    : [...few, `${name}: no healthy follower stays: if its leader fails, nobody can take over`];
}

function obstacleTo(view: PartitionView, wish: ReplicaWish): Obstacle | undefined {
  const { endpoint, commandLine } = wish;
  const name = partitionName(view.id);
  if (view.replicas.length === 1) {
    return {
      text: `${name}: ${endpoint} has its only replica: deleting it would delete the data`,
      hint: "make another replica with addreplica and let it lead first, or drop the table in SQL",
    };
  }
  const claim = replicaAt(view, endpoint)?.claim;
  if (claim?.isLeader === true) return leadElsewhere(view, endpoint, commandLine, "deleted");
  const ahead = diagnose(view).find(
    (one) => one.endpoint === endpoint && (one.code === "ahead" || one.code === "surplus"),
  );
  if (ahead !== undefined) {
    return {
      text: `${name}: ${endpoint} is ${ahead.text}`,
      hint: `nothing of it may be deleted before that is settled: ${commandLine(["recovertable", ...partitionWords(view.id)])}`,
    };
  }
  return noLeader(view, commandLine);
}

/** What is left of a replica that was to be deleted; empty if nothing is. */
export function traces(after: ClusterState, view: PartitionView, endpoint: Endpoint): string[] {
  const name = partitionName(view.id);
  const loaded = after.tablets.get(endpoint)?.reports?.has(replicaKey(view.id)) === true;
  const leader = servingLeader(view);
  const isFed = leader?.followers?.followers.has(endpoint) === true;
  if (replicaAt(view, endpoint) !== undefined) {
    return [`${name}: the nameserver's record still has a replica at ${endpoint}`];
  }
  return [
    ...(isFed ? [`${name}: leader ${leader?.endpoint} still feeds ${endpoint}`] : []),
    ...(loaded ? [`${name}: tablet ${endpoint} still has it loaded; a restart unloads it`] : []),
  ];
}
