import type { CommonFlags } from "../cli/common-specs.js";
import { shownNameservers } from "../show/servers.js";
import type { CommandIo } from "./command.js";
import { realEndpoints, show } from "./show.js";

/**
 * Shows the nameservers that are registered in ZooKeeper.
 *
 * @returns 0; see {@link show}.
 */
export function run(flags: CommonFlags, io: CommandIo): Promise<number> {
  return show("showns", flags, io, async (cluster, opened) => {
    const topology = await cluster.topology();
    const names = await realEndpoints(opened, [topology.leader, ...topology.standbys]);
    return shownNameservers(topology, names);
  });
}
