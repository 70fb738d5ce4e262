import { commandPrinter } from "../cli/printed-command.js";
import type { PreUpgradeFlags } from "../cli/scale-specs.js";
import { preUpgradeOperation } from "../operations/pre-upgrade.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";
import { assertWritable, statStore } from "./stat-store.js";

/** Takes the leaders off a tablet that is about to be stopped; see {@link operate}. */
export async function run(flags: PreUpgradeFlags, io: CommandIo): Promise<number> {
  assertWritable(flags.statfile);
  const store = statStore(flags.statfile, flags);
  // What is wrong with the file is told before anything is connected to.
  store.read();
  const operation = preUpgradeOperation({
    endpoint: flags.endpoints[0] ?? "",
    store,
    allowsSingle: flags.allowSingleReplica,
    concurrency: flags.concurrency,
    print: commandPrinter(flags),
  });
  return operate(flags, io, operation);
}
