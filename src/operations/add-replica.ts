import { problemsAt } from "../diagnosis/diagnose.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { type PartitionView, partitionName, replicaAt } from "../model/partition-view.js";
import { pidText, type Step } from "../model/step.js";
import { type PrintCommand, partitionFlags } from "../model/tool-command.js";
import { servingLeader } from "../policy/what-it-holds.js";
import type { Operation, OperationPlan } from "./operation.js";
import {
  assertNone,
  assertUsable,
  findPartitions,
  type Obstacle,
  type PartitionsOptions,
  strayObstacle,
  type Target,
} from "./targets.js";

/** Limit of partitions that are processed concurrently; the nameserver adds replicas one at a time. */
const CONCURRENCY = 8;

/** The replicas at one endpoint that a command adds or deletes. */
export interface ReplicaOptions extends PartitionsOptions {
  readonly endpoint: Endpoint;
  readonly print: PrintCommand;
}

/** The flags of a command about replicas of one table at one endpoint. */
export function replicaFlags({ db, table, pids, endpoint }: ReplicaOptions) {
  return { db, table, pid: pids, endpoint };
}

/**
 * Adds followers of partitions on a tablet (AddReplicaNS). A follower that exists and is healthy is
 * left alone.
 */
export function addReplicaOperation(options: ReplicaOptions): Operation {
  const { endpoint } = options;
  return {
    typed: { cmd: "addreplica", ...replicaFlags(options) },
    needsOff: false,
    concurrency: CONCURRENCY,
    plan: (state) => planAdding(state, options),
    verify: (after) =>
      findPartitions(after, options).views.flatMap((view) => notFollowing(view, endpoint)),
    conclude: (after) =>
      findPartitions(after, options).views.flatMap((view) => conclusion(view, endpoint)),
  };
}

function planAdding(state: ClusterState, options: ReplicaOptions): OperationPlan {
  const { endpoint } = options;
  const target = findPartitions(state, options);
  assertUsable(state, endpoint, "tablet");
  const wanted = target.views.filter((view) => !isThere(view, endpoint));
  const obstacles = wanted.flatMap((view) => obstacleTo(state, view, options) ?? []);
  assertNone(obstacles, `addreplica to ${endpoint}`);
  return {
    steps: wanted.map((view): Step => {
      const leader = servingLeader(view);
      return {
        kind: "add-replica",
        id: view.id,
        endpoint,
        why: `a new follower of ${leader?.endpoint ?? "its leader"} (offset ${leader?.report?.offset ?? 0n})`,
      };
    }),
    notes: notesOf(target, wanted, endpoint),
    restsOn: target.views,
  };
}

/** True if a replica exists there without a problem. */
function isThere(view: PartitionView, endpoint: Endpoint): boolean {
  return replicaAt(view, endpoint) !== undefined && problemsAt(view, endpoint).length === 0;
}

function notesOf(target: Target, wanted: readonly PartitionView[], endpoint: Endpoint): string[] {
  const { table, views } = target;
  const there = views.filter((view) => !wanted.includes(view));
  const above = wanted.filter((view) => view.replicas.length >= table.replicaCount);
  return [
    ...there.map((view) => `${partitionName(view.id)}: ${endpoint} has a replica of it already`),
    ...(above.length === 0 || table.replicaCount === 0
      ? []
      : [
          `the table specifies ${table.replicaCount} replicas of each partition; it will have more of partition ${pidText(above.map((view) => view.id.pid))}`,
        ]),
    ...wanted
      .filter((view) => view.activeOps.length > 0)
      .map((view) => `${partitionName(view.id)}: its running ops are waited for first`),
  ];
}

function obstacleTo(
  state: ClusterState,
  view: PartitionView,
  { endpoint, print }: ReplicaOptions,
): Obstacle | undefined {
  const name = partitionName(view.id);
  const of = partitionFlags(view.id);
  if (replicaAt(view, endpoint) !== undefined) {
    const why = problemsAt(view, endpoint);
    return {
      text: `${name}: ${endpoint} has a replica of it already, which is unhealthy: ${why.map((one) => one.text).join(", ")}`,
      hint: `recover it with: ${print({ cmd: "recovertable", ...of, endpoint })}`,
    };
  }
  return strayObstacle(state, view, endpoint) ?? noLeader(view, print);
}

/** Why the partition has no leader that a new follower can copy from; undefined if it has one. */
export function noLeader(view: PartitionView, print: PrintCommand): Obstacle | undefined {
  if (servingLeader(view) !== undefined) return undefined;
  const of = partitionFlags(view.id);
  return {
    text: `${partitionName(view.id)}: no replica leads it, so there is nothing to copy from`,
    hint: `recover it first with: ${print({ cmd: "recovertable", ...of })}`,
  };
}

/** The problems of a follower that should exist; empty if it is healthy. */
export function notFollowing(view: PartitionView, endpoint: Endpoint): string[] {
  const name = partitionName(view.id);
  if (replicaAt(view, endpoint) === undefined) return [`${name}: ${endpoint} has no replica of it`];
  if (servingLeader(view) === undefined) return [`${name}: no replica leads it`];
  const problems = problemsAt(view, endpoint);
  return problems.map((one) => `${name} at ${endpoint}: ${one.text}`);
}

/**
 * A follower and its leader with their offsets, as one line; empty if it leads or does not follow.
 */
export function conclusion(view: PartitionView, endpoint: Endpoint): string[] {
  const leader = servingLeader(view);
  const own = replicaAt(view, endpoint)?.report;
  if (leader === undefined || own === undefined || leader.endpoint === endpoint) return [];
  if (notFollowing(view, endpoint).length > 0) return [];
  return [
    `${partitionName(view.id)}: ${endpoint} follows ${leader.endpoint} at offset ${own.offset} (${own.recordCount} rows)`,
  ];
}
