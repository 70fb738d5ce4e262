import type { DeleteOpFlags } from "../cli/operate-commands.js";
import { OpsError } from "../errors.js";
import { deleteOpOperation } from "../operations/delete-op.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";
import { commandLine } from "./rerun.js";

/** Takes ended ops off the nameserver's list. @returns The exit code; see `operate`. */
export function run(flags: DeleteOpFlags, io: CommandIo): Promise<number> {
  const { opId, status } = flags;
  const say = (words: readonly string[]) => commandLine(words, flags);
  if (opId !== undefined) return operate(flags, io, deleteOpOperation({ op: opId }, say));
  if (status !== undefined) return operate(flags, io, deleteOpOperation({ status }, say));
  throw new OpsError({ code: "usage", message: "neither --op_id nor --status is given" });
}
