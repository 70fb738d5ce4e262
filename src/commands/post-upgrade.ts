import { commandPrinter } from "../cli/printed-command.js";
import type { PostUpgradeFlags } from "../cli/scale-specs.js";
import { postUpgradeOperation } from "../operations/post-upgrade.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";
import { assertWritable, statStore } from "./stat-store.js";

/** Gives a tablet its leaders back after its upgrade; see {@link operate}. */
export async function run(flags: PostUpgradeFlags, io: CommandIo): Promise<number> {
  assertWritable(flags.statfile);
  const store = statStore(flags.statfile, flags);
  // What is wrong with the file is told before anything is connected to.
  store.read();
  const operation = postUpgradeOperation({
    endpoint: flags.endpoints[0] ?? "",
    store,
    concurrency: flags.concurrency,
    print: commandPrinter(flags),
  });
  return operate(flags, io, operation);
}
