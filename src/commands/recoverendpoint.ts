import type { RecoverEndpointFlags } from "../cli/operate-commands.js";
import { recoverEndpointOperation } from "../operations/recover-endpoint.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** `recoverendpoint`: brings a tablet's replicas back, see {@link operate}. */
export function run(flags: RecoverEndpointFlags, io: CommandIo): Promise<number> {
  const { endpoint, needRestore, concurrency, acceptDataLoss } = flags;
  const options = { endpoint, needRestore, concurrency, acceptDataLoss };
  return operate(flags, io, recoverEndpointOperation(options));
}
