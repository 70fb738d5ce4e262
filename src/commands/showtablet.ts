import type { ShowTabletFlags } from "../cli/show-specs.js";
import { shownTablets } from "../show/servers.js";
import type { CommandIo } from "./command.js";
import { realEndpoints, show } from "./show.js";

/**
 * Shows the tablets and their state according to the nameserver.
 *
 * @returns 0; see {@link show}.
 */
export function run(flags: ShowTabletFlags, io: CommandIo): Promise<number> {
  return show("showtablet", flags, io, async (cluster, opened) => {
    const tablets = await cluster.showTablet();
    const unnamed = tablets.filter((one) => one.realEndpoint === "").map((one) => one.endpoint);
    return shownTablets(tablets, await realEndpoints(opened, unnamed));
  });
}
