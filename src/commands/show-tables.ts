import type { CommonFlags } from "../cli/common-specs.js";
import type { ShowTableFlags, ShowTableStatusFlags } from "../cli/show-specs.js";
import { observe } from "../observe/cluster.js";
import { databasesOf, selectPartitions, selectTables } from "../show/known.js";
import { isLike, onlyName } from "../show/like.js";
import { shownTableStatus, tableStatuses } from "../show/table-status.js";
import { shownDatabases, shownTables } from "../show/tables.js";
import { unknownName } from "../util/nearest.js";
import { inTurns } from "../util/yielding.js";
import { showCommand } from "./show.js";

/**
 * Shows the databases, including system databases that have tables.
 *
 * @returns 0; see {@link showCommand}.
 */
export const showDb = showCommand<CommonFlags>("showdb", async (cluster) => {
  const [listed, tables] = await Promise.all([cluster.showDatabase(), cluster.showTable()]);
  return shownDatabases(databasesOf(listed, tables), tables);
});

/**
 * Shows the replicas of tables in the nameserver's record.
 *
 * @returns 0; see {@link showCommand}.
 * @throws OpsError `refused` for a database, table or partition that does not exist.
 */
export const showTable = showCommand<ShowTableFlags>("showtable", async (cluster, { flags }) => {
  const [listed, tables] = await Promise.all([cluster.showDatabase(), cluster.showTable()]);
  const place = flags.db === undefined ? "in the cluster" : `in ${JSON.stringify(flags.db)}`;
  const selected = selectTables(tables, listed, flags);
  const pids = flags.pid === "all" ? [] : flags.pid;
  return shownTables(selectPartitions(selected, pids), `there is no table ${place}`);
});

/**
 * Shows figures of tables, and where nameserver and tablets disagree, like SQL's SHOW TABLE STATUS.
 *
 * @returns 0, also with warnings; see {@link showCommand}.
 * @throws OpsError `refused` if the pattern names a single database that does not exist.
 */
export const showTableStatus = showCommand<ShowTableStatusFlags>(
  "showtablestatus",
  async (cluster, { flags, io }) => {
    const [listed, state] = await Promise.all([
      cluster.showDatabase(),
      observe(cluster, { signal: io.signal }),
    ]);
    const databases = databasesOf(listed, state.tables);
    const name = onlyName(flags.filter);
    if (name !== undefined && !databases.includes(name)) {
      throw unknownName("database", name, databases);
    }
    const tables = selectTables(state.tables, listed, { db: undefined, table: undefined });
    const statuses = await inTurns(
      tableStatuses(
        state,
        tables.filter((one) => isLike(one.db, flags.filter)),
      ),
    );
    const empty = `no table is in a database like ${JSON.stringify(flags.filter)}`;
    return shownTableStatus(statuses, empty);
  },
);
