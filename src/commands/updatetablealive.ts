import type { TableAliveFlags } from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import { tableAliveOperation } from "../operations/table-alive.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** Marks replicas alive or not alive. @returns The exit code; see `operate`. */
export function run(flags: TableAliveFlags, io: CommandIo): Promise<number> {
  const { db, table, pid, endpoint, alive, force } = flags;
  const options = {
    db,
    table,
    pids: pid,
    endpoint,
    isAlive: alive,
    isForced: force,
    print: commandPrinter(flags),
  };
  return operate(flags, io, tableAliveOperation(options));
}
