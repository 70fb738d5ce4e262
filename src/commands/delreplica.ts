import type { ReplicaFlags } from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import { delReplicaOperation } from "../operations/del-replica.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** Deletes followers from a tablet. @returns The exit code; see `operate`. */
export function run(flags: ReplicaFlags, io: CommandIo): Promise<number> {
  const { db, table, pid, endpoint } = flags;
  const options = {
    db,
    table,
    pids: pid,
    endpoint,
    print: commandPrinter(flags),
  };
  return operate(flags, io, delReplicaOperation(options));
}
