import type { CancelOpFlags } from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import { cancelOpOperation } from "../operations/cancel-op.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** Ends an op that is queued or running. @returns The exit code; see `operate`. */
export function run(flags: CancelOpFlags, io: CommandIo): Promise<number> {
  const options = {
    op: flags.opId,
    print: commandPrinter(flags),
  };
  return operate(flags, io, cancelOpOperation(options));
}
