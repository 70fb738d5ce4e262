import type { ChangeLeaderFlags } from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import { changeLeaderOperation } from "../operations/change-leader.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** `changeleader`: gives one partition another leader, see {@link operate}. */
export function run(flags: ChangeLeaderFlags, io: CommandIo): Promise<number> {
  const { db, table, pid, candidate, noRecover, acceptDataLoss } = flags;
  const options = {
    db,
    table,
    pid,
    candidate,
    recovers: !noRecover,
    acceptsLoss: acceptDataLoss,
    print: commandPrinter(flags),
  };
  return operate(flags, io, changeLeaderOperation(options));
}
