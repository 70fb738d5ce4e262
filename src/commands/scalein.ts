import { commandPrinter } from "../cli/printed-command.js";
import type { ScaleInFlags } from "../cli/scale-specs.js";
import { scaleInOperation } from "../operations/scalein.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** Moves every replica off some tablets; see {@link operate}. */
export function run(flags: ScaleInFlags, io: CommandIo): Promise<number> {
  const { endpoints, keepSurplus, concurrency } = flags;
  const operation = scaleInOperation({
    endpoints,
    keepsSurplus: keepSurplus,
    concurrency,
    print: commandPrinter(flags),
  });
  return operate(flags, io, operation);
}
