import type { MigrateFlags } from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import { migrateOperation } from "../operations/migrate.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** Moves followers from one tablet to another. @returns The exit code; see `operate`. */
export function run(flags: MigrateFlags, io: CommandIo): Promise<number> {
  const { src, des, db, table, pid } = flags;
  const options = {
    db,
    table,
    pids: pid,
    from: src,
    to: des,
    print: commandPrinter(flags),
  };
  return operate(flags, io, migrateOperation(options));
}
