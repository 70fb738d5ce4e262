import type { ShowTableStatusFlags } from "../cli/show-specs.js";
import { observe } from "../observe/cluster.js";
import { databasesOf, selectTables } from "../show/known.js";
import { isLike, onlyName } from "../show/like.js";
import { shownTableStatus, tableStatuses } from "../show/table-status.js";
import { unknownName } from "../util/nearest.js";
import { inTurns } from "../util/yielding.js";
import type { CommandIo } from "./command.js";
import { show } from "./show.js";

/**
 * Shows figures of tables, and where nameserver and tablets disagree, like SQL's SHOW TABLE STATUS.
 *
 * @returns 0, also with warnings; see {@link show}.
 * @throws OpsError `refused` if the pattern names a single database that does not exist.
 */
export function run(flags: ShowTableStatusFlags, io: CommandIo): Promise<number> {
  return show("showtablestatus", flags, io, async (cluster) => {
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
  });
}
