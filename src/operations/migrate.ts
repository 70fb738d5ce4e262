import { diagnose } from "../diagnosis/diagnose.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import type { StepResult } from "../model/outcome.js";
import { type PartitionView, partitionName } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { conclusion, noLeader, notFollowing, type ReplicaWish } from "./add-replica.js";
import { traces } from "./del-replica.js";
import { leadElsewhere, partitionWords } from "./lead-elsewhere.js";
import type { Operation, OperationPlan } from "./operation.js";
import {
  assertNone,
  assertUsable,
  findPartitions,
  type Obstacle,
  type PartitionsWish,
  pidText,
  refused,
  replicaAt,
  strayText,
} from "./targets.js";

/** Partitions that are worked on side by side; the nameserver has two queues of ops. */
const CONCURRENCY = 8;

/** Which followers go where. */
export interface MigrateWish extends PartitionsWish, Pick<ReplicaWish, "commandLine"> {
  readonly from: Endpoint;
  readonly to: Endpoint;
}

/**
 * Moves followers from one tablet to another (Migrate, which the nameserver refuses while
 * auto_failover is on). A partition that has moved already is left alone.
 */
export function migrateOperation(wish: MigrateWish): Operation {
  const { from, to } = wish;
  return {
    command: "migrate",
    words: [
      "migrate",
      `--src=${from}`,
      `--des=${to}`,
      ...(wish.db === undefined ? [] : [`--db=${wish.db}`]),
      `--table=${wish.table}`,
      `--pid=${pidText(wish.pids)}`,
    ],
    needsOff: true,
    concurrency: CONCURRENCY,
    plan: (state) => planMoving(state, wish),
    verify: (after, results) =>
      movedViews(after, wish, results).flatMap((view) => [
        ...notFollowing(view, to),
        ...traces(after, view, from),
      ]),
    conclude: (after, results) =>
      movedViews(after, wish, results).flatMap((view) => conclusion(view, to)),
  };
}

function movedViews(
  after: ClusterState,
  wish: MigrateWish,
  results: readonly StepResult[],
): readonly PartitionView[] {
  const pids = new Set(results.map(({ step }) => step.id?.pid));
  return findPartitions(after, wish).views.filter((view) => pids.has(view.id.pid));
}

function planMoving(state: ClusterState, wish: MigrateWish): OperationPlan {
  const { from, to } = wish;
  if (from === to) throw refused(`source and destination are the same tablet: ${from}`);
  const { views } = findPartitions(state, wish);
  assertUsable(state, from, "source");
  assertUsable(state, to, "destination");
  const moving = views.filter((view) => replicaAt(view, from) !== undefined);
  const others = views.filter((view) => !moving.includes(view));
  const lost = wish.pids === "all" ? [] : others.filter((view) => !replicaAt(view, to));
  assertNone(
    [
      ...lost.map((view) => ({
        text: `${partitionName(view.id)}: the source ${from} has no replica of it`,
        hint: `its replicas are at ${view.replicas.map((one) => one.endpoint).join(", ")}`,
      })),
      ...moving.flatMap((view) => obstacleTo(state, view, wish) ?? []),
    ],
    `migrate from ${from} to ${to}`,
  );
  const notes = others
    .filter((view) => replicaAt(view, to) !== undefined)
    .map((view) => `${partitionName(view.id)}: it is at ${to} already, and not at ${from}`);
  const isSwitched = state.autoFailover && moving.length > 0;
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
    notes: isSwitched
      ? [...notes, "auto_failover is on: it is switched off meanwhile, and put back"]
      : notes,
    restsOn: views,
  };
}

function obstacleTo(
  state: ClusterState,
  view: PartitionView,
  { from, to, commandLine }: MigrateWish,
): Obstacle | undefined {
  const name = partitionName(view.id);
  const of = partitionWords(view.id);
  const problems = (endpoint: Endpoint) =>
    diagnose(view).filter((one) => one.endpoint === endpoint);
  if (replicaAt(view, from)?.claim.isLeader) return leadElsewhere(view, from, commandLine, "moved");
  const there = replicaAt(view, to);
  if (there !== undefined) {
    const why = problems(to).map((one) => one.text);
    return {
      text: `${name}: the destination ${to} has a replica of it already${why.length === 0 ? "" : ` (${why.join(", ")})`}`,
      hint: `if one replica less will do: ${commandLine(["delreplica", ...of, `--endpoint=${from}`])}`,
    };
  }
  const stray = state.tablets.get(to)?.reports?.get(replicaKey(view.id));
  if (stray !== undefined) {
    return { text: `${name}: ${strayText(view.id, to, stray.role)}`, hint: "then run this again" };
  }
  if (servingLeader(view) === undefined) return noLeader(view, commandLine);
  const sick = problems(from).filter((one) => one.code !== "behind");
  if (sick.length === 0) return undefined;
  return {
    text: `${name}: the replica at ${from} is not well: ${sick.map((one) => one.text).join(", ")}`,
    hint: `have it recovered first with: ${commandLine(["recovertable", ...of, `--endpoint=${from}`])}`,
  };
}
