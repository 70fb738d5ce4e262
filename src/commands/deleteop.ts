import type { DeleteOpFlags } from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import { OpsError } from "../errors.js";
import { deleteOpOperation } from "../operations/delete-op.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** Takes ended ops off the nameserver's list. @returns The exit code; see `operate`. */
export function run(flags: DeleteOpFlags, io: CommandIo): Promise<number> {
  const wanted = flags.op ?? flags.opId ?? flags.status;
  if (wanted === undefined) throw new OpsError({ code: "usage", message: "no op is given" });
  const target = typeof wanted === "bigint" ? { op: wanted } : { status: wanted };
  return operate(flags, io, deleteOpOperation(target, commandPrinter(flags)));
}
