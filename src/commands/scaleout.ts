import type { ScaleOutFlags } from "../cli/scale-commands.js";
import { scaleOutOperation } from "../operations/scaleout.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** Spreads replicas and leaders over all healthy tablets; see {@link operate}. */
export function run(flags: ScaleOutFlags, io: CommandIo): Promise<number> {
  const { keepSurplus, concurrency } = flags;
  return operate(flags, io, scaleOutOperation({ keepsSurplus: keepSurplus, concurrency }));
}
