import { refused } from "../errors.js";
import type { Endpoint } from "../model/cluster-state.js";
import { isInScope } from "../model/partition-name.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { unknownName } from "../util/nearest.js";
import { diagnose } from "./diagnose.js";

/** The partitions and replicas of a command. Undefined fields do not restrict it. */
export interface Selection {
  /** Only this database; a system database can be named too. */
  readonly db?: string | undefined;
  /** Only this table. */
  readonly table?: string | undefined;
  /** Only these partitions. */
  readonly pids?: readonly number[] | undefined;
  /** Only replicas on this tablet; each partition must have a serving leader, which is left as it is. */
  readonly endpoint?: Endpoint | undefined;
  /** True if the selected healthy followers are recovered too. */
  readonly isForced?: boolean | undefined;
}

/** The whole cluster. */
export const EVERYTHING: Selection = {};

/** The selected partitions, in the order of `views`. */
export function selected(
  views: readonly PartitionView[],
  only: Selection,
): readonly PartitionView[] {
  const { db, table, pids, endpoint } = only;
  if ([db, table, pids, endpoint].every((one) => one === undefined)) return views;
  return views.filter(
    ({ id, replicas }) =>
      isInScope(only, id) &&
      (pids === undefined || pids.includes(id.pid)) &&
      (endpoint === undefined || replicas.some((one) => one.endpoint === endpoint)),
  );
}

/**
 * Checks that the named parts exist, so that a typo does not look like success.
 *
 * @param all All partitions of the cluster.
 * @throws OpsError `refused` if a named database, table, partition or tablet selects nothing, or if several
 *   databases have a table of that name.
 */
export function assertKnown(all: readonly PartitionView[], only: Selection): void {
  const { db, table, pids, endpoint } = only;
  const inDb = selected(all, { db });
  if (db !== undefined && inDb.length === 0) {
    throw unknownName("table in a database named", db, distinct(all.map((view) => view.id.db)));
  }
  const inTable = selected(inDb, { table });
  if (table !== undefined && inTable.length === 0) {
    const where = db === undefined ? "" : ` in the database ${JSON.stringify(db)}`;
    throw unknownName(`table${where} named`, table, distinct(inDb.map((view) => view.id.table)));
  }
  const homes = table === undefined ? [] : distinct(inTable.map((view) => view.id.db));
  if (homes.length > 1) {
    throw refused(
      `several databases have a table named ${JSON.stringify(table)}`,
      `say which one with --db: ${homes.join(", ")}`,
    );
  }
  const missing = pids?.find((pid) => !inTable.some((view) => view.id.pid === pid));
  if (missing !== undefined) {
    const known = distinct(inTable.map((view) => String(view.id.pid)));
    throw refused(
      `${table ?? "any table"} has no partition ${missing}`,
      `it has: ${known.join(", ")}`,
    );
  }
  const chosen = selected(inTable, { pids });
  if (endpoint !== undefined && selected(chosen, { endpoint }).length === 0) {
    const known = distinct(chosen.flatMap((view) => view.replicas.map((one) => one.endpoint)));
    throw unknownName("selected replica at", endpoint, known);
  }
}

function distinct(names: readonly string[]): string[] {
  return [...new Set(names)].filter((name) => name !== "");
}

/** The problems of the selected replicas of a partition, and of the partition as a whole. */
export function problemsOf(view: PartitionView, { endpoint }: Selection): readonly Problem[] {
  const problems = diagnose(view);
  if (endpoint === undefined) return problems;
  return problems.filter((one) => one.endpoint === undefined || one.endpoint === endpoint);
}

/** The healthy followers that are recovered because of `isForced`. */
export function forcedIn(view: PartitionView, only: Selection): Endpoint[] {
  if (only.isForced !== true) return [];
  const leader = servingLeader(view);
  if (leader === undefined) return [];
  const unhealthy = new Set(diagnose(view).map((one) => one.endpoint));
  return view.replicas
    .filter((one) => one !== leader && !unhealthy.has(one.endpoint))
    .map((one) => one.endpoint)
    .filter((endpoint) => only.endpoint === undefined || endpoint === only.endpoint);
}
