import type { OfflineEndpointFlags } from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import { offlineEndpointOperation } from "../operations/offline-endpoint.js";
import type { CommandIo } from "./command.js";
import { operate } from "./operate.js";

/** `offlineendpoint`: takes a tablet out of service, see {@link operate}. */
export function run(flags: OfflineEndpointFlags, io: CommandIo): Promise<number> {
  const { endpoint, concurrency, allowSingleReplica, acceptDataLoss } = flags;
  const options = {
    endpoint,
    concurrency,
    allowsSingleReplica: allowSingleReplica,
    acceptDataLoss,
    print: commandPrinter(flags),
  };
  return operate(flags, io, offlineEndpointOperation(options));
}
