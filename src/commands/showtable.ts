import type { ShowTableFlags } from "../cli/show-specs.js";
import { selectPartitions, selectTables } from "../show/known.js";
import { shownTables } from "../show/tables.js";
import type { CommandIo } from "./command.js";
import { show } from "./show.js";

/**
 * Shows the replicas of tables in the nameserver's record.
 *
 * @returns 0; see {@link show}.
 * @throws OpsError `refused` for a database, table or partition that does not exist.
 */
export function run(flags: ShowTableFlags, io: CommandIo): Promise<number> {
  return show("showtable", flags, io, async (cluster) => {
    const [listed, tables] = await Promise.all([cluster.showDatabase(), cluster.showTable()]);
    const place = flags.db === undefined ? "in the cluster" : `in ${JSON.stringify(flags.db)}`;
    const selected = selectTables(tables, listed, flags);
    const pids = flags.pid === "all" ? [] : flags.pid;
    return shownTables(selectPartitions(selected, pids), `there is no table ${place}`);
  });
}
