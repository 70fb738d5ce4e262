import type { RecoverEndpointFlags } from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import { recoverEndpointOperation } from "../operations/recover-endpoint.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** `recoverendpoint`: brings a tablet's replicas back, see {@link operate}. */
export function run(flags: RecoverEndpointFlags, io: CommandIo): Promise<number> {
  const { endpoint, needRestore, concurrency, acceptDataLoss, method } = flags;
  const options = {
    endpoint,
    needRestore,
    concurrency,
    method,
    acceptDataLoss,
    print: commandPrinter(flags),
  };
  return operate(flags, io, recoverEndpointOperation(options));
}
