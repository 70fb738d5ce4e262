import { commandPrinter } from "../cli/printed-command.js";
import type { MoveTabletFlags } from "../cli/recovery-specs.js";
import { moveTabletOperation } from "../operations/move-tablet.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** Gives the replicas of a tablet that came back under another address its new endpoint; see {@link operate}. */
export function run(flags: MoveTabletFlags, io: CommandIo): Promise<number> {
  const { from, to } = flags;
  const options = {
    from,
    to,
    print: commandPrinter(flags),
  };
  return operate(flags, io, moveTabletOperation(options));
}
