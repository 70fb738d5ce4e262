import type { GetTableStatusFlags } from "../cli/show-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError, refused } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import type { Endpoint, ReplicaReport } from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";
import { tableNames } from "../show/known.js";
import { shownReplicas, shownReplicasOfAll, type TabletAnswer } from "../show/replicas.js";
import type { CommandIo } from "./command.js";
import { type Answer, show } from "./show.js";
import { assertTablet, tablesSoon } from "./tablet-known.js";

/**
 * Shows the replicas that one tablet, or every tablet, has loaded, read from the tablets.
 *
 * @returns 0; see {@link show}. Without an endpoint 3 if a tablet did not answer.
 * @throws OpsError `refused` for an unknown tablet, and if the requested replica is not loaded there.
 */
export function run(flags: GetTableStatusFlags, io: CommandIo): Promise<number> {
  return show("gettablestatus", flags, io, async (cluster) => {
    const { endpoint } = flags;
    if (endpoint === undefined) return statusOfAll(cluster, flags);
    await assertTablet(cluster, endpoint, io);
    const [all, tables] = await Promise.all([
      cluster.getTableStatus(endpoint),
      tablesSoon(cluster),
    ]);
    const reports = all.filter((one) => isWanted(one, flags));
    if (flags.tid !== undefined && reports.length === 0) throw notLoaded(endpoint, flags, all);
    return shownReplicas(endpoint, reports, tableNames(tables, endpoint));
  });
}

/** The filter of the shown replicas. */
type Wanted = Pick<GetTableStatusFlags, "tid" | "pid">;

function isWanted(one: Pick<ReplicaReport, "tid" | "pid">, { tid, pid }: Wanted): boolean {
  return (tid === undefined || one.tid === tid) && (pid === undefined || one.pid === pid);
}

async function statusOfAll(cluster: Cluster, wanted: Wanted): Promise<Answer> {
  const [tables, endpoints] = await Promise.all([tablesSoon(cluster), allTablets(cluster)]);
  const answers = await Promise.all(
    endpoints.map(async (endpoint): Promise<TabletAnswer> => {
      const names = tableNames(tables, endpoint);
      try {
        const all = await cluster.getTableStatus(endpoint);
        return { endpoint, names, reports: all.filter((one) => isWanted(one, wanted)) };
      } catch (error) {
        if (!(error instanceof OpsError) || error.code === "interrupted") throw error;
        return { endpoint, names, error: messageOf(error) };
      }
    }),
  );
  const isPartly = answers.some((one) => "error" in one);
  return { ...shownReplicasOfAll(answers), exitCode: isPartly ? EXIT.partly : EXIT.ok };
}

/** All tablets that ZooKeeper or the nameserver lists, sorted. */
async function allTablets(cluster: Cluster): Promise<Endpoint[]> {
  const [topology, claims] = await Promise.all([cluster.topology(), cluster.showTablet()]);
  const known = [...topology.tablets, ...claims.map((one) => one.endpoint)];
  return [...new Set(known)].sort(compareText);
}

function notLoaded(
  endpoint: Endpoint,
  { tid, pid }: Wanted,
  all: readonly { readonly tid: number; readonly pid: number }[],
): OpsError {
  const tids = [...new Set(all.map((one) => one.tid))].sort((a, b) => a - b);
  const pids = all.filter((one) => one.tid === tid).map((one) => one.pid);
  const loaded =
    pids.length > 0 ? `of tid ${tid} pid ${pids.join(", ")}` : `tid ${tids.join(", ")}`;
  return refused(
    `${endpoint} has not loaded tid ${tid}${pid === undefined ? "" : ` pid ${pid}`}`,
    all.length === 0 ? "it has loaded nothing" : `it has loaded ${loaded}`,
  );
}
