import { refused } from "../errors.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { tableName } from "../model/partition-name.js";
import {
  isSystemDatabase,
  partitionName,
  replicaAt,
  viewPartitions,
} from "../model/partition-view.js";
import type { PrintCommand } from "../model/tool-command.js";
import { planAdding } from "./add-missing.js";
import { unhealthyLines } from "./condition.js";
import {
  type Change,
  changesOf,
  leaderChoice,
  leftoverLines,
  opsNotes,
  type PartitionSurvey,
  placed,
  stepsOf,
  survey,
  touchedViews,
  unfinished,
  unusableNotes,
  usableTablets,
} from "./moves.js";
import type { Operation, OperationPlan } from "./operation.js";
import { evacuate } from "./placement.js";
import { spreadLeaders } from "./placement-leaders.js";
import { distributionLines } from "./scaleout.js";
import { assertNone, assertUsable, isAbsentForGood, obstacleToRemoval } from "./targets.js";

/** The options of `scalein`. */
export interface ScaleInOptions {
  /** The tablets to be emptied, without duplicates. */
  readonly endpoints: readonly Endpoint[];
  /** True if partitions with more replicas than their table specifies keep them. */
  readonly keepsSurplus: boolean;
  /** Limit of partitions that are processed concurrently. */
  readonly concurrency: number;
  readonly print: PrintCommand;
}

/** Moves every replica off some tablets, those of system tables included. */
export function scaleInOperation(options: ScaleInOptions): Operation {
  const { endpoints, keepsSurplus } = options;
  return {
    typed: { cmd: "scalein", endpoints, keep_surplus: keepsSurplus },
    needsOff: true,
    waitsForOps: true,
    concurrency: options.concurrency,
    plan: (state) => planScaleIn(state, options),
    verify: (after, results) => [
      ...unfinished(after, results, () => planScaleIn(after, options)),
      ...endpoints.flatMap((endpoint) => stillLoaded(after, endpoint)),
    ],
    conclude: (after) => [
      ...distributionLines(after),
      ...endpoints
        .filter((endpoint) => holdersOf(survey(after, true), new Set([endpoint])).length === 0)
        .map((endpoint) => `${endpoint} is empty: the tablet can be stopped`),
    ],
  };
}

function planScaleIn(state: ClusterState, options: ScaleInOptions): OperationPlan {
  const leaving = new Set(options.endpoints);
  const gone = options.endpoints.filter((endpoint) => isAbsentForGood(state, endpoint));
  if (gone.length > 0) return planWithout(state, new Set(gone), options);
  for (const endpoint of leaving) assertUsable(state, endpoint, "tablet");
  const targets = usableTablets(state).filter((endpoint) => !leaving.has(endpoint));
  const surveyed = survey(state, options.keepsSurplus);
  assertCapacity(surveyed, leaving, targets);
  assertHealthy(holdersOf(surveyed, leaving), options);
  assertNoLeftovers(state, holdersOf(surveyed, leaving), leaving, targets);
  const groups = [
    surveyed.filter((one) => isSystemDatabase(one.view.id.db)),
    surveyed.filter((one) => !isSystemDatabase(one.view.id.db)),
  ];
  const changes = groups.flatMap((group) => emptied(group, leaving, targets));
  const steps = changes.flatMap(stepsOf);
  return {
    steps,
    notes: [...opsNotes(state), ...unusableNotes(state), ...byteNotes(changes, state, targets)],
    restsOn: touchedViews(surveyed, steps),
    facts: { "tablets that take replicas": targets.join(" ") },
  };
}

/**
 * Plans for tablets that are absent: their replicas are removed from the record and added elsewhere. If
 * another replica lacks rows, or a partition has no leader, recovery with `--lost` is needed first.
 *
 * @throws OpsError `refused` if a leaving tablet still exists, or a replica must stay on record.
 */
function planWithout(
  state: ClusterState,
  gone: ReadonlySet<Endpoint>,
  { endpoints, print }: ScaleInOptions,
): OperationPlan {
  const there = endpoints.filter((endpoint) => !gone.has(endpoint));
  if (there.length > 0) {
    throw refused(
      `${[...gone].join(", ")} is gone, and ${there.join(", ")} is not`,
      "run the command for the absent ones first, then for the others",
    );
  }
  const obstacles = holdersOf(survey(state, true), gone).flatMap(({ view }) =>
    [...gone].flatMap((endpoint) => obstacleToRemoval(view, endpoint, print) ?? []),
  );
  assertNone(obstacles, `scalein of ${[...gone].join(", ")}`);
  return planAdding(state, gone);
}

function emptied(
  group: readonly PartitionSurvey[],
  leaving: ReadonlySet<Endpoint>,
  targets: readonly Endpoint[],
): Change[] {
  const isHere = new Set(holdersOf(group, leaving).map((one) => one.key));
  // Partitions without a replica there are not moved and only count.
  const partitions = group.map((one) => {
    const partition = placed(one);
    return isHere.has(one.key) ? partition : { ...partition, isMovable: false };
  });
  const changes = changesOf(group, evacuate(partitions, leaving, targets));
  const leaders = spreadLeaders(changes.map(leaderChoice), targets, true);
  return changes
    .filter((change) => isHere.has(change.one.key))
    .map((change) => ({ ...change, leader: leaders.get(change.one.key) ?? change.leader }));
}

function holdersOf(
  surveyed: readonly PartitionSurvey[],
  leaving: ReadonlySet<Endpoint>,
): PartitionSurvey[] {
  return surveyed.filter((one) =>
    one.view.replicas.some((replica) => leaving.has(replica.endpoint)),
  );
}

function assertCapacity(
  surveyed: readonly PartitionSurvey[],
  leaving: ReadonlySet<Endpoint>,
  targets: readonly Endpoint[],
): void {
  const tables = new Map<string, number>();
  for (const { view, wanted } of surveyed) {
    const name = tableName(view.id);
    if (wanted > targets.length) tables.set(name, Math.max(wanted, tables.get(name) ?? 0));
  }
  if (tables.size === 0) return;
  const lines = [...tables].map(([name, count]) => `${name} has ${count} replicas`);
  throw refused(
    `without ${[...leaving].join(", ")} there are ${targets.length} healthy tablets, too few for ${tables.size} tables: ${lines.slice(0, 5).join(", ")}${lines.length > 5 ? ", ..." : ""}; nothing was changed`,
    "add a tablet first, or delete replicas with delreplica",
    lines,
  );
}

function assertHealthy(holders: readonly PartitionSurvey[], { print }: ScaleInOptions): void {
  const lines = unhealthyLines(holders);
  if (lines.length === 0) return;
  throw refused(
    `${lines.length} partitions with a replica there are not healthy, so it cannot be moved; nothing was changed`,
    `recover them first with: ${print({ cmd: "recoverdata" })}`,
    lines,
  );
}

/** Refuses if a partition does not fit on the targets because one of them has it loaded without a replica on record. */
function assertNoLeftovers(
  state: ClusterState,
  holders: readonly PartitionSurvey[],
  leaving: ReadonlySet<Endpoint>,
  targets: readonly Endpoint[],
): void {
  const obstacles = holders.flatMap((one) => {
    const held = one.view.replicas.map((replica) => replica.endpoint);
    const staying = held.filter((endpoint) => !leaving.has(endpoint)).length;
    const missing = Math.max(1, one.wanted) - staying;
    const free = targets.filter((to) => !held.includes(to) && !one.barred.includes(to));
    if (free.length >= missing) return [];
    const barred = one.barred.filter((endpoint) => targets.includes(endpoint));
    return leftoverLines(state, [{ ...one, barred }])
      .slice(0, 1)
      .map((text) => ({ text, hint: "then run this command again" }));
  });
  assertNone(obstacles, `scalein of ${[...leaving].join(", ")}`);
}

/** Notes on the bytes of rows that each target receives, as far as known. */
function byteNotes(
  changes: readonly Change[],
  state: ClusterState,
  targets: readonly Endpoint[],
): string[] {
  const held = new Map<Endpoint, bigint>();
  for (const { partitions } of state.tables) {
    for (const { endpoint, memoryBytes } of partitions.flatMap((one) => one.replicas)) {
      held.set(endpoint, (held.get(endpoint) ?? 0n) + (memoryBytes ?? 0n));
    }
  }
  return targets.flatMap((to) => {
    const arrivals = changes.flatMap(({ one, moves }) =>
      moves.filter((move) => move.to === to).map((move) => bytesOf(one, move.from)),
    );
    const bytes = arrivals.reduce((sum, next) => sum + next, 0n);
    if (bytes === 0n) return [];
    const before = held.get(to) ?? 0n;
    return [
      `${to} takes ${arrivals.length} replicas with ${megabytes(bytes)} MB of rows in memory in addition to the ${megabytes(before)} MB that it has: check that it has enough memory`,
    ];
  });
}

function bytesOf({ view }: PartitionSurvey, from: Endpoint): bigint {
  const replica = replicaAt(view, from);
  return replica?.report?.memoryBytes ?? replica?.claim.memoryBytes ?? 0n;
}

function megabytes(bytes: bigint): string {
  return (Number(bytes) / 1_048_576).toFixed(1);
}

/** The replicas that the tablet still has loaded although they are no longer on record. */
function stillLoaded(after: ClusterState, endpoint: Endpoint): string[] {
  const reports = after.tablets.get(endpoint)?.reports?.values() ?? [];
  const names = new Map(
    viewPartitions(after).map(({ id }) => [replicaKey(id), partitionName(id)] as const),
  );
  return [...reports].map((report) => {
    const name = names.get(replicaKey(report)) ?? `tid ${report.tid} pid ${report.pid}`;
    return `${endpoint} still has ${name} loaded`;
  });
}
