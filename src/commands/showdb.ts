import type { CommonFlags } from "../cli/common-specs.js";
import { databasesOf } from "../show/known.js";
import { shownDatabases } from "../show/tables.js";
import type { CommandIo } from "./command.js";
import { show } from "./show.js";

/**
 * Shows the databases, including system databases that have tables.
 *
 * @returns 0; see {@link show}.
 */
export function run(flags: CommonFlags, io: CommandIo): Promise<number> {
  return show("showdb", flags, io, async (cluster) => {
    const [listed, tables] = await Promise.all([cluster.showDatabase(), cluster.showTable()]);
    return shownDatabases(databasesOf(listed, tables), tables);
  });
}
