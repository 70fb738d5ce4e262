import type { LoadTableFlags } from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import { loadTableOperation } from "../operations/load-table.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** Loads replicas from a tablet's own disk. @returns The exit code; see `operate`. */
export function run(flags: LoadTableFlags, io: CommandIo): Promise<number> {
  const { db, table, tid, pid, endpoint, leader, follower } = flags;
  const role = leader ? ("leader" as const) : follower ? ("follower" as const) : undefined;
  const options = {
    db,
    table,
    tid,
    pids: pid,
    endpoint,
    role,
    print: commandPrinter(flags),
  };
  return operate(flags, io, loadTableOperation(options));
}
