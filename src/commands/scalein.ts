import type { ScaleInFlags } from "../cli/scale-commands.js";
import { scaleInOperation } from "../operations/scalein.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";
import { commandLine } from "./rerun.js";

/** Moves every replica off some tablets; see {@link operate}. */
export function run(flags: ScaleInFlags, io: CommandIo): Promise<number> {
  const { endpoints, keepSurplus, concurrency } = flags;
  const operation = scaleInOperation({
    endpoints,
    keepsSurplus: keepSurplus,
    concurrency,
    commandLine: (words) => commandLine(words, flags),
  });
  return operate(flags, io, operation);
}
