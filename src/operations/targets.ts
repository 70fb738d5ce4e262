import { refused } from "../errors.js";
import { absenceOf, mayBeGivenUp } from "../model/absence.js";
import {
  type ClusterState,
  type Endpoint,
  type PartitionNumbers,
  type Role,
  replicaKey,
  type TableClaim,
  type TabletView,
} from "../model/cluster-state.js";
import { tableName } from "../model/partition-name.js";
import {
  compareText,
  type PartitionView,
  partitionName,
  replicaAt,
  tabletHealth,
  viewPartitions,
} from "../model/partition-view.js";
import { type PidList, pidText } from "../model/step.js";
import type { PrintCommand } from "../model/tool-command.js";
import { whyNotRemove } from "../policy/absent-replicas.js";
import { removeCopyText } from "../policy/free-tablets.js";
import { selectTables } from "../show/known.js";
import { unknownName } from "../util/nearest.js";

/** Selects partitions of one table. */
export interface PartitionsOptions {
  /** Undefined if the table's name is unique among the databases. */
  readonly db: string | undefined;
  readonly table: string;
  readonly pids: PidList;
}

/** One table and its selected partitions, in order of pid. */
export interface Target {
  readonly table: TableClaim;
  readonly views: readonly PartitionView[];
}

/**
 * Finds the selected partitions.
 *
 * @throws OpsError `refused` for a name or pid that does not exist, with the nearest one, and for a
 *   table name that exists in several databases.
 */
export function findPartitions(state: ClusterState, options: PartitionsOptions): Target {
  const { db, pids } = options;
  const [table, ...others] = selectTables(state.tables, [], { db, table: options.table });
  if (table === undefined) throw unknownName("table named", options.table, []);
  if (others.length > 0) {
    const where = [table, ...others].map((one) => one.db || "(no database)").join(", ");
    throw refused(
      `several databases have a table named ${JSON.stringify(options.table)}: ${where}`,
      "say which one with --db",
    );
  }
  const unknown =
    pids === "all" ? [] : pids.filter((pid) => table.partitions.every((one) => one.pid !== pid));
  if (unknown.length > 0) {
    const known = table.partitions.map((one) => one.pid).sort((a, b) => a - b);
    throw refused(
      `${tableName(table)} has no partition ${unknown.join(", ")}`,
      `it has ${known.length} partitions: ${pidText(known)}`,
    );
  }
  const partitions = table.partitions.filter((one) => pids === "all" || pids.includes(one.pid));
  return { table, views: viewPartitions({ ...state, tables: [{ ...table, partitions }] }) };
}

/** The partitions that have a replica at an endpoint, in the order of the view. */
export function viewsAt(state: ClusterState, endpoint: Endpoint): PartitionView[] {
  return viewPartitions(state).filter((view) => replicaAt(view, endpoint) !== undefined);
}

/** Returns a tablet. @throws OpsError `refused` with the nearest known endpoint if there is none of that name. */
export function tabletAt(state: ClusterState, endpoint: Endpoint): TabletView {
  const view = state.tablets.get(endpoint);
  if (view !== undefined) return view;
  throw unknownName("tablet", endpoint, [...state.tablets.keys()].sort(compareText));
}

/**
 * Checks that the nameserver knows a tablet and counts it as healthy, and that the tablet answers.
 *
 * @param role The tablet's role in the command, such as `destination`.
 * @throws OpsError `refused` with the nearest known endpoint, or with why it cannot be used.
 */
export function assertUsable(state: ClusterState, endpoint: Endpoint, role: string): void {
  const { tablet, tabletDetail } = tabletHealth(tabletAt(state, endpoint));
  if (tablet === "ok") return;
  throw refused(
    `the ${role} ${endpoint} cannot be used: ${tabletDetail}`,
    `start tablet ${endpoint}, or find out why it is not healthy, and wait until the nameserver counts it as healthy`,
  );
}

/** The term that a replica leads and its offset, such as `leads term 3, ...; at offset 110`. */
export function ledText(view: PartitionView, leader: Endpoint): string {
  const offset = replicaAt(view, leader)?.report?.offset ?? 0n;
  const term = view.terms.at(-1);
  return `leads term ${term?.term ?? 0n}, which begins with entry ${term?.offset ?? 0n}; at offset ${offset}`;
}

/** The message for a replica that a tablet has loaded and the record lacks. */
export function strayText(
  id: PartitionNumbers,
  endpoint: Endpoint,
  role: Role | undefined,
): string {
  return `tablet ${endpoint} has it loaded as ${role ?? "an unknown role"}, although the record has no replica there; ${removeCopyText(id, endpoint)}`;
}

/** Why a new replica cannot be sent to a tablet: it has one loaded that is not on record. Undefined if it has none. */
export function strayObstacle(
  state: ClusterState,
  { id }: PartitionView,
  endpoint: Endpoint,
): Obstacle | undefined {
  const stray = state.tablets.get(endpoint)?.reports?.get(replicaKey(id));
  return (
    stray && {
      text: `${partitionName(id)}: ${strayText(id, endpoint, stray.role)}`,
      hint: "then run this command again",
    }
  );
}

/**
 * A note that auto_failover is switched off during the run; none if it is off.
 *
 * @param then What it does afterwards, as the rest of a sentence.
 */
export function switchedOffNote({ autoFailover }: ClusterState, then = ""): string[] {
  if (!autoFailover) return [];
  return [`auto_failover is on: it is switched off during the run and restored at the end${then}`];
}

/** Number of lines of one kind that are shown. */
const SHOWN = 20;

/** The first lines, and the number of the others. */
export function shortList(lines: readonly string[], prefix: string): string[] {
  const more = lines.length - SHOWN;
  return [
    ...lines.slice(0, SHOWN).map((line) => `${prefix}${line}`),
    ...(more > 0 ? [`${prefix}and ${more} more`] : []),
  ];
}

/** Why one partition cannot be processed, and what to do instead. */
export interface Obstacle {
  /** With the partition's name. */
  readonly text: string;
  readonly hint: string;
}

/**
 * Refuses the whole command if there is any obstacle: a single one in the message, several as details.
 *
 * @throws OpsError `refused`.
 */
export function assertNone(obstacles: readonly Obstacle[], wanted: string): void {
  const [first, ...rest] = obstacles;
  if (first === undefined) return;
  if (rest.length === 0) throw refused(first.text, first.hint);
  const hints = new Set(obstacles.map((one) => one.hint));
  const isSame = hints.size === 1;
  throw refused(
    `${wanted}: ${obstacles.length} partitions do not allow it; nothing was changed`,
    isSame ? first.hint : "follow the hint of each, then run this command again",
    obstacles.map((one) => (isSame ? one.text : `${one.text}: ${one.hint}`)),
  );
}

/**
 * True if a tablet is not registered and not restarting: its replicas can only be removed from the
 * record.
 */
export function isAbsentForGood(state: ClusterState, endpoint: Endpoint): boolean {
  const view = state.tablets.get(endpoint);
  const absence = view && absenceOf(view);
  return absence !== undefined && mayBeGivenUp(absence);
}

/**
 * Returns why a replica of an absent tablet must stay on record; undefined if it may be removed.
 */
export function obstacleToRemoval(
  view: PartitionView,
  endpoint: Endpoint,
  print: PrintCommand,
): Obstacle | undefined {
  const why = whyNotRemove(view, { endpoint, acceptsLoss: false });
  if (why === undefined) return undefined;
  return {
    text: `${partitionName(view.id)}: ${endpoint}: ${why}`,
    hint: `show what would be lost without that tablet: ${print({ cmd: "inspect", lost: [endpoint] })}`,
  };
}
