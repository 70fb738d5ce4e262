import type { GetTableStatusFlags } from "../cli/show-commands.js";
import { OpsError } from "../errors.js";
import type { Endpoint } from "../model/cluster-state.js";
import { tableNames } from "../show/known.js";
import { shownReplicas } from "../show/replicas.js";
import type { CommandIo } from "./command.js";
import { show } from "./show.js";
import { assertTablet, tablesSoon } from "./tablet-known.js";

/**
 * Shows what one tablet has loaded, asked of the tablet itself.
 *
 * @returns 0; see {@link show}.
 * @throws OpsError `refused` for an unknown tablet, and if the wanted replica is not loaded there.
 */
export function run(flags: GetTableStatusFlags, io: CommandIo): Promise<number> {
  const { endpoint, tid, pid } = flags;
  return show("gettablestatus", flags, io, async (cluster) => {
    await assertTablet(cluster, endpoint, io);
    const [all, tables] = await Promise.all([
      cluster.getTableStatus(endpoint),
      tablesSoon(cluster),
    ]);
    const wanted = all.filter(
      (one) => (tid === undefined || one.tid === tid) && (pid === undefined || one.pid === pid),
    );
    if (tid !== undefined && wanted.length === 0) throw notLoaded(endpoint, flags, all);
    return shownReplicas(endpoint, wanted, tableNames(tables, endpoint));
  });
}

function notLoaded(
  endpoint: Endpoint,
  { tid, pid }: Pick<GetTableStatusFlags, "tid" | "pid">,
  all: readonly { readonly tid: number; readonly pid: number }[],
): OpsError {
  const tids = [...new Set(all.map((one) => one.tid))].sort((a, b) => a - b);
  const pids = all.filter((one) => one.tid === tid).map((one) => one.pid);
  const loaded =
    pids.length > 0 ? `of tid ${tid} pid ${pids.join(", ")}` : `tid ${tids.join(", ")}`;
  return new OpsError({
    code: "refused",
    message: `${endpoint} has not loaded tid ${tid}${pid === undefined ? "" : ` pid ${pid}`}`,
    hint: all.length === 0 ? "it has loaded nothing" : `it has loaded ${loaded}`,
  });
}
