import { problemsAt } from "../diagnosis/diagnose.js";
import { refused } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import type { StepResult } from "../model/outcome.js";
import { type PartitionView, partitionName, replicaAt } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { partitionFlags } from "../model/tool-command.js";
import { conclusion, noLeader, notFollowing, type ReplicaOptions } from "./add-replica.js";
import { leaderObstacle } from "./change-leader.js";
import { remainingTraces } from "./del-replica.js";
import type { Operation, OperationPlan } from "./operation.js";
import {
  assertNone,
  assertUsable,
  findPartitions,
  type Obstacle,
  type PartitionsOptions,
  strayObstacle,
  switchedOffNote,
} from "./targets.js";

/** Limit of partitions that are processed concurrently; the nameserver has two queues of ops. */
const CONCURRENCY = 8;

/** The followers to move, with source and destination. */
export interface MigrateOptions extends PartitionsOptions, Pick<ReplicaOptions, "print"> {
  readonly from: Endpoint;
  readonly to: Endpoint;
}

/**
 * Moves followers from one tablet to another (Migrate, which the nameserver refuses while auto_failover
 * is on). A partition that has moved already is left alone.
 */
export function migrateOperation(options: MigrateOptions): Operation {
  const { from, to } = options;
  return {
    typed: {
      cmd: "migrate",
      src: from,
      des: to,
      db: options.db,
      table: options.table,
      pid: options.pids,
    },
    needsOff: true,
    concurrency: CONCURRENCY,
    plan: (state) => planMoving(state, options),
    verify: (after, results) =>
      movedViews(after, options, results).flatMap((view) => [
        ...notFollowing(view, to),
        ...remainingTraces(after, view, from),
      ]),
    conclude: (after, results) =>
      movedViews(after, options, results).flatMap((view) => conclusion(view, to)),
  };
}

function movedViews(
  after: ClusterState,
  options: MigrateOptions,
  results: readonly StepResult[],
): readonly PartitionView[] {
  const pids = new Set(results.map(({ step }) => step.id?.pid));
  return findPartitions(after, options).views.filter((view) => pids.has(view.id.pid));
}

function planMoving(state: ClusterState, options: MigrateOptions): OperationPlan {
  const { from, to } = options;
  if (from === to) throw refused(`source and destination are the same tablet: ${from}`);
  const { views } = findPartitions(state, options);
  assertUsable(state, from, "source");
  assertUsable(state, to, "destination");
  const moving = views.filter((view) => replicaAt(view, from) !== undefined);
  const others = views.filter((view) => !moving.includes(view));
  const lost = options.pids === "all" ? [] : others.filter((view) => !replicaAt(view, to));
  assertNone(
    [
      ...lost.map((view) => ({
        text: `${partitionName(view.id)}: the source ${from} has no replica of it`,
        hint: `its replicas are at ${view.replicas.map((one) => one.endpoint).join(", ")}`,
      })),
      ...moving.flatMap((view) => obstacleTo(state, view, options) ?? []),
    ],
    `migrate from ${from} to ${to}`,
  );
  const notes = others
    .filter((view) => replicaAt(view, to) !== undefined)
    .map((view) => `${partitionName(view.id)}: it is at ${to} already, and not at ${from}`);
  return {
    steps: moving.map(
      ({ id, replicas }): Step => ({
        kind: "migrate",
        id,
        endpoint: from,
        to,
        why: `a follower, ${replicas.length} replicas before and after`,
      }),
    ),
    notes: [...notes, ...(moving.length > 0 ? switchedOffNote(state) : [])],
    restsOn: views,
  };
}

function obstacleTo(
  state: ClusterState,
  view: PartitionView,
  { from, to, print }: MigrateOptions,
): Obstacle | undefined {
  const name = partitionName(view.id);
  const of = partitionFlags(view.id);
  if (replicaAt(view, from)?.claim.isLeader)
    return leaderObstacle(state, view, from, { print, refused: "moved" });
  const there = replicaAt(view, to);
  if (there !== undefined) {
    const why = problemsAt(view, to).map((one) => one.text);
    return {
      text: `${name}: the destination ${to} has a replica of it already${why.length === 0 ? "" : ` (${why.join(", ")})`}`,
      hint: `if one replica fewer is enough: ${print({ cmd: "delreplica", ...of, endpoint: from })}`,
    };
  }
  const obstacle = strayObstacle(state, view, to) ?? noLeader(view, print);
  if (obstacle !== undefined) return obstacle;
  const unhealthy = problemsAt(view, from).filter((one) => one.code !== "behind");
  if (unhealthy.length === 0) return undefined;
  return {
    text: `${name}: the replica at ${from} is unhealthy: ${unhealthy.map((one) => one.text).join(", ")}`,
    hint: `recover it first with: ${print({ cmd: "recovertable", ...of, endpoint: from })}`,
  };
}
