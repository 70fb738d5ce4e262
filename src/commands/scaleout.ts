import type { ScaleOutFlags } from "../cli/scale-specs.js";
import { addMissingOperation } from "../operations/add-missing.js";
import { scaleOutOperation } from "../operations/scaleout.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** Spreads replicas and leaders over all healthy tablets, or makes missing replicas only; see {@link operate}. */
export function run(flags: ScaleOutFlags, io: CommandIo): Promise<number> {
  const { keepSurplus, concurrency, addsMissing } = flags;
  if (addsMissing) return operate(flags, io, addMissingOperation(concurrency));
  return operate(flags, io, scaleOutOperation({ keepsSurplus: keepSurplus, concurrency }));
}
